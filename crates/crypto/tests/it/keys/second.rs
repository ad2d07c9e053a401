//! Beside second implementations, in Rust: `ml-kem`, `ml-dsa` and `x-wing`, which take seeds and randomness from outside.

use coffer_crypto::Error;
use coffer_crypto::keys::{Algorithm, KeyMaterial, PublicKey, SignOptions};
use ml_dsa::{MlDsa44, MlDsa65, MlDsa87};
#[allow(deprecated, reason = "the library under test stores the expanded key")]
use ml_kem::ExpandedKeyEncoding;
use ml_kem::{MlKem512, MlKem768, MlKem1024};
use serde_json::Value;
use x_wing::{Decapsulate, KeyExport, TryKeyInit};

use super::{openssl, prepared, public, unhex};

/// The decapsulation key of a seed; none if the seed has not 64 bytes.
pub(super) fn ml_kem_private(algorithm: Algorithm, seed: &[u8]) -> Option<Vec<u8>> {
    let seed = seed.try_into().ok()?;
    #[allow(deprecated, reason = "as above")]
    Some(match algorithm {
        Algorithm::MlKem512 => ml_kem::DecapsulationKey::<MlKem512>::from_seed(seed).to_expanded_bytes().to_vec(),
        Algorithm::MlKem768 => ml_kem::DecapsulationKey::<MlKem768>::from_seed(seed).to_expanded_bytes().to_vec(),
        Algorithm::MlKem1024 => ml_kem::DecapsulationKey::<MlKem1024>::from_seed(seed).to_expanded_bytes().to_vec(),
        other => panic!("{other:?}"),
    })
}

#[test]
#[allow(deprecated, reason = "as above")]
fn ml_kem_secrets_agree_both_ways() {
    macro_rules! agree {
        ($set:ty, $algorithm:expr) => {
            for round in 0..8_u8 {
                let theirs = ml_kem::DecapsulationKey::<$set>::from_seed([round; 64].into());
                let ours = prepared($algorithm, &ml_kem_private($algorithm, &[round; 64]).unwrap());
                assert_eq!(public(&ours).raw(), theirs.encapsulation_key().to_bytes().as_slice());

                let encapsulated = ours.encapsulate().unwrap();
                let ciphertext = encapsulated.ciphertext.as_slice().try_into().unwrap();
                assert_eq!(theirs.decapsulate(&ciphertext).as_slice(), encapsulated.shared.as_slice());

                let (ciphertext, shared) =
                    theirs.encapsulation_key().encapsulate_deterministic(&[round + 1; 32].into());
                assert_eq!(ours.decapsulate(&ciphertext).unwrap().as_slice(), shared.as_slice());

                // Edited, both make the same rubbish of it.
                let mut edited = ciphertext.clone();
                edited[usize::from(round)] ^= 1;
                assert_eq!(ours.decapsulate(&edited).unwrap().as_slice(), theirs.decapsulate(&edited).as_slice());
                assert_ne!(ours.decapsulate(&edited).unwrap().as_slice(), shared.as_slice());
            }
            let material = KeyMaterial::generate($algorithm).unwrap();
            let theirs = <ml_kem::DecapsulationKey<$set> as ExpandedKeyEncoding>::from_expanded_bytes(
                &material.encoded().try_into().unwrap(),
            )
            .unwrap();
            let encapsulated = material.public().unwrap().unwrap().prepare().unwrap().encapsulate().unwrap();
            let ciphertext = encapsulated.ciphertext.as_slice().try_into().unwrap();
            assert_eq!(theirs.decapsulate(&ciphertext).as_slice(), encapsulated.shared.as_slice());
        };
    }
    agree!(MlKem512, Algorithm::MlKem512);
    agree!(MlKem768, Algorithm::MlKem768);
    agree!(MlKem1024, Algorithm::MlKem1024);
}

#[test]
fn ml_dsa_signatures_agree_both_ways() {
    macro_rules! agree {
        ($set:ty, $algorithm:expr) => {
            for round in 0..4_u8 {
                let theirs = ml_dsa::SigningKey::<$set>::from_seed(&[round; 32].into());
                let theirs = theirs.expanded_key();
                let ours = prepared($algorithm, &[round; 32]);
                assert_eq!(public(&ours).raw(), theirs.verifying_key().encode().as_slice());

                let message = vec![round; 1000 * usize::from(round)];
                let signature = ours.sign(&SignOptions::default(), &message).unwrap();
                let decoded = ml_dsa::Signature::<$set>::decode(&signature.as_slice().try_into().unwrap()).unwrap();
                assert!(theirs.verifying_key().verify_with_context(&message, &[], &decoded));
                assert!(!theirs.verifying_key().verify_with_context(b"another", &[], &decoded));

                let signature = theirs.sign_deterministic(&message, &[]).unwrap().encode();
                assert!(ours.verify(&SignOptions::default(), &message, &signature).unwrap());
                let elsewhere = theirs.sign_deterministic(&message, b"context").unwrap().encode();
                assert!(!ours.verify(&SignOptions::default(), &message, &elsewhere).unwrap());
            }
        };
    }
    agree!(MlDsa44, Algorithm::MlDsa44);
    agree!(MlDsa65, Algorithm::MlDsa65);
    agree!(MlDsa87, Algorithm::MlDsa87);
}

#[test]
fn x_wing_draft_vectors_hold() {
    let file: Value = serde_json::from_str(include_str!("../../../testdata/x-wing.json")).unwrap();
    let vectors = file["tests"].as_array().unwrap();
    assert_eq!(vectors.len(), 3);
    for vector in vectors {
        let bytes = |field: &str| unhex(vector[field].as_str().unwrap());
        // The library takes neither seed nor randomness: making the key and the ciphertext is the second implementation's
        // part, opening it ours.
        let theirs = x_wing::DecapsulationKey::from(<[u8; 32]>::try_from(bytes("seed")).unwrap());
        let ours = KeyMaterial::import(Algorithm::XWing, &x_wing_private(&bytes("seed"))).unwrap().prepare().unwrap();
        assert_eq!(public(&ours).raw(), bytes("pk"));
        let (ciphertext, shared) = x_wing::Decapsulator::encapsulation_key(&theirs)
            .encapsulate_deterministic(&bytes("eseed").as_slice().try_into().unwrap());
        assert_eq!((ciphertext.to_vec(), shared.to_vec()), (bytes("ct"), bytes("ss")));
        assert_eq!(*ours.decapsulate(&bytes("ct")).unwrap(), bytes("ss"));

        for at in [0, 1087, 1088, 1119] {
            let mut edited = bytes("ct");
            edited[at] ^= 1;
            assert_ne!(ours.decapsulate(&edited).ok().map(|shared| shared.to_vec()), Some(bytes("ss")), "{at}");
        }
    }
}

#[test]
fn x_wing_secrets_agree_both_ways() {
    for round in 0..4_u8 {
        let theirs = x_wing::DecapsulationKey::from([round; 32]);
        let ours = prepared(Algorithm::XWing, &x_wing_private(&[round; 32]));
        let encapsulated = ours.encapsulate().unwrap();
        let ciphertext = encapsulated.ciphertext.as_slice().try_into().unwrap();
        assert_eq!(theirs.decapsulate(&ciphertext).as_slice(), encapsulated.shared.as_slice());

        let key = x_wing::EncapsulationKey::new_from_slice(public(&ours).raw()).unwrap();
        let (ciphertext, shared) = key.encapsulate_deterministic(&[round + 1; 64].into());
        assert_eq!(ours.decapsulate(&ciphertext).unwrap().as_slice(), shared.as_slice());
    }
}

#[test]
fn x_wing_points_of_small_order_are_refused() {
    let ours = KeyMaterial::generate(Algorithm::XWing).unwrap().prepare().unwrap();
    let mut ciphertext = ours.encapsulate().unwrap().ciphertext;
    ciphertext[1088..].fill(0);
    assert!(matches!(ours.decapsulate(&ciphertext), Err(Error::Authentication)));
    let mut raw = public(&ours).raw().to_vec();
    raw[1184..].fill(0);
    let key = PublicKey::from_raw(Algorithm::XWing, &raw).and_then(|key| key.prepare()).unwrap();
    assert!(matches!(key.encapsulate(), Err(Error::InvalidKey(_))));
}

/// The component keys that the draft derives from a seed.
fn x_wing_private(seed: &[u8]) -> Vec<u8> {
    let expanded = openssl::run(&["dgst", "-shake256", "-xoflen", "96", "-binary"], seed);
    let (of_ml_kem, of_x25519) = expanded.split_at(64);
    [&ml_kem_private(Algorithm::MlKem768, of_ml_kem).unwrap()[..], of_x25519].concat()
}
