//! Bech32 (BIP 173) without its bound on lengths: how keys of age are written.

use zeroize::Zeroizing;

/// `prefix`, `1`, the bytes and a checksum, in lower case.
pub(super) fn encode(prefix: &str, bytes: &[u8]) -> String {
    let mut groups = regroup::<8, 5>(bytes.iter().copied());
    if (bytes.len() * 8).is_multiple_of(5) {
        groups.truncate(bytes.len() * 8 / 5);
    }
    let sum = polymod(expanded(prefix).chain(groups.iter().copied()).chain([0; 6])) ^ 1;
    let check = (0..6).map(|n| u8::try_from(sum >> (5 * (5 - n)) & 31).unwrap_or(0));
    let mut text = String::with_capacity(prefix.len() + groups.len() + 7);
    text.push_str(prefix);
    text.push('1');
    text.extend(groups.iter().copied().chain(check).filter_map(|group| CHARACTERS.chars().nth(usize::from(group))));
    text
}

/// The bytes of a text in lower case that begins with `prefix`; `None` for any other.
pub(super) fn decode(prefix: &str, text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (found, data) = text.rsplit_once('1')?;
    if found != prefix {
        return None;
    }
    let group = |c: char| CHARACTERS.find(c).and_then(|at| u8::try_from(at).ok());
    let groups = Zeroizing::new(data.chars().map(group).collect::<Option<Vec<u8>>>()?);
    if polymod(expanded(prefix).chain(groups.iter().copied())) != 1 {
        return None;
    }
    let (data, _) = groups.split_at_checked(groups.len().checked_sub(6)?)?;
    let mut bytes = regroup::<5, 8>(data.iter().copied());
    // What is left of the last group is padding: fewer than five bits, all zero.
    let whole = data.len() * 5 / 8;
    let padding = bytes.split_off(whole);
    (data.len() * 5 % 8 < 5 && padding.iter().all(|byte| *byte == 0)).then_some(bytes)
}

/// Groups of `FROM` bits as groups of `TO` bits, the last filled up with zeros.
fn regroup<const FROM: u32, const TO: u32>(groups: impl Iterator<Item = u8>) -> Zeroizing<Vec<u8>> {
    let mut out = Zeroizing::new(Vec::with_capacity(128));
    let (mut held, mut bits) = (0_u32, 0);
    for group in groups {
        held = held << FROM | u32::from(group);
        bits += FROM;
        while bits >= TO {
            bits -= TO;
            out.push(u8::try_from(held >> bits & ((1 << TO) - 1)).unwrap_or(0));
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        out.push(u8::try_from(held << (TO - bits) & ((1 << TO) - 1)).unwrap_or(0));
    }
    out
}

fn expanded(prefix: &str) -> impl Iterator<Item = u8> {
    prefix.bytes().map(|byte| byte >> 5).chain([0]).chain(prefix.bytes().map(|byte| byte & 31))
}

fn polymod(values: impl Iterator<Item = u8>) -> u32 {
    values.fold(1, |sum, value| {
        let top = sum >> 25;
        let sum = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        GENERATOR.iter().enumerate().fold(sum, |sum, (bit, part)| if top >> bit & 1 == 1 { sum ^ part } else { sum })
    })
}

const CHARACTERS: &str = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn published_texts_are_read_and_damaged_ones_are_not() {
        // BIP 173.
        assert!(decode("a", "a12uel5l").unwrap().is_empty());
        assert_eq!(decode("abcdef", "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw").unwrap().len(), 20);
        for bad in ["", "1", "a1", "a12uel5", "a12uel5m", "b12uel5l", "a1b2uel5l", "a12UEL5L"] {
            assert!(decode("a", bad).is_none(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bytes_come_back_and_one_changed_character_is_noticed(
            bytes in prop::collection::vec(any::<u8>(), 0..70), at: prop::sample::Index, to in 0..32_usize,
        ) {
            let text = encode("age", &bytes);
            let read = decode("age", &text).unwrap();
            prop_assert_eq!(read.as_slice(), bytes.as_slice());
            let at = 4 + at.index(text.len() - 4);
            let mut changed = text.clone();
            changed.replace_range(at..=at, &CHARACTERS[to..=to]);
            prop_assert!(changed == text || decode("age", &changed).is_none());
        }

        #[test]
        fn arbitrary_text_never_panics(text: String) {
            let _ = decode("age", &text);
        }
    }
}
