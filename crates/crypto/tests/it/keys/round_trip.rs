//! What one operation makes its counterpart undoes, for any input; and what the algorithm has no operation for is said.

use coffer_crypto::Error;
use coffer_crypto::hash::Algorithm as Hash;
use coffer_crypto::keys::{Algorithm, KeyMaterial, PreparedKey, PublicKey, RsaPadding, Salt, SignOptions, Usage};
use proptest::prelude::*;

use super::{prepared, public};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn ciphers_round_trip(
        algorithm in prop::sample::select(CIPHERS.to_vec()),
        key in prop::array::uniform32(any::<u8>()),
        aad in prop::collection::vec(any::<u8>(), 0..100),
        plaintext in prop::collection::vec(any::<u8>(), 0..3000),
        context in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let len = if algorithm == Algorithm::Aes128Gcm { 16 } else { 32 };
        let root = prepared(algorithm, &key[..len]);
        for key in [&root, &root.derive(&context).unwrap(), &root.derive_convergent(&context).unwrap()] {
            let sealed = key.encrypt(&aad, &plaintext).unwrap();
            prop_assert_eq!(sealed.len(), sealed.capacity());
            prop_assert_eq!(sealed.len(), plaintext.len() + 16 + nonce_len(algorithm));
            prop_assert_eq!(&*key.decrypt(&aad, &sealed).unwrap(), &plaintext);
        }
    }

    #[test]
    fn keyed_hashes_round_trip(
        hash in prop::sample::select(Hash::ALL.to_vec()),
        key in prop::collection::vec(any::<u8>(), 32..=512),
        message in prop::collection::vec(any::<u8>(), 0..1000),
    ) {
        let key = prepared(Algorithm::Hmac, &key);
        let mac = key.mac(Some(hash), &message).unwrap();
        prop_assert_eq!(mac.len(), hash.output_len());
        prop_assert!(key.verify_mac(Some(hash), &message, &mac).unwrap());
        prop_assert!(!key.verify_mac(Some(hash), &[&message[..], &[0]].concat(), &mac).unwrap());
        prop_assert!(!key.verify_mac(Some(hash), &message, &mac[1..]).unwrap());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn signatures_oaep_and_wrapped_keys_round_trip(
        message in prop::collection::vec(any::<u8>(), 0..2000),
        short in prop::collection::vec(any::<u8>(), 0..=190),
        target in prop::collection::vec(any::<u8>(), 1..600),
        at in any::<prop::sample::Index>(),
    ) {
        for material in &*RANDOM {
            let key = material.prepare().unwrap();
            let algorithm = material.algorithm();
            if algorithm.supports(Usage::Sign) {
                let signature = key.sign(&SignOptions::default(), &message).unwrap();
                prop_assert!(key.verify(&SignOptions::default(), &message, &signature).unwrap(), "{:?}", algorithm);
                let mut edited = signature.clone();
                edited[at.index(signature.len())] ^= 1;
                prop_assert!(!key.verify(&SignOptions::default(), &message, &edited).unwrap(), "{:?}", algorithm);
                let longer = [&message[..], &[0]].concat();
                prop_assert!(!key.verify(&SignOptions::default(), &longer, &signature).unwrap(), "{:?}", algorithm);
            }
            if algorithm == Algorithm::Rsa2048 {
                let sealed = key.encrypt(b"", &short).unwrap();
                prop_assert_eq!(&*key.decrypt(b"", &sealed).unwrap(), &short);
            }
            if algorithm.supports(Usage::Wrap) {
                let wrapped = key.wrap(&target).unwrap();
                prop_assert_eq!(&*key.unwrap(&wrapped).unwrap(), &target, "{:?}", algorithm);
                let mut edited = wrapped.clone();
                edited[at.index(wrapped.len())] ^= 1;
                prop_assert!(key.unwrap(&edited).is_err(), "{:?}", algorithm);
            }
            if algorithm.supports(Usage::Encapsulate) {
                let made = key.encapsulate().unwrap();
                prop_assert_eq!(&key.decapsulate(&made.ciphertext).unwrap(), &made.shared, "{:?}", algorithm);
            }
        }
    }
}

#[test]
fn signatures_round_trip_with_every_option_there_is() {
    for algorithm in of_usage(Usage::Sign) {
        let material = KeyMaterial::generate(algorithm).unwrap();
        let key = material.prepare().unwrap();
        let verifier = material.public().unwrap().unwrap().prepare().unwrap();
        for hash in Hash::ALL {
            for rsa in [
                RsaPadding::Pkcs1v15,
                RsaPadding::Pss(Salt::Auto),
                RsaPadding::Pss(Salt::Hash),
                RsaPadding::Pss(Salt::Bytes(3)),
            ] {
                let options = SignOptions { rsa, ..super::over(hash) };
                let signature = key.sign(&options, b"message").unwrap();
                assert!(verifier.verify(&options, b"message", &signature).unwrap(), "{algorithm:?} {options:?}");
                assert!(!verifier.verify(&options, b"messagf", &signature).unwrap(), "{algorithm:?} {options:?}");
                if !matches!(algorithm.name(), "ed25519" | "ml-dsa-44" | "ml-dsa-65" | "ml-dsa-87") {
                    let prehashed = SignOptions { prehashed: true, ..options };
                    let digest = coffer_crypto::hash::digest(hash, b"message");
                    assert!(verifier.verify(&prehashed, &digest, &signature).unwrap());
                    let signature = key.sign(&prehashed, &digest).unwrap();
                    assert!(verifier.verify(&options, b"message", &signature).unwrap());
                    if algorithm.name().starts_with("ecdsa") {
                        // A hash of any length is a hash, and another one.
                        let other = key.sign(&prehashed, &digest[1..]).unwrap();
                        assert!(verifier.verify(&prehashed, &digest[1..], &other).unwrap());
                        assert!(!verifier.verify(&prehashed, &digest, &other).unwrap());
                        continue;
                    }
                    for wrong in [&digest[1..], b""] {
                        assert!(matches!(key.sign(&prehashed, wrong), Err(Error::Parameters(_))));
                        assert!(matches!(verifier.verify(&prehashed, wrong, &signature), Err(Error::Parameters(_))));
                    }
                }
            }
        }
        assert!(matches!(verifier.sign(&SignOptions::default(), b"x"), Err(Error::Unsupported(_))), "{algorithm:?}");
    }
}

#[test]
fn rsa_without_a_hash_signs_hashed_input_by_pkcs1_alone() {
    let key = KeyMaterial::generate(Algorithm::Rsa2048).unwrap().prepare().unwrap();
    let bare = SignOptions { hash: None, prehashed: true, rsa: RsaPadding::Pkcs1v15, ..SignOptions::default() };
    for input in [&b""[..], b"bytes", &[1; 245]] {
        let signature = key.sign(&bare, input).unwrap();
        assert!(key.verify(&bare, input, &signature).unwrap());
        assert!(!key.verify(&bare, b"other", &signature).unwrap());
    }
    assert!(matches!(key.sign(&bare, &[1; 246]), Err(Error::Parameters(_))));
    for wrong in [SignOptions { prehashed: false, ..bare }, SignOptions { rsa: RsaPadding::Pss(Salt::Auto), ..bare }] {
        assert!(matches!(key.sign(&wrong, b"x"), Err(Error::Unsupported(_))));
        assert!(matches!(key.verify(&wrong, b"x", b"y"), Err(Error::Unsupported(_))));
    }
}

#[test]
fn secrets_encapsulated_are_decapsulated() {
    for algorithm in of_usage(Usage::Encapsulate) {
        let material = KeyMaterial::generate(algorithm).unwrap();
        let key = material.prepare().unwrap();
        let sender = PublicKey::from_raw(algorithm, public(&key).raw()).unwrap().prepare().unwrap();
        let (one, other) = (sender.encapsulate().unwrap(), sender.encapsulate().unwrap());
        assert_eq!(one.shared.len(), 32);
        assert_ne!((&one.ciphertext, &one.shared), (&other.ciphertext, &other.shared));
        assert_eq!(key.decapsulate(&one.ciphertext).unwrap(), one.shared);
        assert!(matches!(sender.decapsulate(&one.ciphertext), Err(Error::Unsupported(_))));
        for wrong in [&one.ciphertext[1..], b"", &[&one.ciphertext[..], &[0]].concat()] {
            assert!(matches!(key.decapsulate(wrong), Err(Error::Authentication)), "{algorithm:?}");
        }
    }
}

#[test]
fn keys_wrapped_are_unwrapped_and_edited_ones_are_not() {
    for algorithm in of_usage(Usage::Wrap) {
        let key = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        for len in [1, 7, 8, 9, 32, 1679, 65_536] {
            let target = vec![9; len];
            let wrapped = key.wrap(&target).unwrap();
            assert_eq!(*key.unwrap(&wrapped).unwrap(), target, "{algorithm:?} {len}");
        }
        let wrapped = key.wrap(&[5; 32]).unwrap();
        for at in (0..wrapped.len()).step_by(5).chain([wrapped.len() - 1]) {
            let mut edited = wrapped.clone();
            edited[at] ^= 0x10;
            assert!(matches!(key.unwrap(&edited), Err(Error::Authentication)), "{algorithm:?} {at}");
        }
        for len in 0..wrapped.len() {
            let cut = key.unwrap(&wrapped[..len]);
            assert!(matches!(cut, Err(Error::Authentication | Error::Truncated)), "{algorithm:?} {len}");
        }
        let other = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        assert!(matches!(other.unwrap(&wrapped), Err(Error::Authentication)), "{algorithm:?}");
        for wrong in [&b""[..], &[0; 65_537]] {
            assert!(matches!(key.wrap(wrong), Err(Error::Parameters(_))), "{algorithm:?}");
        }
    }
}

/// An operation, and how it failed.
type Probe<'a> = dyn Fn(&PreparedKey) -> Option<Error> + 'a;

#[test]
fn operations_that_an_algorithm_lacks_are_unsupported() {
    for algorithm in Algorithm::ALL {
        let key = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        let options = SignOptions::default();
        let probes: [(Usage, &Probe<'_>); 10] = [
            (Usage::Encrypt, &|key| key.encrypt(b"", b"x").err()),
            (Usage::Encrypt, &|key| key.decrypt(b"", &key.encrypt(b"", b"x").unwrap_or_default()).err()),
            (Usage::Derive, &|key| key.derive(b"context").err()),
            (Usage::Sign, &|key| key.sign(&options, b"x").err()),
            (Usage::Sign, &|key| key.verify(&options, b"x", b"y").err()),
            (Usage::Mac, &|key| key.mac(None, b"x").err()),
            (Usage::Mac, &|key| key.verify_mac(None, b"x", b"y").err()),
            (Usage::Encapsulate, &|key| key.encapsulate().err()),
            (Usage::Wrap, &|key| key.wrap(b"x").err()),
            (Usage::Wrap, &|key| key.unwrap(&key.wrap(b"x").unwrap_or_default()).err()),
        ];
        for (usage, probe) in probes {
            match probe(&key) {
                None => assert!(algorithm.supports(usage), "{algorithm:?} can {usage:?}"),
                Some(Error::Unsupported(_)) => assert!(!algorithm.supports(usage), "{algorithm:?} cannot {usage:?}"),
                Some(other) => panic!("{algorithm:?} {usage:?}: {other}"),
            }
        }
    }
}

#[test]
fn convergent_nonce_depends_on_the_associated_data() {
    for algorithm in [Algorithm::Aes256Gcm, Algorithm::Xaes256Gcm, Algorithm::ChaCha20Poly1305] {
        let key = prepared(algorithm, &[7; 32]).derive_convergent(b"context").unwrap();
        let sealed = |aad: &[u8]| key.encrypt(aad, b"text").unwrap();
        assert_eq!(sealed(b"a"), sealed(b"a"), "{algorithm:?}");
        let nonces: Vec<Vec<u8>> = [&b""[..], b"a", b"b"].iter().map(|aad| sealed(aad)[..12].to_vec()).collect();
        assert!(nonces[0] != nonces[1] && nonces[1] != nonces[2] && nonces[0] != nonces[2], "{algorithm:?}");
        assert_eq!(*key.decrypt(b"b", &sealed(b"b")).unwrap(), b"text", "{algorithm:?}");
    }
}

#[test]
fn derived_keys_differ_by_context_and_open_what_their_convergent_sibling_sealed() {
    for algorithm in CIPHERS {
        let root = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        let key = root.derive_convergent(b"context").unwrap();
        let sealed = key.encrypt(b"aad", b"plaintext").unwrap();
        assert_eq!(sealed, key.encrypt(b"aad", b"plaintext").unwrap());
        assert_ne!(sealed, key.encrypt(b"aad", b"plaintexu").unwrap());
        assert_eq!(*root.derive(b"context").unwrap().decrypt(b"aad", &sealed).unwrap(), b"plaintext");
        for wrong in [root.derive(b"contexu").unwrap(), root.derive(b"").unwrap()] {
            assert!(matches!(wrong.decrypt(b"aad", &sealed), Err(Error::Authentication)), "{algorithm:?}");
        }
        assert!(matches!(root.decrypt(b"aad", &sealed), Err(Error::Authentication)), "{algorithm:?}");
        let derived = root.derive(b"context").unwrap();
        assert_ne!(derived.encrypt(b"", b"x").unwrap(), derived.encrypt(b"", b"x").unwrap());
        assert!(matches!(derived.derive(b"context"), Err(Error::Unsupported(_))));
        assert!(matches!(derived.wrap(b"key"), Err(Error::Unsupported(_))));
    }
    let root = KeyMaterial::generate(Algorithm::Ed25519).unwrap().prepare().unwrap();
    let (one, same, other) = (root.derive(b"a").unwrap(), root.derive(b"a").unwrap(), root.derive(b"b").unwrap());
    assert_eq!(public(&one), public(&same));
    assert_ne!(public(&one), public(&other));
    assert_ne!(public(&one), public(&root));
    let signature = one.sign(&SignOptions::default(), b"x").unwrap();
    assert!(public(&one).prepare().unwrap().verify(&SignOptions::default(), b"x", &signature).unwrap());
    assert!(!other.verify(&SignOptions::default(), b"x", &signature).unwrap());
    assert!(matches!(root.derive_convergent(b"a"), Err(Error::Unsupported(_))));
}

#[test]
fn nonces_never_repeat() {
    for algorithm in CIPHERS {
        let key = KeyMaterial::generate(algorithm).unwrap().prepare().unwrap();
        let nonce = |_| key.encrypt(b"", b"").unwrap()[..nonce_len(algorithm)].to_vec();
        assert_eq!((0..1000).map(nonce).collect::<std::collections::HashSet<_>>().len(), 1000);
    }
}

#[test]
fn keys_generated_differ_and_come_back_from_their_stored_encoding() {
    for algorithm in Algorithm::ALL {
        let (one, other) = (KeyMaterial::generate(algorithm).unwrap(), KeyMaterial::generate(algorithm).unwrap());
        assert_ne!(one.encoded(), other.encoded(), "{algorithm:?}");
        let again = KeyMaterial::from_encoded(algorithm, one.encoded()).unwrap();
        assert_eq!((again.encoded(), again.algorithm()), (one.encoded(), algorithm));
        assert_eq!(again.public().unwrap(), one.public().unwrap());
        assert_eq!(one.public().unwrap().is_some(), algorithm.is_asymmetric());
        if !algorithm.name().starts_with("ecdsa") {
            let imported = KeyMaterial::import(algorithm, one.encoded()).unwrap();
            assert_eq!(imported.encoded(), one.encoded(), "{algorithm:?}");
        }
        if let Some(public) = one.public().unwrap() {
            assert_eq!(PublicKey::from_raw(algorithm, public.raw()).unwrap(), public);
            if algorithm != Algorithm::XWing {
                assert_eq!(PublicKey::from_pem(algorithm, &public.pem().unwrap()).unwrap(), public);
                assert!(public.jwk().unwrap().iter().any(|(name, _)| *name == "kty"));
                let pkcs8 = one.export_pkcs8().unwrap();
                assert_eq!(KeyMaterial::import(algorithm, &pkcs8).unwrap().encoded(), one.encoded(), "{algorithm:?}");
            }
        }
    }
}

fn of_usage(usage: Usage) -> impl Iterator<Item = Algorithm> {
    Algorithm::ALL.into_iter().filter(move |algorithm| algorithm.supports(usage))
}

fn nonce_len(algorithm: Algorithm) -> usize {
    if matches!(algorithm, Algorithm::XChaCha20Poly1305 | Algorithm::Xaes256Gcm) { 24 } else { 12 }
}

const CIPHERS: [Algorithm; 5] = [
    Algorithm::Aes128Gcm,
    Algorithm::Aes256Gcm,
    Algorithm::ChaCha20Poly1305,
    Algorithm::XChaCha20Poly1305,
    Algorithm::Xaes256Gcm,
];

/// A key of each algorithm but the slowest to make.
static RANDOM: std::sync::LazyLock<Vec<KeyMaterial>> = std::sync::LazyLock::new(|| {
    let slow = [Algorithm::Rsa3072, Algorithm::Rsa4096];
    let quick = Algorithm::ALL.into_iter().filter(|algorithm| !slow.contains(algorithm));
    quick.map(|algorithm| KeyMaterial::generate(algorithm).unwrap()).collect()
});
