//! Values on the command line: the value itself, `@FILE`, or `-` for stdin.

use std::{convert::Infallible, path::PathBuf};

use coffer_api::Sensitive;
use zeroize::Zeroizing;

use crate::{failure::Failure, input, session::Session};

/// Where a value comes from.
#[derive(Clone)]
pub(crate) enum Given {
    /// A file.
    File(PathBuf),
    /// The command line.
    Inline(Sensitive<String>),
    /// Stdin.
    Stdin,
}

/// Parses; every text means something, so that no message repeats one.
pub(crate) fn parse(text: &str) -> Result<Given, Infallible> {
    Ok(match text.strip_prefix('@') {
        Some(path) => Given::File(PathBuf::from(path)),
        None if text == "-" => Given::Stdin,
        None => Given::Inline(Sensitive::from(text)),
    })
}

impl Given {
    /// The bytes.
    ///
    /// # Errors
    /// Where they cannot be read, or exceed [`input::VALUE_LIMIT`].
    pub(crate) fn bytes(&self) -> Result<Zeroizing<Vec<u8>>, Failure> {
        match self {
            Self::File(path) => input::file_bytes(path),
            Self::Inline(value) => Ok(Zeroizing::new(value.expose().clone().into_bytes())),
            Self::Stdin => input::stdin_bytes(),
        }
    }

    /// A text without the space around it: a ciphertext, a signature, PEM.
    ///
    /// # Errors
    /// As [`Self::bytes`], and where it is not UTF-8 or empty; `what` names it.
    pub(crate) fn text(&self, what: &str) -> Result<Sensitive<String>, Failure> {
        let bytes = self.bytes()?;
        match std::str::from_utf8(&bytes).map(str::trim) {
            Ok("") => Err(Failure::local(format!("the {what} is empty"))),
            Ok(text) => Ok(Sensitive::from(text)),
            Err(_) => Err(Failure::local(format!("the {what} is not UTF-8 text"))),
        }
    }

    /// Tells a person that the command line is no place for a secret.
    pub(crate) fn warn(&self, session: &Session) {
        match self {
            Self::Inline(_) => session.output.note_to_person(
                "hint: the value now stands in your shell's history; --value alone, --value - and --value @FILE keep it out",
            ),
            Self::File(_) | Self::Stdin => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_name_their_sources() {
        let shown = |text| match parse(text).unwrap() {
            Given::File(path) => format!("file {}", path.display()),
            Given::Inline(value) => format!("inline {}", value.expose()),
            Given::Stdin => "stdin".to_owned(),
        };
        for (text, source) in [
            ("-", "stdin"),
            ("@/x=y", "file /x=y"),
            ("@-", "file -"),
            ("", "inline "),
            ("--", "inline --"),
            ("a@b", "inline a@b"),
        ] {
            assert_eq!(shown(text), source);
        }
    }

    #[test]
    fn text_is_trimmed_and_never_empty_or_binary() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v");
        let text = || Given::File(path.clone()).text("ciphertext").map(|text| text.expose().clone());
        std::fs::write(&path, " vault:v1:x\r\n").unwrap();
        assert_eq!(text().unwrap(), "vault:v1:x");
        for bad in [&b" \n"[..], b"\xff"] {
            std::fs::write(&path, bad).unwrap();
            assert!(text().is_err());
        }
    }
}
