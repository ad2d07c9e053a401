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

/// The blocks in the form in which they are shown: a single address without its mask.
///
/// # Errors
/// Where one is neither an address nor a block.
pub(crate) fn canonical(blocks: &[String]) -> Result<Vec<String>, Error> {
    let one = |text: &String| match parse(text) {
        None => Err(Error::invalid(format!(
            "error parsing address {text:?}: Unable to convert {text:?} to an IPv4 or IPv6 address, or a UNIX Socket"
        ))),
        Some(block) if block.is_one() => Ok(text.split('/').next().unwrap_or(text).to_owned()),
        Some(_) => Ok(text.clone()),
    };
    blocks.iter().map(one).collect()
}

/// # Errors
/// Where one is not a block with its mask.
pub(crate) fn check_blocks(what: &str, blocks: &[String]) -> Result<(), Error> {
    match blocks.iter().find(|block| !block.contains('/') || parse(block).is_none()) {
        Some(bad) => Err(Error::invalid(format!("failed to validate {what} blocks: invalid CIDR address: {bad}"))),
        None => Ok(()),
    }
}

/// Whether each of the blocks lies within one of `of`.
pub(crate) fn are_within(blocks: &[String], of: &[String]) -> bool {
    let of: Vec<Block> = of.iter().filter_map(|block| parse(block)).collect();
    let within =
        |block: Block| of.iter().any(|outer| outer.bits <= block.bits && outer.covers(block.address, block.v4));
    blocks.iter().all(|block| parse(block).is_some_and(within))
}

struct Block {
    address: u128,
    bits: u32,
    v4: bool,
}

impl Block {
    fn contains(&self, address: IpAddr) -> bool {
        let (address, v4, _) = number(address);
        self.covers(address, v4)
    }

    fn covers(&self, address: u128, v4: bool) -> bool {
        let drop = self.width() - self.bits;
        v4 == self.v4 && (address ^ self.address).checked_shr(drop).unwrap_or(0) == 0
    }

    fn is_one(&self) -> bool {
        self.bits == self.width()
    }

    fn width(&self) -> u32 {
        if self.v4 { 32 } else { 128 }
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

    #[test]
    fn blocks_within_others_are_told_from_those_beside_them() {
        let list = |text: &str| text.split(',').filter(|one| !one.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        let within = |inner: &str, outer: &str| are_within(&list(inner), &list(outer));
        assert!(within("10.1.0.0/16,10.2.3.4/32", "10.0.0.0/8") && within("10.0.0.0/8", "10.0.0.0/8"));
        assert!(within("", "10.0.0.0/8") && within("::1/128", "::/0,10.0.0.0/8"));
        for (inner, outer) in [("10.0.0.0/7", "10.0.0.0/8"), ("0.0.0.0/0", "10.0.0.0/8"), ("::/0", "0.0.0.0/0")] {
            assert!(!within(inner, outer), "{inner} in {outer}");
        }
        assert!(!within("10.0.0.0/8,11.0.0.0/8", "10.0.0.0/8") && !within("x", "0.0.0.0/0"));
    }

    #[test]
    fn single_addresses_lose_their_mask() {
        let all = ["127.0.0.1/32", "::1/128", "10.1.2.3/8", "10.0.0.1"].map(str::to_owned);
        assert_eq!(canonical(&all).unwrap(), ["127.0.0.1", "::1", "10.1.2.3/8", "10.0.0.1"]);
        assert!(canonical(&["x".to_owned()]).is_err());
        assert!(check_blocks("CIDR", &all[..1]).is_ok() && check_blocks("CIDR", &all[3..]).is_err());
    }
}
