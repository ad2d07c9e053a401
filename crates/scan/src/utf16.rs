//! Texts as Windows writes them: UTF-16 with a mark at its beginning.

/// Turns UTF-16 into UTF-8, piece by piece.
pub(crate) struct Utf16 {
    order: Order,
    /// A byte whose other half has not come yet.
    byte: Option<u8>,
    /// The first half of a pair.
    high: Option<u16>,
}

#[derive(Clone, Copy)]
enum Order {
    Big,
    Little,
}

impl Utf16 {
    /// A decoder, where a text begins with the mark.
    pub(crate) fn of_beginning(text: &[u8]) -> Option<Self> {
        let order = match text {
            [0xfe, 0xff, ..] => Order::Big,
            [0xff, 0xfe, ..] => Order::Little,
            _ => return None,
        };
        Some(Self { order, byte: None, high: None })
    }

    /// The next piece as text; what is no UTF-16 becomes U+FFFD.
    pub(crate) fn decode(&mut self, piece: &[u8]) -> String {
        let mut text = String::with_capacity(piece.len() / 2 + 4);
        for byte in piece {
            let Some(first) = self.byte.take() else {
                self.byte = Some(*byte);
                continue;
            };
            let unit = match self.order {
                Order::Big => u16::from_be_bytes([first, *byte]),
                Order::Little => u16::from_le_bytes([first, *byte]),
            };
            let high = self.high.take();
            match (high, unit) {
                (None, 0xd800..=0xdbff) => self.high = Some(unit),
                (high, unit) => {
                    let units = high.into_iter().chain([unit]);
                    text.extend(char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
                }
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_the_same_wherever_it_is_cut() {
        let text = "\u{feff}a ä 🙂\r\nend";
        let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [little, big] {
            for cut in 0..=bytes.len() {
                let mut decoder = Utf16::of_beginning(&bytes).unwrap();
                let (one, two) = bytes.split_at(cut);
                assert_eq!(decoder.decode(one) + &decoder.decode(two), text);
            }
        }
    }

    #[test]
    fn half_a_pair_is_replaced_and_other_text_is_left_alone() {
        let mut decoder = Utf16::of_beginning(&[0xfe, 0xff]).unwrap();
        assert_eq!(decoder.decode(&[0xd8, 0x00, 0x00, 0x61]), "\u{fffd}a");
        assert!(Utf16::of_beginning(b"ab").is_none() && Utf16::of_beginning(b"").is_none());
    }
}
