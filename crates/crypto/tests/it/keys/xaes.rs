//! XAES-256-GCM by its definition (<https://c2sp.org/XAES-256-GCM>), of nothing but AES's block and AES-256-GCM: held to
//! C2SP's accumulated vector, and beside ours in both directions.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, EncryptingKey, UnboundCipherKey};
use coffer_crypto::keys::{Algorithm, KeyMaterial};
use shake::digest::{ExtendableOutput, Update, XofReader};

use super::{hex, prepared};

/// The ciphertext and its tag.
fn seal(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let of_library = message_key(key, nonce);
    let mut sealed = plaintext.to_vec();
    let nonce = Nonce::try_assume_unique_for_key(&nonce[12..]).unwrap();
    of_library.seal_in_place_append_tag(nonce, Aad::from(aad), &mut sealed).unwrap();
    sealed
}

fn open(key: &[u8; 32], aad: &[u8], bytes: &[u8]) -> Vec<u8> {
    let (nonce, sealed) = bytes.split_first_chunk::<24>().unwrap();
    let mut sealed = sealed.to_vec();
    let of_message = Nonce::try_assume_unique_for_key(&nonce[12..]).unwrap();
    message_key(key, nonce).open_in_place(of_message, Aad::from(aad), &mut sealed).unwrap().to_vec()
}

/// The key for one message: of the first half of the nonce.
fn message_key(key: &[u8; 32], nonce: &[u8; 24]) -> LessSafeKey {
    let cipher = EncryptingKey::ecb(UnboundCipherKey::new(&AES_256, key).unwrap()).unwrap();
    let block = |mut block: [u8; 16]| {
        cipher.encrypt(&mut block).unwrap();
        block
    };
    // CMAC's subkey: zero's block, doubled in the field.
    let zero = u128::from_be_bytes(block([0; 16]));
    let subkey = (zero << 1) ^ if zero >> 127 == 1 { 0x87 } else { 0 };
    let half = |counter: u8| {
        let mut message = [0; 16];
        message[..4].copy_from_slice(&[0, counter, b'X', 0]);
        message[4..].copy_from_slice(&nonce[..12]);
        block((u128::from_be_bytes(message) ^ subkey).to_be_bytes())
    };
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[half(1), half(2)].concat()).unwrap())
}

#[test]
fn accumulated_vector_holds_for_the_definition_and_ours_opens_each_of_its_messages() {
    let mut random = shake::Shake128::default().finalize_xof();
    let mut made = shake::Shake128::default();
    let start: [u8; 16] = taken(&mut shake::Shake128::default().finalize_xof());
    assert_eq!(hex(&start), "7f9c2ba4e88f827d616045507605853e");
    for _ in 0..10_000 {
        let key: [u8; 32] = taken(&mut random);
        let nonce: [u8; 24] = taken(&mut random);
        let plaintext = text(&mut random);
        let aad = text(&mut random);
        let sealed = seal(&key, &nonce, &aad, &plaintext);
        made.update(&sealed);
        let opened = prepared(Algorithm::Xaes256Gcm, &key).decrypt(&aad, &[&nonce[..], &sealed].concat());
        assert_eq!(*opened.unwrap(), plaintext);
    }
    let hash: [u8; 32] = taken(&mut made.finalize_xof());
    assert_eq!(hex(&hash), "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939");
}

#[test]
fn what_ours_seals_the_definition_opens() {
    for len in 0..100_u8 {
        let material = KeyMaterial::generate(Algorithm::Xaes256Gcm).unwrap();
        let key: [u8; 32] = material.encoded().try_into().unwrap();
        let plaintext = vec![len; usize::from(len) * 7];
        let sealed = material.prepare().unwrap().encrypt(&[len], &plaintext).unwrap();
        assert_eq!(open(&key, &[len], &sealed), plaintext);
    }
}

fn taken<const N: usize>(from: &mut impl XofReader) -> [u8; N] {
    let mut bytes = [0; N];
    from.read(&mut bytes);
    bytes
}

/// Up to 255 bytes, their number before them.
fn text(from: &mut impl XofReader) -> Vec<u8> {
    let [len] = taken(from);
    let mut bytes = vec![0; usize::from(len)];
    from.read(&mut bytes);
    bytes
}
