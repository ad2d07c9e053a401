//! Text from elsewhere, made safe for a terminal and for the eye.

use std::cmp::Ordering::{Equal, Greater, Less};

/// The text on one line, with every control and format character (general categories Cc, Cf, Zl and Zp) escaped: a
/// terminal obeys some, others are invisible and make one name look like another.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || is_format(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

fn is_format(c: char) -> bool {
    FORMAT
        .binary_search_by(|&(first, last)| {
            if c < first {
                Greater
            } else if c > last {
                Less
            } else {
                Equal
            }
        })
        .is_ok()
}

/// Cf, Zl and Zp of Unicode 15.0, in order.
const FORMAT: [(char, char); 21] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{2064}'),
    ('\u{2066}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110bd}'),
    ('\u{110cd}', '\u{110cd}'),
    ('\u{13430}', '\u{1343f}'),
    ('\u{1bca0}', '\u{1bca3}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0001}', '\u{e0001}'),
    ('\u{e0020}', '\u{e007f}'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_from_elsewhere_cannot_drive_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\nc\u{9b}1m\u{202e}"), "a\\u{1b}[2Jb\\nc\\u{9b}1m\\u{202e}");
        assert_eq!(printable("prüfe 'das' \\"), "prüfe 'das' \\");
    }

    #[test]
    fn invisible_characters_show() {
        for c in
            ['\u{ad}', '\u{61c}', '\u{200b}', '\u{200f}', '\u{2029}', '\u{2060}', '\u{2069}', '\u{feff}', '\u{e0041}']
        {
            assert_eq!(printable(&format!("a{c}b")), format!("a\\u{{{:x}}}b", u32::from(c)));
        }
        for c in ['\u{ac}', '\u{ae}', '\u{200a}', '\u{2010}', '\u{2027}', '\u{202f}', '\u{e01ef}', '日', '🙂'] {
            assert_eq!(printable(&c.to_string()), c.to_string());
        }
    }

    #[test]
    fn table_is_in_order() {
        assert!(FORMAT.iter().all(|(first, last)| first <= last));
        assert!(FORMAT.windows(2).all(|pair| pair[0].1 < pair[1].0));
    }
}
