//! Wycheproof's vectors of agreement on NIST's curves: points that are none, keys of other curves, twisted parameters.

use coffer_crypto::hash::Algorithm as Hash;
use coffer_crypto::keys::{Algorithm, KeyMaterial, PublicKey};
use wycheproof::{TestResult, ecdh};

use super::prepared;

#[test]
fn agreement_holds_with_public_keys_of_either_form_and_refuses_those_that_are_none() {
    use ecdh::TestName as Set;
    let (mut good, mut bad) = (0, 0);
    for (set, algorithm) in [
        (Set::EcdhSecp256r1, Algorithm::EcdsaP256),
        (Set::EcdhSecp384r1, Algorithm::EcdsaP384),
        (Set::EcdhSecp521r1, Algorithm::EcdsaP521),
        (Set::EcdhSecp256r1Ecpoint, Algorithm::EcdsaP256),
        (Set::EcdhSecp384r1Ecpoint, Algorithm::EcdsaP384),
        (Set::EcdhSecp521r1Ecpoint, Algorithm::EcdsaP521),
    ] {
        for group in ecdh::TestSet::load(set).unwrap().test_groups {
            for test in group.tests {
                let ours = KeyMaterial::import_number(algorithm, &test.private_key).unwrap();
                let theirs = match group.encoding {
                    ecdh::EcdhEncoding::Asn1 => PublicKey::from_spki(algorithm, &test.public_key),
                    ecdh::EcdhEncoding::EcPoint => PublicKey::from_raw(algorithm, &test.public_key),
                };
                let agreed = theirs.and_then(|theirs| ours.agree(&theirs, Algorithm::Aes256Gcm));
                let shown = format!("{set:?} {}: {}", test.tc_id, test.comment);
                match (test.result, agreed) {
                    (TestResult::Valid | TestResult::Acceptable, Ok(key)) => {
                        assert_eq!(key.encoded(), derived(&test.shared_secret), "{shown}");
                        good += 1;
                    }
                    // Compressed points, and curves that are described rather than named, are not read.
                    (TestResult::Invalid | TestResult::Acceptable, Err(_)) => bad += 1,
                    (TestResult::Valid, Err(error)) => panic!("{shown}: {error}"),
                    (TestResult::Invalid, Ok(_)) => panic!("{shown}: agreed"),
                }
            }
        }
    }
    assert!(good > 1200 && bad > 100, "{good} {bad}");
}

/// HKDF-SHA-256 of the shared secret, without salt and info, by its definition.
fn derived(shared: &[u8]) -> Vec<u8> {
    let mac = |key: &[u8], message: &[u8]| prepared(Algorithm::Hmac, key).mac(Some(Hash::Sha2_256), message).unwrap();
    mac(&mac(&[0; 32], shared), &[1])
}
