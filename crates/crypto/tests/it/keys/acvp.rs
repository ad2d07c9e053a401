//! NIST's own vectors of ML-KEM and ML-DSA (ACVP). Where the library takes no seed and no randomness, the second
//! implementation makes the key, the ciphertext or the signature of the vector, and ours opens or verifies it. What the
//! library itself says to the vectors of ML-DSA's internal interface is tested in `crates/evp`.

use coffer_crypto::keys::{Algorithm, KeyMaterial, PublicKey, SignOptions};
use ml_dsa::{MlDsa44, MlDsa65, MlDsa87};
use ml_kem::{B32, KeyExport, MlKem512, MlKem768, MlKem1024};
use serde_json::Value;

use super::{hex, prepared, public, second, unhex};

struct Vectors(Value);

impl Vectors {
    fn read(file: &str) -> Self {
        Self(serde_json::from_str(file).unwrap())
    }

    fn of<'a>(&'a self, set: &'a str, what: &'a str) -> impl Iterator<Item = &'a Value> {
        let tests = self.0["tests"].as_array().unwrap().iter();
        tests.filter(move |test| test["set"] == set && test["what"] == what)
    }
}

fn bytes(test: &Value, field: &str) -> Vec<u8> {
    unhex(test[field].as_str().unwrap())
}

#[test]
fn ml_kem_vectors_of_nist_hold() {
    let vectors = Vectors::read(include_str!("../../../testdata/acvp-ml-kem.json"));
    let mut count = 0;
    macro_rules! hold {
        ($set:ty, $name:literal, $algorithm:expr) => {
            for test in vectors.of($name, "keyGen") {
                let seed = [bytes(test, "d"), bytes(test, "z")].concat();
                assert_eq!(hex(&second::ml_kem_private($algorithm, &seed).unwrap()), test["dk"], "{}", test["id"]);
                let ours = KeyMaterial::import($algorithm, &bytes(test, "dk")).unwrap().prepare().unwrap();
                let theirs = ml_kem::DecapsulationKey::<$set>::from_seed(seed.as_slice().try_into().unwrap());
                assert_eq!(public(&ours).raw(), theirs.encapsulation_key().to_bytes().as_slice());
                count += 1;
            }
            for test in vectors.of($name, "encapsulation") {
                let ours = prepared($algorithm, &bytes(test, "dk"));
                let raw = public(&ours).raw();
                let theirs = ml_kem::EncapsulationKey::<$set>::new(&raw.try_into().unwrap()).unwrap();
                let random: B32 = bytes(test, "m").as_slice().try_into().unwrap();
                let (ciphertext, shared) = theirs.encapsulate_deterministic(&random);
                assert_eq!((hex(&ciphertext), hex(&shared)), (text(test, "c"), text(test, "k")), "{}", test["id"]);
                assert_eq!(*ours.decapsulate(&bytes(test, "c")).unwrap(), bytes(test, "k"), "{}", test["id"]);
                count += 1;
            }
            // An edited ciphertext gives the secret of a rejection, which is the vector's too.
            for test in vectors.of($name, "decapsulation") {
                let ours = prepared($algorithm, &bytes(test, "dk"));
                assert_eq!(*ours.decapsulate(&bytes(test, "c")).unwrap(), bytes(test, "k"), "{}", test["id"]);
                count += 1;
            }
        };
    }
    hold!(MlKem512, "ML-KEM-512", Algorithm::MlKem512);
    hold!(MlKem768, "ML-KEM-768", Algorithm::MlKem768);
    hold!(MlKem1024, "ML-KEM-1024", Algorithm::MlKem1024);
    assert_eq!(count, 3 * 4, "a key, an encapsulation, a good ciphertext and an edited one of each size");
}

#[test]
fn ml_dsa_vectors_of_nist_hold() {
    let vectors = Vectors::read(include_str!("../../../testdata/acvp-ml-dsa.json"));
    let (mut keys, mut signed, mut good, mut bad) = (0, 0, 0, 0);
    macro_rules! hold {
        ($set:ty, $name:literal, $algorithm:expr) => {
            for test in vectors.of($name, "keyGen") {
                let ours = prepared($algorithm, &bytes(test, "seed"));
                assert_eq!(public(&ours).raw(), bytes(test, "pk"), "{}", test["id"]);
                let signature = ours.sign(&SignOptions::default(), b"message").unwrap();
                let theirs = ml_dsa::VerifyingKey::<$set>::decode(&bytes(test, "pk").as_slice().try_into().unwrap());
                let signature = ml_dsa::Signature::decode(&signature.as_slice().try_into().unwrap()).unwrap();
                assert!(theirs.verify_with_context(b"message", &[], &signature), "{}", test["id"]);
                keys += 1;
            }
            for test in vectors.of($name, "sigGen") {
                #[allow(deprecated, reason = "the vectors have expanded keys")]
                let theirs = ml_dsa::ExpandedSigningKey::<$set>::from_expanded(
                    &bytes(test, "sk").as_slice().try_into().unwrap(),
                );
                let (message, random) = (bytes(test, "message"), bytes(test, "rnd"));
                let random = random.as_slice().try_into().unwrap();
                let signature = theirs.sign_internal(&[&message], &random);
                assert_eq!(hex(&signature.encode()), text(test, "signature"), "{}", test["id"]);
                // The vectors are of the internal interface; ours has the external one, which puts two bytes before the
                // message.
                let key = PublicKey::from_raw($algorithm, &theirs.verifying_key().encode()).unwrap().prepare().unwrap();
                let verified = |signature: &[u8]| key.verify(&SignOptions::default(), &message, signature).unwrap();
                assert!(verified(&theirs.sign_internal(&[&[0, 0], &message], &random).encode()), "{}", test["id"]);
                assert!(!verified(&signature.encode()), "{}", test["id"]);
                signed += 1;
            }
            for test in vectors.of($name, "sigVer") {
                let theirs = ml_dsa::VerifyingKey::<$set>::decode(&bytes(test, "pk").as_slice().try_into().unwrap());
                let signature = ml_dsa::Signature::decode(&bytes(test, "signature").as_slice().try_into().unwrap());
                let verified =
                    signature.is_some_and(|signature| theirs.verify_internal(&bytes(test, "message"), &signature));
                assert_eq!(verified, test["testPassed"].as_bool().unwrap(), "{} {}", test["id"], test["reason"]);
                if verified { good += 1 } else { bad += 1 }
            }
        };
    }
    hold!(MlDsa44, "ML-DSA-44", Algorithm::MlDsa44);
    hold!(MlDsa65, "ML-DSA-65", Algorithm::MlDsa65);
    hold!(MlDsa87, "ML-DSA-87", Algorithm::MlDsa87);
    assert_eq!((keys, signed, good, bad), (6, 3, 3, 8));
}

fn text(test: &Value, field: &str) -> String {
    test[field].as_str().unwrap().to_owned()
}
