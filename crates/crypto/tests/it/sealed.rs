//! What holds for all three sealed formats: round trip, and a typed refusal of everything else.

use coffer_crypto::envelope::{self, TermKey};
use coffer_crypto::{Error, Secret, Zeroizing, object, wrap};
use proptest::prelude::*;

type Open = fn(&Secret, &[u8], &[u8]) -> Result<Zeroizing<Vec<u8>>, Error>;
type Seal = fn(&Secret, &[u8], &[u8]) -> Result<Vec<u8>, Error>;

/// Name, length of the header, seal, open.
const FORMATS: [(&str, usize, Seal, Open); 3] = [
    (
        "envelope",
        5,
        |key, aad, plaintext| TermKey::new(TERM, key)?.seal(aad, &[plaintext]),
        |key, aad, sealed| TermKey::new(TERM, key)?.open(aad, sealed),
    ),
    (
        "wrap",
        1,
        |key, aad, plaintext| wrap::wrap(key, aad, &Secret::copy_from(plaintext)?),
        |key, aad, sealed| Ok(Zeroizing::new(wrap::unwrap(key, aad, sealed)?.expose().to_vec())),
    ),
    ("object", 1, object::seal, object::open),
];

proptest! {
    #[test]
    fn sealed_bytes_open_to_the_plaintext(aad: Vec<u8>, plaintext in prop::collection::vec(any::<u8>(), 1..3000)) {
        let key = key(1);
        for (name, header_len, seal, open) in FORMATS {
            let sealed = seal(&key, &aad, &plaintext).unwrap();
            prop_assert_eq!(sealed.len(), header_len + 12 + plaintext.len() + 16 + 32, "{}", name);
            prop_assert_eq!(&*open(&key, &aad, &sealed).unwrap(), &plaintext, "{}", name);
        }
    }

    #[test]
    fn arbitrary_bytes_never_open_and_never_panic(mut bytes: Vec<u8>, known_format: bool) {
        if known_format && let Some(first) = bytes.first_mut() {
            *first = 1;
        }
        for (name, _, _, open) in FORMATS {
            prop_assert!(open(&key(1), b"aad", &bytes).is_err(), "{}", name);
        }
        let _ = envelope::term_of(&bytes);
    }

    #[test]
    fn two_aads_never_open_each_other(one: Vec<u8>, other: Vec<u8>) {
        prop_assume!(one != other);
        for (name, _, seal, open) in FORMATS {
            let sealed = seal(&key(1), &one, b"plaintext").unwrap();
            prop_assert!(matches!(open(&key(1), &other, &sealed), Err(Error::Authentication)), "{}", name);
        }
    }
}

#[test]
fn sealed_bytes_with_any_bit_flipped_are_refused() {
    for (name, _, seal, open) in FORMATS {
        let sealed = seal(&key(1), b"aad", b"some plaintext").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let error = open(&key(1), b"aad", &flipped).unwrap_err();
            match (bit / 8, name) {
                (0, _) => assert!(matches!(error, Error::UnknownFormat(byte) if byte == flipped[0]), "{name} {bit}"),
                (1..5, "envelope") => assert!(matches!(error, Error::WrongTerm { key: TERM, .. }), "{name} {bit}"),
                _ => assert!(matches!(error, Error::Authentication), "{name} {bit}"),
            }
        }
    }
}

#[test]
fn sealed_bytes_with_another_term_written_over_are_refused() {
    // The attacker renames the term and the reader has that term's key, which is the same by mistake.
    let mut sealed = TermKey::new(1, &key(1)).unwrap().seal(b"aad", &[b"plaintext"]).unwrap();
    sealed[4] = 2;
    let other = TermKey::new(2, &key(1)).unwrap();
    assert!(matches!(other.open(b"aad", &sealed), Err(Error::Authentication)));
    assert!(matches!(other.check(&sealed), Err(Error::Authentication)));
}

#[test]
fn sealed_bytes_of_any_other_length_are_refused() {
    for (name, header_len, seal, open) in FORMATS {
        let sealed = seal(&key(1), b"aad", b"some plaintext").unwrap();
        for len in 0..sealed.len() {
            let error = open(&key(1), b"aad", &sealed[..len]).unwrap_err();
            if len < header_len + 60 {
                assert!(matches!(error, Error::Truncated), "{name} {len}: {error}");
            } else {
                assert!(matches!(error, Error::Authentication), "{name} {len}: {error}");
            }
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert!(matches!(open(&key(1), b"aad", &longer), Err(Error::Authentication)), "{name}");
        let twice = [sealed.as_slice(), &sealed].concat();
        assert!(matches!(open(&key(1), b"aad", &twice), Err(Error::Authentication)), "{name}");
    }
}

#[test]
fn sealed_bytes_under_another_key_are_refused() {
    for (name, _, seal, open) in FORMATS {
        let sealed = seal(&key(1), b"aad", b"plaintext").unwrap();
        assert!(matches!(open(&key(2), b"aad", &sealed), Err(Error::Authentication)), "{name}");
    }
}

#[test]
fn sealed_bytes_of_one_purpose_are_refused_by_the_other() {
    let wrapped = wrap::wrap(&key(1), b"aad", &key(2)).unwrap();
    let sealed = object::seal(&key(1), b"aad", key(2).expose()).unwrap();
    assert_eq!(wrapped.len(), sealed.len());
    assert!(matches!(object::open(&key(1), b"aad", &wrapped), Err(Error::Authentication)));
    assert!(matches!(wrap::unwrap(&key(1), b"aad", &sealed), Err(Error::Authentication)));
}

#[test]
fn sealing_key_of_another_length_is_refused() {
    for len in [1, 16, 31, 33, 64] {
        let short = Secret::random(len).unwrap();
        for (name, _, seal, open) in FORMATS {
            assert!(matches!(seal(&short, b"", b"plaintext"), Err(Error::Parameters(_))), "{name} {len}");
            assert!(matches!(open(&short, b"", &[1; 100]), Err(Error::Parameters(_))), "{name} {len}");
        }
    }
}

#[test]
fn empty_plaintext_is_sealed_and_empty_key_is_not() {
    let term = TermKey::new(TERM, &key(1)).unwrap();
    assert!(term.open(b"aad", &term.seal(b"aad", &[]).unwrap()).unwrap().is_empty());
    assert!(object::open(&key(1), b"", &object::seal(&key(1), b"", b"").unwrap()).unwrap().is_empty());
    assert!(Secret::copy_from(b"").is_err());
}

#[test]
fn envelope_checked_opens_without_the_hmac() {
    let term = TermKey::new(TERM, &key(1)).unwrap();
    let sealed = term.seal(b"aad", &[b"plain", b"text"]).unwrap();
    term.check(&sealed).unwrap();
    assert_eq!(*term.open_checked(b"aad", &sealed).unwrap(), b"plaintext");
    assert!(matches!(term.open_checked(b"other", &sealed), Err(Error::Authentication)));
    assert!(matches!(term.open_checked(b"aad", &[]), Err(Error::Truncated)));
    assert_eq!(term.term(), TERM);
}

#[test]
fn errors_show_nothing_of_their_inputs() {
    let planted = b"planted-canary-planted-canary-32";
    let secret = Secret::copy_from(planted).unwrap();
    let sealed = object::seal(&secret, planted, planted).unwrap();
    for (_, _, _, open) in FORMATS {
        let error = open(&secret, planted, &sealed).err();
        let shown = format!("{error:?} {}", error.as_ref().map(ToString::to_string).unwrap_or_default());
        assert!(!shown.contains("canary"), "{shown}");
    }
}

fn key(fill: u8) -> Secret {
    Secret::copy_from(&[fill; 32]).unwrap()
}

const TERM: u32 = 0x0102_0304;
