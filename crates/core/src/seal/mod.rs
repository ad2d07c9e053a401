//! What protects the root key: it is stored wrapped, once per configured seal.
//!
//! `root` has the row and its wraps, `file` the key file; shares are in `shares` and given in `init`, `unseal`, `rekey`,
//! `generate_root` and, on the way from one seal to the other, `migrate`. `asker` has who may do the last three.
//! `pgp` encrypts what they tell, and `backup` keeps it.

pub(crate) mod asker;
pub(crate) mod backup;
pub(crate) mod file;
pub(crate) mod generate_root;
pub(crate) mod init;
pub(crate) mod migrate;
pub(crate) mod pgp;
pub(crate) mod rekey;
pub(crate) mod retire;
pub(crate) mod root;
pub(crate) mod shares;
pub(crate) mod unseal;

use std::fmt;

use serde::Deserialize;

pub(crate) use file::FileSeal;

/// Which seal a node is started with.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum SealKind {
    /// A key file on this machine opens the seal.
    #[default]
    File,
    /// So many shares together open it; nothing on this machine does.
    Shamir,
}

impl SealKind {
    /// Its name, in settings, rows and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Shamir => "shamir",
        }
    }
}

impl fmt::Display for SealKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for SealKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "file" => Ok(Self::File),
            "shamir" => Ok(Self::Shamir),
            _ => Err("either \"file\" or \"shamir\"".into()),
        }
    }
}
