//! How persisted types become bytes: one format byte, then postcard (<https://postcard.jamesmunns.com/wire-format>).

use coffer_api::Code;
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::Error;

/// A type that is stored, with the format this release writes. Readers accept this one and the one before.
pub(crate) trait Persisted: Serialize + DeserializeOwned {
    /// The format byte written.
    const FORMAT: u8 = 1;
}

/// Format byte and postcard.
pub(crate) fn encode<T: Persisted>(value: &T) -> Result<Zeroizing<Vec<u8>>, Error> {
    postcard::to_extend(value, vec![T::FORMAT]).map(Zeroizing::new).map_err(Error::internal)
}

/// The value in `bytes`, which the entry under `key` held.
pub(crate) fn decode<T: Persisted>(key: &str, bytes: &[u8]) -> Result<T, Error> {
    match bytes.split_first() {
        Some((format, rest)) if *format == T::FORMAT => postcard::from_bytes(rest).map_err(|error| damaged(key, error)),
        Some((format, _)) => Err(unknown_format(key, *format, T::FORMAT)),
        None => Err(damaged(key, "empty")),
    }
}

/// An entry of a format that this release does not read.
pub(crate) fn unknown_format(key: &str, found: u8, known: u8) -> Error {
    let advice = if found > known { "a newer release wrote it; run that release" } else { "it is damaged" };
    Error::new(Code::Integrity, "a stored entry has a format this release does not know")
        .caused_by(format!("entry {key:?} has format {found}, known is {known}: {advice}"))
}

/// An entry whose bytes do not decode.
pub(crate) fn damaged(key: &str, cause: impl std::fmt::Display) -> Error {
    Error::new(Code::Integrity, "a stored entry does not decode").caused_by(format!("entry {key:?}: {cause}"))
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq, Serialize)]
    struct Row {
        name: String,
        count: u64,
    }

    impl Persisted for Row {}

    #[test]
    fn row_of_newer_format_is_refused_by_name() {
        let row = Row { name: "a".into(), count: 7 };
        let mut bytes = encode(&row).unwrap();
        assert_eq!(decode::<Row>("k", &bytes).unwrap(), row);
        bytes[0] = 9;
        assert!(format!("{:?}", decode::<Row>("k", &bytes).unwrap_err()).contains("newer release"));
        for len in 0..bytes.len() {
            assert!(decode::<Row>("k", &bytes[..len]).is_err());
        }
    }
}
