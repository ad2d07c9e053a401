//! Passwords of classes of characters.

use zeroize::Zeroizing;

use super::{Choice, Class};
use crate::Error;

/// The characters of some classes, without those left out; none is empty.
pub(super) struct Alphabet(Vec<Vec<char>>);

impl Alphabet {
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where there is no class, or nothing is left of one.
    pub(super) fn new(classes: &[Class], exclude: &str) -> Result<Self, Error> {
        let left = |class: &Class| class.characters().chars().filter(|c| !exclude.contains(*c)).collect();
        let classes: Vec<Vec<char>> = classes.iter().map(left).collect();
        if classes.is_empty() || classes.iter().any(Vec::is_empty) {
            return Err(Error::invalid("generate: a password needs a class of characters, and each class a character"));
        }
        Ok(Self(classes))
    }

    /// A password with at least one character of each class, every such one as likely as the other, and of how many bits of
    /// choice it is. The length is at least the number of classes.
    ///
    /// # Errors
    /// Where the generator fails.
    pub(super) fn password(&self, length: u32) -> Result<(Zeroizing<String>, u32), Error> {
        let all: Vec<(usize, char)> = self
            .0
            .iter()
            .enumerate()
            .flat_map(|(class, characters)| characters.iter().map(move |c| (class, *c)))
            .collect();
        let bound = u32::try_from(all.len()).map_err(Error::internal)?;
        let mut choice = Choice::new();
        // One in a thousand has all classes in the worst case: four characters of classes that have little left.
        for _ in 0..MOST_TRIES {
            let mut password = Zeroizing::new(String::with_capacity(usize::try_from(length).map_err(Error::internal)?));
            let mut seen = vec![false; self.0.len()];
            for _ in 0..length {
                let at = usize::try_from(choice.below(bound)?).map_err(Error::internal)?;
                let (class, character) = all.get(at).ok_or_else(|| Error::internal("beyond the alphabet's end"))?;
                password.push(*character);
                if let Some(seen) = seen.get_mut(*class) {
                    *seen = true;
                }
            }
            // As a whole: to mend one would make some passwords likelier than others.
            if seen.iter().all(|seen| *seen) {
                return Ok((password, self.entropy(length)));
            }
        }
        Err(Error::internal("no password has all of its classes"))
    }

    /// The logarithm of how many passwords have all classes, rounded down: by inclusion and exclusion, as a part of all.
    fn entropy(&self, length: u32) -> u32 {
        let count = |len: usize| u32::try_from(len).map_or(f64::INFINITY, f64::from);
        let sizes: Vec<f64> = self.0.iter().map(|class| count(class.len())).collect();
        let all: f64 = sizes.iter().sum();
        let mut part = 0.0;
        for without in 0..1_u32 << sizes.len() {
            let left_out =
                sizes.iter().enumerate().filter(|(class, _)| without >> class & 1 == 1).map(|(_, size)| size);
            let sign = if without.count_ones() % 2 == 0 { 1.0 } else { -1.0 };
            part += sign * ((all - left_out.sum::<f64>()) / all).powf(f64::from(length));
        }
        let bits = f64::from(length) * all.log2() + part.log2();
        // A number of bits is small, whole by then and never below zero; there is no other way from a float.
        format!("{:.0}", bits.max(0.0).floor()).parse().unwrap_or(0)
    }
}

impl Class {
    fn characters(self) -> &'static str {
        match self {
            Self::Digits => "0123456789",
            Self::Lower => "abcdefghijklmnopqrstuvwxyz",
            Self::Symbols => "!#%&()*+,-./:;<=>?@[]^_{|}~",
            Self::Upper => "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
        }
    }
}

const MOST_TRIES: u32 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Class; 4] = [Class::Digits, Class::Lower, Class::Symbols, Class::Upper];

    #[test]
    fn password_has_each_class_and_nothing_left_out() {
        for length in [4, 5, 24, 4096] {
            let alphabet = Alphabet::new(&ALL, "0O1lI").unwrap();
            let (password, bits) = alphabet.password(length).unwrap();
            assert_eq!(u32::try_from(password.len()).unwrap(), length);
            assert!(!password.contains(['0', 'O', '1', 'l', 'I']));
            for class in ALL {
                assert!(password.chars().any(|c| class.characters().contains(c)), "{class:?} in {}", password.as_str());
            }
            assert!(bits > 4 * length && bits < 7 * length, "{bits}");
        }
    }

    #[test]
    fn entropy_counts_the_passwords_that_there_are() {
        let digits = Alphabet::new(&[Class::Digits], "").unwrap();
        assert_eq!(digits.entropy(6), 19);
        // 'a' and one digit, each at least once in four places: 2^4 - 2 = 14.
        let two = Alphabet::new(&[Class::Digits, Class::Lower], "123456789bcdefghijklmnopqrstuvwxyz").unwrap();
        assert_eq!(two.entropy(4), 3);
        // Four places for 10, 26, 27 and 26 characters: 4! * 182,520 = 4,380,480.
        assert_eq!(Alphabet::new(&ALL, "").unwrap().entropy(4), 22);
        assert_eq!(Alphabet::new(&ALL, "").unwrap().entropy(24), 155);
    }

    #[test]
    fn password_of_the_rarest_kind_is_found() {
        let (lower, symbols) = ("bcdefghijklmnopqrstuvwxyz", "#%&()*+,-./:;<=>?@[]^_{|}~");
        let alphabet = Alphabet::new(&ALL, &format!("{lower}{symbols}")).unwrap();
        assert_eq!(alphabet.password(4).unwrap().0.len(), 4);
    }

    #[test]
    fn symbols_make_no_reference_and_need_no_quotes_of_a_shell() {
        assert!(!Class::Symbols.characters().contains(['$', '`', '"', '\'', '\\', ' ']));
    }
}
