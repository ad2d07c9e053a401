//! Object keys: what a value is sealed under so that deleting one row destroys it (crypto-shredding).

use coffer_crypto::{Secret, envelope, object};
use coffer_storage::{Expect, Sealed};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{Error, active::Active, codec, commit::Edit, keys};

impl Active {
    /// Seals data under a fresh object key, whose row goes into the edit.
    pub(crate) fn seal_object(
        &self,
        row: &str,
        version: u64,
        data: &[u8],
        edit: &mut Edit,
    ) -> Result<(Uuid, Vec<u8>), Error> {
        let id = Uuid::new_v4();
        let key = Secret::random(32)?;
        let sealed = object::seal(&key, object_aad(row, version).as_bytes(), data)?;
        edit.put(object_row(id), encode(&key), Some(Expect::Absent));
        Ok((id, sealed))
    }

    /// Opens data that was sealed under an object key.
    ///
    /// # Errors
    /// [`coffer_api::Code::Integrity`] where the key is gone, or is another's.
    pub(crate) async fn open_object(
        &self,
        row: &str,
        version: u64,
        object: Uuid,
        sealed: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let object_row = object_row(object);
        let found = self.open(&object_row).await?;
        let found = found.ok_or_else(|| codec::damaged(&object_row, "missing"))?;
        let key = decode(&object_row, &found.value)?;
        object::open(&key, object_aad(row, version).as_bytes(), sealed).map_err(|error| codec::damaged(row, error))
    }
}

/// The row of an object key.
pub(crate) fn object_row(id: Uuid) -> String {
    format!("{}{id}", keys::OBJECT)
}

fn object_aad(row: &str, version: u64) -> String {
    format!("{row}\0{version}")
}

/// The row's value: format byte, padding, and at its end the key, where the store can wipe it.
fn encode(key: &Secret) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(ROW_LEN));
    bytes.push(OBJECT_FORMAT);
    bytes.resize(ROW_LEN - KEY_LEN, 0);
    bytes.extend_from_slice(key.expose());
    bytes
}

fn decode(row: &str, bytes: &[u8]) -> Result<Secret, Error> {
    match bytes.split_first() {
        Some((&OBJECT_FORMAT, rest)) if bytes.len() == ROW_LEN => {
            let key = rest.last_chunk::<KEY_LEN>().ok_or_else(|| codec::damaged(row, "truncated"))?;
            Ok(Secret::copy_from(key)?)
        }
        Some((&OBJECT_FORMAT, _)) | None => Err(codec::damaged(row, "its length")),
        Some((format, _)) => Err(codec::unknown_format(row, *format, OBJECT_FORMAT)),
    }
}

/// Format byte of an object key's row.
const OBJECT_FORMAT: u8 = 1;
const KEY_LEN: usize = 32;
/// With what the barrier adds, [`Sealed::WIPED_LEN`].
const ROW_LEN: usize = Sealed::WIPED_LEN - envelope::OVERHEAD;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_has_the_length_that_the_store_wipes_and_the_key_at_its_end() {
        let key = Secret::copy_from(&[7; KEY_LEN]).unwrap();
        let row = encode(&key);
        assert_eq!(row.len() + envelope::OVERHEAD, Sealed::WIPED_LEN);
        assert_eq!((row[0], &row[ROW_LEN - KEY_LEN..]), (OBJECT_FORMAT, &[7; KEY_LEN][..]));
        assert!(row.capacity() == ROW_LEN, "a copy was left behind");
        assert_eq!(decode("r", &row).unwrap().expose(), key.expose());
        for damaged in [&row[..ROW_LEN - 1], &[][..], &[OBJECT_FORMAT; 33][..], &[9; ROW_LEN][..]] {
            assert!(decode("r", damaged).is_err());
        }
    }
}
