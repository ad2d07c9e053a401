//! Recipes for values that the server makes (docs/GENERATE.md).

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    Sensitive,
    secrets::{SetOptions, Version},
};

/// How a value is made.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Recipe {
    /// Random bytes in base64.
    Base64 {
        /// 8 to 4,096; 32 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u32>,
        /// With `-` and `_` for `+` and `/`, and without padding.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        url: bool,
    },
    /// Random bytes in hexadecimal.
    Hex {
        /// 8 to 4,096; 32 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bytes: Option<u32>,
    },
    /// Words of the EFF's long list.
    Passphrase {
        /// 3 to 64; 6 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        words: Option<u32>,
        /// Between the words, at most 8 characters; `-` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        separator: Option<String>,
    },
    /// Random characters, at least one of each class.
    Password {
        /// 4 to 4,096; 24 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        length: Option<u32>,
        /// Which characters; all four classes if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        classes: Option<Vec<CharacterClass>>,
        /// Characters to leave out, at most 100.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exclude: Option<String>,
    },
    /// An RSA key: PKCS#8 in PEM.
    Rsa {
        /// 2048, 3072 or 4096; 3072 if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bits: Option<u32>,
    },
    /// An Ed25519 key in OpenSSH's format.
    SshEd25519 {
        /// At most 200 characters, in the key and its public part.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        comment: Option<String>,
    },
    /// A random UUID (version 4).
    Uuid {},
    /// An X25519 key.
    X25519 {
        /// `pem` if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<X25519Format>,
    },
}

/// Characters of a password.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CharacterClass {
    /// `0` to `9`.
    Digits,
    /// `a` to `z`.
    Lower,
    /// `!#%&()*+,-./:;<=>?@[]^_{|}~`: none that a shell or a `.env` file replaces in double quotes.
    Symbols,
    /// `A` to `Z`.
    Upper,
}

/// How an X25519 key is written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum X25519Format {
    /// 32 bytes, as WireGuard has them.
    Base64,
    /// PKCS#8.
    Pem,
}

/// Body of `POST …/rotate`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretRotate {
    /// The recipe from now on; absent = the one that the secret was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Recipe>,
    /// Preconditions and options.
    #[serde(default)]
    pub options: SetOptions,
}

/// Body of `PUT secrets/{scope}/{name}`: exactly one of `value` and `generate`.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretPut {
    /// The value, at most 1 MiB less its JSON escaping.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Sensitive<String>>,
    /// How the server makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Recipe>,
    /// Preconditions and options.
    #[serde(default)]
    pub options: SetOptions,
}

/// As [`SecretPut`], of a value that the server makes.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SecretGenerate {
    /// How; the secret remembers it for `rotate`.
    pub generate: Recipe,
    /// Preconditions and options.
    #[serde(default)]
    pub options: SetOptions,
}

/// A version whose value the server made, without that.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct Generated {
    /// The new version.
    #[serde(flatten)]
    pub version: Version,
    /// How many values the recipe can come to, as a power of two rounded down; absent for keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entropy_bits: Option<u32>,
    /// The public part of a key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<String>,
}
