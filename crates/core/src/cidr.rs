//! Address blocks (`10.0.0.0/8`, `2001:db8::/32`, or a single address).

use std::net::IpAddr;

use crate::Error;

/// Whether any of the blocks, checked when they were stored, contains the address.
pub(crate) fn any_contains(blocks: &[String], address: IpAddr) -> bool {
    blocks.iter().filter_map(|block| parse(block)).any(|block| block.contains(address))
}

/// Blocks as they are shown: one of a single address is that address.
pub(crate) fn shown(blocks: &[String]) -> Vec<String> {
    let single = |block: &String| match block.split_once('/') {
        Some((address, "32")) if !address.contains(':') => address.to_owned(),
        Some((address, "128")) => address.to_owned(),
        Some(_) | None => block.clone(),
    };
    blocks.iter().map(single).collect()
}

/// # Errors
/// Where one is not a block.
pub(crate) fn check_all(blocks: &[String]) -> Result<(), Error> {
    match blocks.iter().find(|block| parse(block).is_none()) {
        Some(bad) => Err(Error::invalid(format!("{bad:?} is not an address or CIDR block"))),
        None => Ok(()),
    }
}

struct Block {
    address: u128,
    bits: u32,
    v4: bool,
}

impl Block {
    fn contains(&self, address: IpAddr) -> bool {
        let (address, v4, width) = number(address);
        let drop = width - self.bits;
        v4 == self.v4 && (address ^ self.address).checked_shr(drop).unwrap_or(0) == 0
    }
}

fn parse(text: &str) -> Option<Block> {
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let (address, v4, width) = number(address.parse().ok()?);
    let bits = bits.map_or(Some(width), |bits| bits.parse().ok()).filter(|bits| *bits <= width)?;
    Some(Block { address, bits, v4 })
}

fn number(address: IpAddr) -> (u128, bool, u32) {
    match address.to_canonical() {
        IpAddr::V4(address) => (u128::from(address.to_bits()), true, 32),
        IpAddr::V6(address) => (address.to_bits(), false, 128),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_contains_its_addresses_only() {
        let contains = |block: &str, address: &str| any_contains(&[block.to_owned()], address.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.1"));
        assert!(contains("0.0.0.0/0", "1.2.3.4") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("::/0", "2001:db8::1") && contains("127.0.0.1", "::ffff:127.0.0.1"));
        assert!(contains("2001:db8::/33", "2001:db8::1") && !contains("2001:db8::/33", "2001:db8:8000::1"));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "x", "::/129", "1.2.3.4/-1"] {
            assert!(check_all(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
