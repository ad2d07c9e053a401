//! Values that the server makes: recipes as they are stored with a secret, and what comes of them.

mod characters;
pub(crate) mod policy;
mod words;

use std::sync::Arc;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use coffer_api::{
    Sensitive,
    generate::{self as api, CharacterClass},
};
use coffer_crypto::{
    keys::{Algorithm, WrittenPair, X25519Format, pkcs8_pem, ssh_ed25519, x25519},
    rng,
};
use serde::{Deserialize, Serialize};
use uuid::Builder;
use zeroize::Zeroizing;

use self::characters::Alphabet;
use crate::{Error, active::Active};

/// A recipe that was checked, as it is stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) enum Recipe {
    Base64 { bytes: u32 },
    Base64Url { bytes: u32 },
    Hex { bytes: u32 },
    Passphrase { words: u32, separator: String },
    Password { length: u32, classes: Vec<Class>, exclude: String },
    Rsa(RsaBits),
    SshEd25519 { comment: String },
    Uuid,
    X25519Base64,
    X25519Pem,
}

/// Characters of a password.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub(crate) enum Class {
    Digits,
    Lower,
    Symbols,
    Upper,
}

/// The size of an RSA key.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) enum RsaBits {
    B2048,
    B3072,
    B4096,
}

/// A value that was made.
pub(crate) struct Made {
    pub(crate) value: Sensitive<String>,
    /// Of how many bits of choice; `None` for keys.
    pub(crate) entropy_bits: Option<u32>,
    /// The public part of a key.
    pub(crate) public: Option<String>,
}

impl Recipe {
    /// Checks what somebody asks for.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where a number is out of its bounds, or no value would be left.
    pub(crate) fn parse(recipe: &api::Recipe) -> Result<Self, Error> {
        let within = |what: &str, given: Option<u32>, usual: u32, bounds: std::ops::RangeInclusive<u32>| {
            let given = given.unwrap_or(usual);
            if bounds.contains(&given) {
                return Ok(given);
            }
            Err(Error::invalid(format!("generate: {what} is {} to {}, not {given}", bounds.start(), bounds.end())))
        };
        let parsed = match recipe {
            api::Recipe::Base64 { bytes, url: false } => Self::Base64 { bytes: within("bytes", *bytes, 32, 8..=4096)? },
            api::Recipe::Base64 { bytes, url: true } => {
                Self::Base64Url { bytes: within("bytes", *bytes, 32, 8..=4096)? }
            }
            api::Recipe::Hex { bytes } => Self::Hex { bytes: within("bytes", *bytes, 32, 8..=4096)? },
            api::Recipe::Passphrase { words, separator } => {
                let separator = separator.clone().unwrap_or_else(|| "-".to_owned());
                if separator.chars().count() > 8 || separator.chars().any(char::is_control) {
                    return Err(Error::invalid("generate: a separator is at most 8 printable characters"));
                }
                Self::Passphrase { words: within("words", *words, 6, 3..=64)?, separator }
            }
            api::Recipe::Password { length, classes, exclude } => {
                let length = within("length", *length, 24, 4..=4096)?;
                let classes = match classes {
                    None => vec![Class::Digits, Class::Lower, Class::Symbols, Class::Upper],
                    Some(classes) => {
                        let mut classes: Vec<Class> = classes.iter().copied().map(Class::from).collect();
                        classes.sort_unstable();
                        classes.dedup();
                        classes
                    }
                };
                let exclude = exclude.clone().unwrap_or_default();
                if exclude.chars().count() > 100 {
                    return Err(Error::invalid("generate: at most 100 characters are left out"));
                }
                Alphabet::new(&classes, &exclude)?;
                Self::Password { length, classes, exclude }
            }
            api::Recipe::Rsa { bits } => Self::Rsa(match bits.unwrap_or(3072) {
                2048 => RsaBits::B2048,
                3072 => RsaBits::B3072,
                4096 => RsaBits::B4096,
                other => {
                    return Err(Error::invalid(format!("generate: bits is 2048, 3072 or 4096, not {other}")));
                }
            }),
            api::Recipe::SshEd25519 { comment } => {
                let comment = comment.clone().unwrap_or_default();
                if comment.chars().count() > 200 || comment.chars().any(char::is_control) {
                    return Err(Error::invalid("generate: a comment is at most 200 printable characters"));
                }
                Self::SshEd25519 { comment }
            }
            api::Recipe::Uuid {} => Self::Uuid,
            api::Recipe::X25519 { format: None | Some(api::X25519Format::Pem) } => Self::X25519Pem,
            api::Recipe::X25519 { format: Some(api::X25519Format::Base64) } => Self::X25519Base64,
        };
        Ok(parsed)
    }

    /// The name of its kind, for records.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Base64 { .. } | Self::Base64Url { .. } => "base64",
            Self::Hex { .. } => "hex",
            Self::Passphrase { .. } => "passphrase",
            Self::Password { .. } => "password",
            Self::Rsa(_) => "rsa",
            Self::SshEd25519 { .. } => "ssh-ed25519",
            Self::Uuid => "uuid",
            Self::X25519Base64 | Self::X25519Pem => "x25519",
        }
    }

    /// As it was asked for, with everything said.
    pub(crate) fn shown(&self) -> api::Recipe {
        match self {
            Self::Base64 { bytes } => api::Recipe::Base64 { bytes: Some(*bytes), url: false },
            Self::Base64Url { bytes } => api::Recipe::Base64 { bytes: Some(*bytes), url: true },
            Self::Hex { bytes } => api::Recipe::Hex { bytes: Some(*bytes) },
            Self::Passphrase { words, separator } => {
                api::Recipe::Passphrase { words: Some(*words), separator: Some(separator.clone()) }
            }
            Self::Password { length, classes, exclude } => api::Recipe::Password {
                length: Some(*length),
                classes: Some(classes.iter().copied().map(CharacterClass::from).collect()),
                exclude: Some(exclude.clone()).filter(|exclude| !exclude.is_empty()),
            },
            Self::Rsa(bits) => api::Recipe::Rsa { bits: Some(bits.number()) },
            Self::SshEd25519 { comment } => {
                api::Recipe::SshEd25519 { comment: Some(comment.clone()).filter(|comment| !comment.is_empty()) }
            }
            Self::Uuid => api::Recipe::Uuid {},
            Self::X25519Base64 => api::Recipe::X25519 { format: Some(api::X25519Format::Base64) },
            Self::X25519Pem => api::Recipe::X25519 { format: Some(api::X25519Format::Pem) },
        }
    }
}

impl Active {
    /// Makes a value. Where that takes its time, it is done off the runtime's threads.
    ///
    /// # Errors
    /// [`coffer_api::Code::RateLimited`] where too many wait for an RSA key; others where the library fails.
    pub(crate) async fn generate(self: &Arc<Self>, recipe: &Recipe) -> Result<Made, Error> {
        let text = |value: Zeroizing<String>, bits: u32| Made {
            value: Sensitive::new(value.as_str().to_owned()),
            entropy_bits: Some(bits),
            public: None,
        };
        let pair = |pair: WrittenPair| Made {
            value: Sensitive::new(pair.private.as_str().to_owned()),
            entropy_bits: None,
            public: Some(pair.public),
        };
        Ok(match recipe {
            Recipe::Base64 { bytes } => text(Zeroizing::new(STANDARD.encode(&*random(*bytes)?)), bytes * 8),
            Recipe::Base64Url { bytes } => text(Zeroizing::new(URL_SAFE_NO_PAD.encode(&*random(*bytes)?)), bytes * 8),
            Recipe::Hex { bytes } => text(hex(&random(*bytes)?), bytes * 8),
            Recipe::Passphrase { words, separator } => {
                let (value, bits) = words::passphrase(*words, separator)?;
                text(value, bits)
            }
            Recipe::Password { length, classes, exclude } => {
                let (value, bits) = Alphabet::new(classes, exclude)?.password(*length)?;
                text(value, bits)
            }
            Recipe::Rsa(bits) => pair(pkcs8_pem(&self.ready_material(bits.algorithm()).await?)?),
            Recipe::SshEd25519 { comment } => pair(ssh_ed25519(comment)?),
            Recipe::Uuid => {
                let id = Builder::from_random_bytes(rng::bytes()?).into_uuid();
                text(Zeroizing::new(id.to_string()), 122)
            }
            Recipe::X25519Base64 => pair(x25519(X25519Format::Base64)?),
            Recipe::X25519Pem => pair(x25519(X25519Format::Pem)?),
        })
    }
}

impl RsaBits {
    fn algorithm(self) -> Algorithm {
        match self {
            Self::B2048 => Algorithm::Rsa2048,
            Self::B3072 => Algorithm::Rsa3072,
            Self::B4096 => Algorithm::Rsa4096,
        }
    }

    fn number(self) -> u32 {
        match self {
            Self::B2048 => 2048,
            Self::B3072 => 3072,
            Self::B4096 => 4096,
        }
    }
}

impl From<CharacterClass> for Class {
    fn from(class: CharacterClass) -> Self {
        match class {
            CharacterClass::Digits => Self::Digits,
            CharacterClass::Lower => Self::Lower,
            CharacterClass::Symbols => Self::Symbols,
            CharacterClass::Upper => Self::Upper,
        }
    }
}

impl From<Class> for CharacterClass {
    fn from(class: Class) -> Self {
        match class {
            Class::Digits => Self::Digits,
            Class::Lower => Self::Lower,
            Class::Symbols => Self::Symbols,
            Class::Upper => Self::Upper,
        }
    }
}

fn random(len: u32) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut bytes = Zeroizing::new(vec![0; usize::try_from(len).map_err(Error::internal)?]);
    rng::fill(&mut bytes)?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> Zeroizing<String> {
    let digit = |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0');
    Zeroizing::new(bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect())
}

/// Numbers below a bound, each as likely as the other: what would favour some is thrown away.
struct Choice {
    bytes: Zeroizing<Vec<u8>>,
}

impl Choice {
    fn new() -> Self {
        Self { bytes: Zeroizing::default() }
    }

    /// A number below `bound`, which is 1 to 65,536.
    fn below(&mut self, bound: u32) -> Result<u32, Error> {
        // The largest multiple of the bound that two bytes can say.
        let fair = (1 << 16) / bound * bound;
        loop {
            let number = u32::from(u16::from_be_bytes(self.two()?));
            if number < fair {
                return Ok(number % bound);
            }
        }
    }

    fn two(&mut self) -> Result<[u8; 2], Error> {
        if self.bytes.len() < 2 {
            self.bytes.resize(512, 0);
            rng::fill(&mut self.bytes)?;
        }
        match (self.bytes.pop(), self.bytes.pop()) {
            (Some(one), Some(other)) => Ok([one, other]),
            (_, _) => Err(Error::internal("no random bytes are left of those drawn")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choice_is_even_where_the_bound_divides_nothing() {
        let mut choice = Choice::new();
        let mut counts = [0_u32; 90];
        for _ in 0..90_000 {
            counts[usize::try_from(choice.below(90).unwrap()).unwrap()] += 1;
        }
        // Each is 1,000 in the mean with a deviation of 31.4; seven of those happen once in 10^11.
        assert!(counts.iter().all(|count| count.abs_diff(1000) < 220), "{counts:?}");
        // Of this bound a third of all numbers is thrown away; without that the lower half would come twice as often.
        let low = (0..30_000).filter(|_| choice.below(43_690).unwrap() < 21_845).count();
        assert!(low.abs_diff(15_000) < 620, "{low}");
        assert_eq!(choice.below(1).unwrap(), 0);
    }

    #[test]
    fn recipe_out_of_bounds_is_refused_and_another_reads_back() {
        let parse = |text: &str| Recipe::parse(&serde_json::from_str(text).unwrap());
        for bad in [
            r#"{"kind":"hex","bytes":7}"#,
            r#"{"kind":"base64","bytes":4097}"#,
            r#"{"kind":"passphrase","words":2}"#,
            r#"{"kind":"passphrase","separator":"123456789"}"#,
            r#"{"kind":"password","length":3}"#,
            r#"{"kind":"password","classes":[]}"#,
            r#"{"kind":"password","classes":["digits"],"exclude":"0123456789"}"#,
            r#"{"kind":"rsa","bits":1024}"#,
            r#"{"kind":"ssh-ed25519","comment":"a\nb"}"#,
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for good in [
            r#"{"kind":"hex"}"#,
            r#"{"kind":"base64","url":true}"#,
            r#"{"kind":"passphrase","separator":""}"#,
            r#"{"kind":"password","classes":["upper","digits","upper"],"exclude":"O0"}"#,
            r#"{"kind":"rsa","bits":4096}"#,
            r#"{"kind":"ssh-ed25519"}"#,
            r#"{"kind":"uuid"}"#,
            r#"{"kind":"x25519","format":"base64"}"#,
        ] {
            let recipe = parse(good).unwrap();
            assert_eq!(Recipe::parse(&recipe.shown()).unwrap(), recipe);
            assert_eq!(postcard::from_bytes::<Recipe>(&postcard::to_allocvec(&recipe).unwrap()).unwrap(), recipe);
        }
        for unknown in [r#"{"kind":"hex","length":7}"#, r#"{"kind":"uuid","x":1}"#, r#"{"kind":"pin"}"#, "{}"] {
            assert!(serde_json::from_str::<api::Recipe>(unknown).is_err(), "{unknown}");
        }
    }
}
