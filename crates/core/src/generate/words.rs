//! Passphrases of the EFF's long word list: 7,776 English words, by the Electronic Frontier Foundation, 2016, under
//! CC BY 3.0 US (<https://www.eff.org/dice>); here without its dice numbers.

use zeroize::Zeroizing;

use super::Choice;
use crate::Error;

/// So many words, and of how many bits of choice they are.
pub(super) fn passphrase(count: u32, separator: &str) -> Result<(Zeroizing<String>, u32), Error> {
    let words: Vec<&str> = WORDS.lines().collect();
    let bound = u32::try_from(words.len()).map_err(Error::internal)?;
    let mut choice = Choice::new();
    let longest = LONGEST + separator.len();
    let mut out = Zeroizing::new(String::with_capacity(usize::try_from(count).map_err(Error::internal)? * longest));
    for number in 0..count {
        if number > 0 {
            out.push_str(separator);
        }
        let at = usize::try_from(choice.below(bound)?).map_err(Error::internal)?;
        out.push_str(words.get(at).ok_or_else(|| Error::internal("a word beyond the list's end"))?);
    }
    // 12.92 bits a word, in whole hundredths so that no more is claimed.
    Ok((out, count * 1292 / 100))
}

const WORDS: &str = include_str!("words.txt");

/// Bytes of the longest word.
const LONGEST: usize = 9;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn list_has_its_words_once_each() {
        let words: HashSet<&str> = WORDS.lines().collect();
        assert_eq!((words.len(), WORDS.lines().count()), (7776, 7776));
        assert!(words.iter().all(|word| (3..=LONGEST).contains(&word.len())));
        assert!(words.iter().all(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')));
    }

    #[test]
    fn passphrase_has_its_words_and_what_stands_between_them() {
        let words: HashSet<&str> = WORDS.lines().collect();
        let (phrase, bits) = passphrase(6, " ").unwrap();
        assert_eq!((phrase.split(' ').count(), bits), (6, 77));
        assert!(phrase.split(' ').all(|word| words.contains(word)), "{}", phrase.as_str());
        assert_ne!(phrase, passphrase(6, " ").unwrap().0);
    }
}
