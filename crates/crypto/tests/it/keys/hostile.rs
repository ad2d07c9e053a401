//! What someone who wants in would send.

use coffer_crypto::Error;
use coffer_crypto::hash::Algorithm as Hash;
use coffer_crypto::keys::{Algorithm, KeyMaterial, Marshal, PublicKey, SignOptions, Usage};
use proptest::prelude::*;

use super::{over, public, unhex};

#[test]
fn ciphertexts_cut_or_edited_do_not_open() {
    let ciphers = Algorithm::ALL.into_iter().filter(|algorithm| algorithm.supports(Usage::Encrypt));
    let ciphers: Vec<Algorithm> = ciphers.filter(|algorithm| !algorithm.is_asymmetric()).collect();
    assert_eq!(ciphers.len(), 5, "{ciphers:?}");
    for algorithm in ciphers {
        let key = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        let sealed = key.encrypt(b"aad", b"plaintext").unwrap();
        for len in 0..sealed.len() {
            let wanted = len < sealed.len() - b"plaintext".len();
            match key.decrypt(b"aad", &sealed[..len]) {
                Err(Error::Truncated) => assert!(wanted, "{len}"),
                Err(Error::Authentication) => assert!(!wanted, "{len}"),
                other => panic!("{algorithm:?} {len}: {:?}", other.map(|_| ())),
            }
        }
        for bit in 0..sealed.len() * 8 {
            let mut edited = sealed.clone();
            edited[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(key.decrypt(b"aad", &edited), Err(Error::Authentication)), "{algorithm:?} {bit}");
        }
        assert!(matches!(key.decrypt(b"", &sealed), Err(Error::Authentication)));
        let other = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        assert!(matches!(other.decrypt(b"aad", &sealed), Err(Error::Authentication)));
    }
}

#[test]
fn rsa_ciphertexts_cut_or_edited_do_not_open_and_associated_data_is_refused() {
    let key = KeyMaterial::generate(Algorithm::Rsa2048).unwrap().prepare().unwrap();
    let sealed = key.encrypt(b"", b"plaintext").unwrap();
    assert_eq!(*key.decrypt(b"", &sealed).unwrap(), b"plaintext");
    for wrong in [&b""[..], &sealed[1..], &[&sealed[..], &[0]].concat(), &[0; 256], &[0xff; 256]] {
        assert!(matches!(key.decrypt(b"", wrong), Err(Error::Authentication)));
    }
    assert!(matches!(key.encrypt(b"aad", b"x"), Err(Error::Parameters(_))));
    assert!(matches!(key.decrypt(b"aad", &sealed), Err(Error::Parameters(_))));
    assert!(key.encrypt(b"", &[1; 190]).is_ok());
    assert!(matches!(key.encrypt(b"", &[1; 191]), Err(Error::Parameters(_))));
}

#[test]
fn ecdsa_numbers_out_of_range_are_refused_and_a_high_s_stays_valid() {
    let key = KeyMaterial::generate(Algorithm::EcdsaP256).unwrap().prepare().unwrap();
    let jws = SignOptions { marshal: Marshal::Jws, ..SignOptions::default() };
    let signature = key.sign(&jws, b"message").unwrap();
    let (r, s) = signature.split_at(32);
    let order = unhex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
    // Of s and its negative one is high; both are valid, as the standard has it.
    let negative = subtract(&order, s);
    assert!(key.verify(&jws, b"message", &[r, &negative].concat()).unwrap());
    let (zero, max) = (vec![0; 32], vec![0xff; 32]);
    for (r, s) in [(r, &zero[..]), (&zero, s), (&zero, &zero), (r, &order), (&order, s), (r, &max), (&max, &max)] {
        assert!(!key.verify(&jws, b"message", &[r, s].concat()).unwrap());
    }
    for wrong in [&signature[1..], &signature[..63], &[&signature[..], &[0]].concat(), b""] {
        assert!(!key.verify(&jws, b"message", wrong).unwrap());
    }
}

#[test]
fn ecdsa_signatures_in_other_than_shortest_der_are_refused() {
    let key = KeyMaterial::generate(Algorithm::EcdsaP256).unwrap().prepare().unwrap();
    let options = SignOptions::default();
    let der = key.sign(&options, b"message").unwrap();
    let (r_len, total) = (usize::from(der[3]), der[1]);
    let (r, s) = (&der[4..4 + r_len], &der[6 + r_len..]);
    let written = |head: &[u8], r: &[u8], s: &[u8], tail: &[u8]| {
        let of = |number: &[u8]| [&[2, u8::try_from(number.len()).unwrap()], number].concat();
        [head, &of(r), &of(s), tail].concat()
    };
    assert!(key.verify(&options, b"message", &written(&[0x30, total], r, s, b"")).unwrap());
    let padded = [&[0], r].concat();
    for wrong in [
        written(&[0x30, 0x81, total], r, s, b""),
        written(&[0x30, 0x82, 0, total], r, s, b""),
        written(&[0x30, 0x80], r, s, &[0, 0]),
        written(&[0x30, total + 1], &padded, s, b""),
        written(&[0x30, total], r, s, &[0]),
        written(&[0x30, total + 2], r, s, &[5, 0]),
        written(&[0x31, total], r, s, b""),
    ] {
        assert!(!key.verify(&options, b"message", &wrong).unwrap(), "{wrong:?}");
    }
    for len in 0..der.len() {
        assert!(!key.verify(&options, b"message", &der[..len]).unwrap(), "{len}");
    }
}

#[test]
fn ed25519_signatures_with_s_beyond_the_order_are_refused() {
    let key = KeyMaterial::generate(Algorithm::Ed25519).unwrap().prepare().unwrap();
    let options = SignOptions::default();
    let signature = key.sign(&options, b"message").unwrap();
    // L, little-endian: adding it to s gives the same point.
    let order = unhex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut carry = 0;
    let sum: Vec<u8> = signature[32..]
        .iter()
        .zip(&order)
        .map(|(a, b)| {
            let sum = u16::from(*a) + u16::from(*b) + carry;
            carry = sum >> 8;
            sum.to_le_bytes()[0]
        })
        .collect();
    assert!(key.verify(&options, b"message", &signature).unwrap());
    assert!(!key.verify(&options, b"message", &[&signature[..32], &sum].concat()).unwrap());
    for wrong in [&signature[1..], b"", &[0; 64], &[&signature[..], &[0]].concat()] {
        assert!(!key.verify(&options, b"message", wrong).unwrap());
    }
}

#[test]
fn signatures_of_another_hash_or_algorithm_are_not_ours() {
    let one = KeyMaterial::generate(Algorithm::EcdsaP256).unwrap().prepare().unwrap();
    let signature = one.sign(&over(Hash::Sha2_256), b"message").unwrap();
    assert!(!one.verify(&over(Hash::Sha3_256), b"message", &signature).unwrap());
    for algorithm in [Algorithm::EcdsaP384, Algorithm::Ed25519, Algorithm::Rsa2048, Algorithm::MlDsa44] {
        let other = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        assert!(!other.verify(&over(Hash::Sha2_256), b"message", &signature).unwrap(), "{algorithm:?}");
    }
}

#[test]
fn weak_rsa_keys_are_refused() {
    let make = |options: &[&str]| {
        let pem = super::openssl::run(&[&["genpkey", "-algorithm", "RSA"], options].concat(), b"");
        super::openssl::run(&["pkcs8", "-topk8", "-nocrypt", "-outform", "DER"], &pem)
    };
    let small = make(&["-pkeyopt", "rsa_keygen_bits:1024"]);
    let odd_size = make(&["-pkeyopt", "rsa_keygen_bits:2056"]);
    for key in [&small, &odd_size] {
        for algorithm in [Algorithm::Rsa2048, Algorithm::Rsa3072, Algorithm::Rsa4096] {
            assert!(matches!(KeyMaterial::import(algorithm, key), Err(Error::InvalidKey(_))));
        }
    }
    let good = KeyMaterial::generate(Algorithm::Rsa2048).unwrap();
    let raw = good.public().unwrap().unwrap().raw().to_vec();
    assert!(PublicKey::from_raw(Algorithm::Rsa2048, &raw).is_ok());
    // The last bytes are the exponent, 65537, as `02 03 01 00 01`, after the modulus.
    let at = raw.len() - 5;
    let with_exponent = |exponent: &[u8]| {
        let body = [&raw[4..at], &[2, u8::try_from(exponent.len()).unwrap()], exponent].concat();
        [&[0x30, 0x82, 1, u8::try_from(body.len() - 256).unwrap()], &body[..]].concat()
    };
    assert_eq!(with_exponent(&[1, 0, 1]), raw);
    assert!(PublicKey::from_raw(Algorithm::Rsa2048, &with_exponent(&[3])).is_ok());
    for exponent in [&[1][..], &[2], &[0], &[1, 0, 0], &[1, 0, 1, 0, 1, 1], &[0, 3], &[0x81]] {
        let refused = PublicKey::from_raw(Algorithm::Rsa2048, &with_exponent(exponent));
        assert!(matches!(refused, Err(Error::InvalidKey(_))), "{exponent:?}");
    }
    let mut even = raw.clone();
    even[at - 1] &= 0xfe;
    assert!(matches!(PublicKey::from_raw(Algorithm::Rsa2048, &even), Err(Error::InvalidKey(_))));
}

#[test]
fn rsa_keys_whose_numbers_do_not_belong_together_are_refused() {
    let good = KeyMaterial::generate(Algorithm::Rsa2048).unwrap();
    let mut refused = 0;
    for at in (60..good.encoded().len()).step_by(61) {
        let mut edited = good.encoded().to_vec();
        edited[at] ^= 1;
        let import = KeyMaterial::import(Algorithm::Rsa2048, &edited);
        assert!(matches!(import, Err(Error::InvalidKey(_))), "{at}");
        refused += 1;
    }
    assert!(refused > 15);
}

#[test]
fn rsa_numbers_are_taken_as_they_belong_together_and_no_other_way() {
    let good = KeyMaterial::generate(Algorithm::Rsa2048).unwrap();
    let pkcs8 = good.encoded();
    // The key in PKCS#1 is the last element; its first number is the version.
    let numbers = integers(&pkcs8[26..]);
    assert_eq!(numbers.len(), 9);
    let import = |change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        let mut changed = numbers[1..].to_vec();
        change(&mut changed);
        let changed: Vec<&[u8]> = changed.iter().map(Vec::as_slice).collect();
        KeyMaterial::import_rsa(Algorithm::Rsa2048, changed.try_into().unwrap())
    };
    assert_eq!(import(&|_| {}).unwrap().encoded(), pkcs8);
    assert_eq!(import(&|numbers| numbers[0].insert(0, 0)).unwrap().encoded(), pkcs8);
    for exponent in [&[][..], &[1], &[2], &[3], &[1, 0, 0]] {
        assert!(matches!(import(&|numbers| numbers[1] = exponent.to_vec()), Err(Error::InvalidKey(_))), "{exponent:?}");
    }
    for at in 0..8 {
        for bit in [1, 0x10] {
            let edit = |numbers: &mut Vec<Vec<u8>>| *numbers[at].last_mut().unwrap() ^= bit;
            assert!(matches!(import(&edit), Err(Error::InvalidKey(_))), "{at}");
        }
        assert!(matches!(import(&|numbers| numbers[at].clear()), Err(Error::InvalidKey(_))), "{at}");
    }
    assert!(
        matches!(import(&|numbers| numbers.swap(3, 4)), Err(Error::InvalidKey(_))),
        "the primes the other way round"
    );
    let other = KeyMaterial::generate(Algorithm::Rsa2048).unwrap();
    let other = integers(&other.encoded()[26..]);
    assert!(
        matches!(import(&|numbers| numbers[2] = other[3].clone()), Err(Error::InvalidKey(_))),
        "another's exponent"
    );
    assert!(matches!(import(&|numbers| numbers[0] = other[1].clone()), Err(Error::InvalidKey(_))), "another's modulus");
}

/// The numbers of a DER sequence of nothing else.
fn integers(der: &[u8]) -> Vec<Vec<u8>> {
    fn element(der: &[u8]) -> (&[u8], &[u8]) {
        let (head, len) = match der[1] {
            0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
            0x81 => (3, usize::from(der[2])),
            len => (2, usize::from(len)),
        };
        der[head..].split_at(len)
    }
    let (mut rest, _) = element(der);
    let mut found = Vec::new();
    while !rest.is_empty() {
        assert_eq!(rest[0], 2);
        let (number, after) = element(rest);
        found.push(number.to_vec());
        rest = after;
    }
    found
}

#[test]
fn elliptic_keys_with_anothers_public_point_are_refused() {
    for algorithm in [Algorithm::EcdsaP256, Algorithm::EcdsaP384, Algorithm::EcdsaP521] {
        let [one, other] = [(); 2].map(|()| KeyMaterial::generate(algorithm).unwrap());
        let [point, wrong] = [&one, &other].map(|key| key.public().unwrap().unwrap().raw().to_vec());
        let mut pkcs8 = one.export_pkcs8().unwrap().to_vec();
        let at = pkcs8.windows(point.len()).position(|window| window == point).expect("the point is in the key");
        assert!(KeyMaterial::import(algorithm, &pkcs8).is_ok());
        pkcs8[at..at + wrong.len()].copy_from_slice(&wrong);
        assert!(matches!(KeyMaterial::import(algorithm, &pkcs8), Err(Error::InvalidKey(_))), "{algorithm:?}");
        // As a number alone: zero, the curve's order and beyond, and one that is too long.
        assert_eq!(KeyMaterial::import_number(algorithm, one.encoded()).unwrap().encoded(), one.encoded());
        let len = one.encoded().len();
        for number in [&[][..], &[0], &vec![0xff; len], &vec![1; len + 1]] {
            assert!(
                matches!(KeyMaterial::import_number(algorithm, number), Err(Error::InvalidKey(_))),
                "{algorithm:?}"
            );
        }
    }
    assert!(matches!(KeyMaterial::import_number(Algorithm::Ed25519, &[1; 32]), Err(Error::InvalidKey(_))));
}

#[test]
fn elliptic_keys_out_of_range_or_off_the_curve_are_refused() {
    for (algorithm, order) in [
        (Algorithm::EcdsaP256, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"),
        (
            Algorithm::EcdsaP384,
            "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973",
        ),
    ] {
        let order = unhex(order);
        let below = subtract(&order, &one(order.len()));
        let prepare = |number: &[u8]| KeyMaterial::from_encoded(algorithm, number).unwrap().prepare();
        assert!(prepare(&below).is_ok());
        for number in [vec![0; order.len()], order.clone(), vec![0xff; order.len()]] {
            assert!(matches!(prepare(&number), Err(Error::InvalidKey(_))));
        }
        let key = prepare(&one(order.len())).unwrap();
        let raw = public(&key).raw().to_vec();
        let (mut off, mut compressed, mut infinity) = (raw.clone(), raw.clone(), raw.clone());
        *off.last_mut().unwrap() ^= 1;
        compressed.truncate(1 + order.len());
        compressed[0] = 2;
        infinity.fill(0);
        for point in [off, compressed, infinity, vec![0], Vec::new()] {
            assert!(matches!(PublicKey::from_raw(algorithm, &point), Err(Error::InvalidKey(_))));
        }
    }
    // A private key with another's public point.
    let [one, other] = [(); 2].map(|()| KeyMaterial::generate(Algorithm::Ed25519).unwrap());
    let mixed = [&one.export().unwrap()[..32], &other.export().unwrap()[32..]].concat();
    assert!(matches!(KeyMaterial::import(Algorithm::Ed25519, &mixed), Err(Error::InvalidKey(_))));
    assert!(KeyMaterial::import(Algorithm::Ed25519, &one.export().unwrap()).is_ok());
}

#[test]
fn keys_of_another_length_are_refused() {
    for algorithm in Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Hmac) {
        let key = KeyMaterial::generate(algorithm).unwrap();
        let long = [key.encoded(), &[0]].concat();
        for wrong in [&long[1..long.len() - 1], &long[..], b""] {
            assert!(matches!(KeyMaterial::from_encoded(algorithm, wrong), Err(Error::InvalidKey(_))), "{algorithm:?}");
            assert!(matches!(KeyMaterial::import(algorithm, wrong), Err(Error::InvalidKey(_))), "{algorithm:?}");
        }
    }
    for len in [0, 31, 513] {
        assert!(matches!(KeyMaterial::from_encoded(Algorithm::Hmac, &vec![1; len]), Err(Error::InvalidKey(_))));
        assert!(matches!(KeyMaterial::generate_hmac(len), Err(Error::InvalidKey(_))));
    }
    assert!([32, 100, 512].into_iter().all(|len| KeyMaterial::generate_hmac(len).unwrap().encoded().len() == len));
}

#[test]
fn ml_kem_keys_edited_anywhere_in_the_public_half_are_refused() {
    let key = KeyMaterial::generate(Algorithm::MlKem512).unwrap();
    for at in (768..1632 - 32).step_by(13) {
        let mut edited = key.encoded().to_vec();
        edited[at] ^= 1;
        assert!(matches!(KeyMaterial::import(Algorithm::MlKem512, &edited), Err(Error::InvalidKey(_))), "{at}");
    }
    // The vector s is not hashed; that it fits is found by using it.
    let mut edited = key.encoded().to_vec();
    edited[0] ^= 1;
    edited[400] ^= 0x55;
    edited[401] ^= 0x55;
    assert!(matches!(KeyMaterial::import(Algorithm::MlKem512, &edited), Err(Error::InvalidKey(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anything_imported_is_a_key_or_an_error(
        algorithm in prop::sample::select(Algorithm::ALL.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..2500),
    ) {
        let _ = KeyMaterial::import(algorithm, &bytes);
        let _ = KeyMaterial::from_encoded(algorithm, &bytes).map(|key| key.prepare().map(|_| ()));
        let _ = PublicKey::from_raw(algorithm, &bytes);
        let _ = PublicKey::from_spki(algorithm, &bytes);
    }

    #[test]
    fn pkcs8_with_a_byte_changed_is_a_key_or_an_error(
        algorithm in prop::sample::select(vec![
            Algorithm::EcdsaP256, Algorithm::Ed25519, Algorithm::MlDsa44, Algorithm::MlKem512,
        ]),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = KeyMaterial::generate(algorithm).unwrap().export_pkcs8().unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok(key) = KeyMaterial::import(algorithm, &bytes) {
            prop_assert!(key.prepare().is_ok());
        }
    }
}

/// `a - b`, big-endian, for `b <= a`.
fn subtract(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0;
    let mut out: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let difference = 0x100 + i16::from(*a) - i16::from(*b) - borrow;
            borrow = i16::from(difference < 0x100);
            difference.to_le_bytes()[0]
        })
        .collect();
    out.reverse();
    out
}

fn one(len: usize) -> Vec<u8> {
    let mut one = vec![0; len];
    one[len - 1] = 1;
    one
}
