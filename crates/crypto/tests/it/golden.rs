//! One file per sealed format ever released, made by another implementation from docs/CRYPTO.md: each opens for ever.

use coffer_crypto::{Secret, envelope, object, wrap};

#[test]
fn envelope_v1_opens() {
    let key = envelope::TermKey::new(7, &key()).unwrap();
    let sealed = include_bytes!("../../testdata/golden/envelope-v1.bin");
    assert_eq!(envelope::term_of(sealed).unwrap(), 7);
    assert_eq!(*key.open(AAD, sealed).unwrap(), PLAINTEXT);
    assert_eq!(sealed.len(), PLAINTEXT.len() + envelope::OVERHEAD);
}

#[test]
fn wrap_v1_opens() {
    let unwrapped = wrap::unwrap(&key(), AAD, include_bytes!("../../testdata/golden/wrap-v1.bin")).unwrap();
    assert_eq!(unwrapped.expose(), (0x40..0x60).collect::<Vec<u8>>());
}

#[test]
fn object_v1_opens() {
    let sealed = include_bytes!("../../testdata/golden/object-v1.bin");
    assert_eq!(*object::open(&key(), AAD, sealed).unwrap(), PLAINTEXT);
}

fn key() -> Secret {
    Secret::copy_from(&(0..32).collect::<Vec<u8>>()).unwrap()
}

const AAD: &[u8] = b"golden/path";
const PLAINTEXT: &[u8] = b"golden plaintext";
