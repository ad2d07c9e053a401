//! Where a list over many scopes goes on. A cursor is the path of the last key that was looked at, as long as the caller may
//! list its directory; else it is sealed, for no key is to be named to who may not list it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_crypto::{Secret, envelope::TermKey};

use super::check_directory;
use crate::Error;

/// What cursors are sealed with: of one activation, so that none is worth anything for longer.
pub(crate) struct Cursors(TermKey);

impl Cursors {
    /// # Errors
    /// Where there is no randomness.
    pub(crate) fn new() -> Result<Self, Error> {
        Ok(Self(TermKey::new(0, &Secret::random(32)?)?))
    }

    /// A cursor behind a path that is not to be named.
    pub(super) fn hidden(&self, path: &str) -> Result<String, Error> {
        let mut padded = path.as_bytes().to_vec();
        // Its length says nothing either.
        padded.resize(padded.len().next_multiple_of(PADDED), 0);
        Ok(format!("{MARK}{}", URL_SAFE_NO_PAD.encode(self.0.seal(PURPOSE, &[&padded])?)))
    }

    /// The path that a cursor stands for.
    ///
    /// # Errors
    /// Where it is none of this activation's, or no path.
    pub(super) fn path(&self, cursor: &str) -> Result<String, Error> {
        let Some(sealed) = cursor.strip_prefix(MARK) else {
            check_directory(cursor.trim_end_matches('/'))?;
            return Ok(cursor.to_owned());
        };
        let stale = || Error::invalid("after: no cursor of this list, or one from before a restart; begin anew");
        let sealed = URL_SAFE_NO_PAD.decode(sealed).map_err(|_| stale())?;
        let padded = self.0.open(PURPOSE, &sealed).map_err(|_| stale())?;
        let path = std::str::from_utf8(&padded).map_err(|_| stale())?;
        Ok(path.trim_end_matches('\0').to_owned())
    }
}

/// No path begins with it.
const MARK: char = '/';
const PURPOSE: &[u8] = b"coffer cursor";
const PADDED: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_cursor_names_nothing_and_is_worth_something_to_its_maker_alone() {
        let (cursors, others) = (Cursors::new().unwrap(), Cursors::new().unwrap());
        let cursor = cursors.hidden("acme/prod/KEY").unwrap();
        assert_eq!(cursor.len(), cursors.hidden("a/B").unwrap().len());
        assert!(!cursor.contains("acme") && cursor.starts_with('/'));
        assert_eq!(cursors.path(&cursor).unwrap(), "acme/prod/KEY");
        assert_eq!(cursors.path("acme/prod/KEY").unwrap(), "acme/prod/KEY");
        assert_eq!(cursors.path("").unwrap(), "");
        for bad in ["/", "/x", &cursor[..cursor.len() - 2], "a//b", "a\nb"] {
            assert!(cursors.path(bad).is_err(), "{bad:?}");
        }
        assert!(others.path(&cursor).is_err());
    }
}
