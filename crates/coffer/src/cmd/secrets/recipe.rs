//! How a value is to be made, on the command line.

use clap::{Args, ValueEnum};
use coffer_api::generate::{CharacterClass, Generated, Recipe, X25519Format};

use crate::{failure::Failure, session::Session};

/// Kinds of values.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum RecipeKind {
    /// Random bytes in base64
    Base64,
    /// Random bytes in hexadecimal
    Hex,
    /// Words of the EFF's long list
    Passphrase,
    /// Random characters
    Password,
    /// An RSA key, PKCS#8 in PEM
    Rsa,
    /// An Ed25519 key as OpenSSH has it
    SshEd25519,
    /// A random UUID
    Uuid,
    /// An X25519 key
    X25519,
}

/// Classes of characters.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum Class {
    /// 0 to 9
    Digits,
    /// a to z
    Lower,
    /// Punctuation but quotes, $, \ and `
    Symbols,
    /// A to Z
    Upper,
}

/// Formats of an X25519 key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(super) enum KeyFormat {
    /// 32 bytes, as WireGuard has them
    Base64,
    /// PKCS#8
    Pem,
}

/// Options of a recipe.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Recipe")]
pub(super) struct RecipeOptions {
    /// Characters of a password [default: 24]
    #[arg(long, value_name = "N")]
    length: Option<u32>,
    /// Which a password has, one of each at least [default: all]
    #[arg(long, value_name = "CLASSES", value_delimiter = ',', value_enum)]
    classes: Vec<Class>,
    /// Characters that a password does not have
    #[arg(long, value_name = "CHARACTERS")]
    exclude: Option<String>,
    /// Words of a passphrase [default: 6]
    #[arg(long, value_name = "N")]
    words: Option<u32>,
    /// What stands between words [default: -]
    #[arg(long, value_name = "TEXT")]
    separator: Option<String>,
    /// Bytes of hex and base64 [default: 32]
    #[arg(long, value_name = "N")]
    bytes: Option<u32>,
    /// Base64 for URLs, without padding
    #[arg(long)]
    url: bool,
    /// Size of an RSA key: 2048, 3072, 4096 [default: 3072]
    #[arg(long, value_name = "N")]
    bits: Option<u32>,
    /// Comment of an SSH key
    #[arg(long, value_name = "TEXT")]
    comment: Option<String>,
    /// Format of an X25519 key [default: pem]
    #[arg(long, value_name = "FORMAT", value_enum)]
    key_format: Option<KeyFormat>,
}

impl RecipeOptions {
    /// The recipe of this kind.
    ///
    /// # Errors
    /// Where an option belongs to another kind.
    pub(super) fn recipe(&self, kind: RecipeKind) -> Result<Recipe, Failure> {
        let wanted: &[&str] = match kind {
            RecipeKind::Base64 => &["--bytes", "--url"],
            RecipeKind::Hex => &["--bytes"],
            RecipeKind::Passphrase => &["--words", "--separator"],
            RecipeKind::Password => &["--length", "--classes", "--exclude"],
            RecipeKind::Rsa => &["--bits"],
            RecipeKind::SshEd25519 => &["--comment"],
            RecipeKind::Uuid => &[],
            RecipeKind::X25519 => &["--key-format"],
        };
        if let Some(stray) = self.given().into_iter().find(|option| !wanted.contains(option)) {
            let failure = Failure::local(format!("{stray} is not for {}", name(kind)));
            return Err(match wanted {
                [] => failure.hint("it has no options"),
                wanted => failure.hint(format!("it has {}", wanted.join(", "))),
            });
        }
        let Self { length, classes, exclude, words, separator, bytes, url, bits, comment, key_format } = self.clone();
        Ok(match kind {
            RecipeKind::Base64 => Recipe::Base64 { bytes, url },
            RecipeKind::Hex => Recipe::Hex { bytes },
            RecipeKind::Passphrase => Recipe::Passphrase { words, separator },
            RecipeKind::Password => {
                let classes: Vec<CharacterClass> = classes.into_iter().map(class).collect();
                Recipe::Password { length, classes: Some(classes).filter(|classes| !classes.is_empty()), exclude }
            }
            RecipeKind::Rsa => Recipe::Rsa { bits },
            RecipeKind::SshEd25519 => Recipe::SshEd25519 { comment },
            RecipeKind::Uuid => Recipe::Uuid {},
            RecipeKind::X25519 => Recipe::X25519 {
                format: key_format.map(|format| match format {
                    KeyFormat::Base64 => X25519Format::Base64,
                    KeyFormat::Pem => X25519Format::Pem,
                }),
            },
        })
    }

    /// Whether any option was given.
    pub(super) fn is_empty(&self) -> bool {
        self.given().is_empty()
    }

    fn given(&self) -> Vec<&'static str> {
        let Self { length, classes, exclude, words, separator, bytes, url, bits, comment, key_format } = self;
        [
            ("--length", length.is_some()),
            ("--classes", !classes.is_empty()),
            ("--exclude", exclude.is_some()),
            ("--words", words.is_some()),
            ("--separator", separator.is_some()),
            ("--bytes", bytes.is_some()),
            ("--url", *url),
            ("--bits", bits.is_some()),
            ("--comment", comment.is_some()),
            ("--key-format", key_format.is_some()),
        ]
        .into_iter()
        .filter_map(|(option, is_given)| is_given.then_some(option))
        .collect()
    }
}

/// Shows what was made; `what` is how people are told of it. A public part goes to stdout.
///
/// # Errors
/// Where stdout fails, or the format does not fit.
pub(super) fn show(session: &Session, generated: &Generated, what: &str) -> Result<(), Failure> {
    session.output.show_or_note(generated, |generated| {
        let version = generated.version.version;
        match (generated.entropy_bits, &generated.public) {
            (Some(bits), _) => format!("{what}version {version}, {bits} bits of entropy"),
            (None, Some(_)) => format!("{what}version {version}; its public part:"),
            (None, None) => format!("{what}version {version}"),
        }
    })?;
    match &generated.public {
        Some(public) => session.output.lines_to_person(public),
        None => Ok(()),
    }
}

fn class(class: Class) -> CharacterClass {
    match class {
        Class::Digits => CharacterClass::Digits,
        Class::Lower => CharacterClass::Lower,
        Class::Symbols => CharacterClass::Symbols,
        Class::Upper => CharacterClass::Upper,
    }
}

fn name(kind: RecipeKind) -> String {
    kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
