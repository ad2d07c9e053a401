//! Files: every length around a chunk's, and every way to damage one.

use std::io::{self, Read};

use coffer_crypto::Secret;
use coffer_crypto::file::{self, CHUNK_LEN, Error, Header, MAX_ENVELOPE_LEN};
use coffer_crypto::keys::{Algorithm, KeyMaterial, SignOptions};

#[test]
fn files_of_every_length_round_trip() {
    let key = key(1);
    for len in [0, 1, 100, CHUNK_LEN - 1, CHUNK_LEN, CHUNK_LEN + 1, 3 * CHUNK_LEN, 3 * CHUNK_LEN + 17] {
        let plaintext = plaintext(len);
        let sealed = seal(&key, b"envelope", &plaintext);
        assert_eq!(sealed.len(), HEADER_LEN + len + 16 * len.div_ceil(CHUNK_LEN).max(1));
        assert_eq!(open(&key, &sealed).unwrap(), plaintext, "{len}");
        assert_eq!(Header::read(&mut &sealed[..]).unwrap().envelope(), b"envelope");
    }
}

#[test]
fn files_read_in_dribbles_are_the_same() {
    let key = key(1);
    let plaintext = plaintext(2 * CHUNK_LEN + 5);
    let mut sealed = Vec::new();
    let len = file::encrypt(&key, b"", &mut Dribble(&plaintext), &mut sealed).unwrap();
    assert_eq!(len, u64::try_from(plaintext.len()).unwrap());
    let mut input = Dribble(&sealed);
    let header = Header::read(&mut input).unwrap();
    let mut opened = Vec::new();
    assert_eq!(header.decrypt(&key, &mut input, &mut opened).unwrap(), len);
    assert_eq!(opened, plaintext);
}

#[test]
fn files_cut_off_anywhere_do_not_open() {
    let key = key(1);
    let sealed = seal(&key, b"envelope", &plaintext(2 * CHUNK_LEN));
    let edges = [0, 1, HEADER_LEN - 1, HEADER_LEN, HEADER_LEN + 1, HEADER_LEN + 16, HEADER_LEN + CHUNK_LEN + 16];
    let end = sealed.len();
    for len in edges.into_iter().chain((0..end).step_by(1009)).chain(end - 40..end) {
        let opened = open(&key, &sealed[..len]);
        assert!(matches!(opened, Err(Error::Authentication | Error::Format)), "{len}");
    }
    let longer = [&sealed[..], &[0]].concat();
    assert!(matches!(open(&key, &longer), Err(Error::Authentication)));
}

#[test]
fn files_with_any_bit_of_the_header_or_a_byte_of_a_chunk_changed_do_not_open() {
    let key = key(1);
    let sealed = seal(&key, b"envelope", &plaintext(CHUNK_LEN + 1000));
    let bits = 0..HEADER_LEN * 8;
    for bit in bits.chain((HEADER_LEN * 8..sealed.len() * 8).step_by(9973)) {
        let mut edited = sealed.clone();
        edited[bit / 8] ^= 1 << (bit % 8);
        assert!(open(&key, &edited).is_err(), "{bit}");
    }
}

#[test]
fn chunks_in_another_order_or_of_another_file_do_not_open() {
    let key = key(1);
    let [one, other] = [(); 2].map(|()| seal(&key, b"envelope", &plaintext(3 * CHUNK_LEN)));
    let chunk = |file: &[u8], number: usize| {
        let start = HEADER_LEN + number * (CHUNK_LEN + 16);
        file[start..start + CHUNK_LEN + 16].to_vec()
    };
    let header = |file: &[u8]| file[..HEADER_LEN].to_vec();
    let build = |parts: &[Vec<u8>]| parts.concat();
    assert!(open(&key, &build(&[header(&one), chunk(&one, 0), chunk(&one, 1), chunk(&one, 2)])).is_ok());
    for wrong in [
        build(&[header(&one), chunk(&one, 1), chunk(&one, 0), chunk(&one, 2)]),
        build(&[header(&one), chunk(&one, 0), chunk(&one, 2)]),
        build(&[header(&one), chunk(&one, 0), chunk(&one, 0), chunk(&one, 1), chunk(&one, 2)]),
        build(&[header(&one), chunk(&one, 0), chunk(&one, 1)]),
        build(&[header(&one), chunk(&one, 0), chunk(&one, 1), chunk(&one, 2), chunk(&one, 2)]),
        build(&[header(&one), chunk(&one, 0), chunk(&other, 1), chunk(&one, 2)]),
        build(&[header(&other), chunk(&one, 0), chunk(&one, 1), chunk(&one, 2)]),
        build(&[header(&one)]),
    ] {
        assert!(matches!(open(&key, &wrong), Err(Error::Authentication)));
    }
}

#[test]
fn files_under_another_key_or_envelope_do_not_open() {
    let sealed = seal(&key(1), b"envelope", b"plaintext");
    assert!(matches!(open(&key(2), &sealed), Err(Error::Authentication)));
    assert!(matches!(open(&Secret::random(16).unwrap(), &sealed), Err(Error::Crypto(_))));
    let long = vec![0; MAX_ENVELOPE_LEN + 1];
    assert!(matches!(file::encrypt(&key(1), &long, &mut &b""[..], &mut Vec::new()), Err(Error::Format)));
    let mut huge = sealed.clone();
    huge[12..16].fill(0xff);
    assert!(matches!(open(&key(1), &huge), Err(Error::Authentication)));
    assert!(open(&key(1), &seal(&key(1), &long[1..], b"x")).is_ok());
}

#[test]
fn message_to_sign_is_as_documented_and_covers_all_of_a_file() {
    let content = plaintext(CHUNK_LEN + 3);
    let message = file::message_to_sign(Algorithm::Ed25519, &mut Dribble(&content)).unwrap();
    let hash = coffer_crypto::hash::digest(coffer_crypto::hash::Algorithm::Sha2_512, &content);
    let len = 65_539_u64.to_be_bytes();
    assert_eq!(message, [&b"coffer-file-v1\0ed25519"[..], &len, &hash].concat());
    assert_ne!(message, file::message_to_sign(Algorithm::Ed25519, &mut &content[1..]).unwrap());
    assert_ne!(message, file::message_to_sign(Algorithm::EcdsaP256, &mut &content[..]).unwrap());
    let key = KeyMaterial::generate(Algorithm::Ed25519).unwrap().prepare().unwrap();
    let signature = key.sign(&SignOptions::default(), &message).unwrap();
    assert!(key.verify(&SignOptions::default(), &message, &signature).unwrap());
}

#[test]
fn file_v1_opens() {
    let sealed = include_bytes!("../../testdata/golden/file-v1.bin");
    let header = Header::read(&mut &sealed[..]).unwrap();
    assert_eq!(header.envelope(), b"golden envelope");
    assert_eq!(open(&Secret::copy_from(&(0..32).collect::<Vec<u8>>()).unwrap(), sealed).unwrap(), b"golden plaintext");
}

fn seal(key: &Secret, envelope: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut sealed = Vec::new();
    file::encrypt(key, envelope, &mut &plaintext[..], &mut sealed).unwrap();
    sealed
}

fn open(key: &Secret, mut sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let header = Header::read(&mut sealed)?;
    let mut out = Vec::new();
    header.decrypt(key, &mut sealed, &mut out)?;
    Ok(out)
}

fn key(byte: u8) -> Secret {
    Secret::copy_from(&[byte; 32]).unwrap()
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..251).cycle().take(len).collect()
}

/// Gives a few bytes at a time, as a pipe does.
struct Dribble<'a>(&'a [u8]);

impl Read for Dribble<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let len = out.len().min(7001).min(self.0.len());
        let (now, rest) = self.0.split_at(len);
        out[..len].copy_from_slice(now);
        self.0 = rest;
        Ok(len)
    }
}

/// With an envelope of eight bytes.
const HEADER_LEN: usize = 12 + 4 + 8 + 32 + 32;
