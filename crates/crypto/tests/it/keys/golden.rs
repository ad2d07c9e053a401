//! Each stored encoding and each format of keys, made by another implementation from docs/CRYPTO.md: read for ever.

use coffer_crypto::keys::{Algorithm, KeyMaterial, SignOptions};
use serde_json::Value;

use super::{prepared, public, unhex};

#[test]
fn keys_v1_are_read_and_open_what_was_made_with_them() {
    let file: Value = serde_json::from_str(include_str!("../../../testdata/golden/keys-v1.json")).unwrap();
    let of_all = |field: &str| unhex(file[field].as_str().unwrap());
    let (aad, plaintext, context, target) =
        (of_all("aad"), of_all("plaintext"), of_all("context"), of_all("wrapped_key"));
    let mut seen = Vec::new();
    for golden in file["keys"].as_array().unwrap() {
        let name = golden["algorithm"].as_str().unwrap();
        let algorithm = Algorithm::parse(name).unwrap();
        let bytes = |field: &str| golden[field].as_str().map(unhex);
        let key = prepared(algorithm, &bytes("encoded").unwrap());
        let aad = if name.starts_with("rsa") { &b""[..] } else { &aad };
        let mut checks = 0;
        if let Some(sealed) = bytes("sealed") {
            assert_eq!(*key.decrypt(aad, &sealed).unwrap(), plaintext, "{name}");
            checks += 1;
        }
        if let Some(sealed) = bytes("derived") {
            assert_eq!(*key.derive(&context).unwrap().decrypt(aad, &sealed).unwrap(), plaintext, "{name}");
            checks += 1;
        }
        if let Some(sealed) = bytes("convergent") {
            // With the nonce that OpenBao takes, of the plaintext alone.
            let key = key.derive_convergent(&context).unwrap();
            assert_eq!(key.encrypt(b"", &plaintext).unwrap()[..12], sealed[..12], "{name}");
            assert_eq!(*key.decrypt(aad, &sealed).unwrap(), plaintext, "{name}");
            checks += 1;
        }
        if let Some(sealed) = bytes("convergent_bound") {
            let key = key.derive_convergent(&context).unwrap();
            assert_eq!(key.encrypt(aad, &plaintext).unwrap(), sealed, "{name}");
            assert_eq!(*key.decrypt(aad, &sealed).unwrap(), plaintext, "{name}");
            checks += 1;
        }
        if let Some(wrapped) = bytes("wrapped") {
            assert_eq!(*key.unwrap(&wrapped).unwrap(), target, "{name}");
            checks += 1;
        }
        if let Some(mac) = bytes("mac") {
            assert_eq!(key.mac(None, &plaintext).unwrap(), mac, "{name}");
            checks += 1;
        }
        if let Some(raw) = bytes("public") {
            assert_eq!(public(&key).raw(), raw, "{name}");
            checks += 1;
        }
        if let Some(spki) = bytes("spki") {
            assert_eq!(public(&key).spki().unwrap(), spki, "{name}");
            checks += 1;
        }
        if let Some(signature) = bytes("signature") {
            assert!(key.verify(&SignOptions::default(), &plaintext, &signature).unwrap(), "{name}");
            checks += 1;
        }
        if let Some(raw) = bytes("derived_public") {
            assert_eq!(public(&key.derive(&context).unwrap()).raw(), raw, "{name}");
            checks += 1;
        }
        assert_eq!(checks, golden.as_object().unwrap().len() - 2, "every field of {name} was looked at");
        seen.push(algorithm);
    }
    // ML-KEM's and X-Wing's stored keys are their standards', which the published vectors hold.
    let missing = Algorithm::ALL.into_iter().filter(|algorithm| !seen.contains(algorithm));
    assert_eq!(missing.map(Algorithm::name).collect::<Vec<_>>(), ["ml-kem-1024", "ml-kem-512", "ml-kem-768", "x-wing"]);
}

#[test]
fn generated_keys_have_the_documented_lengths() {
    for (algorithm, private, public) in [
        (Algorithm::Aes128Gcm, 16, 0),
        (Algorithm::Xaes256Gcm, 32, 0),
        (Algorithm::Hmac, 32, 0),
        (Algorithm::HmacSha384, 48, 0),
        (Algorithm::EcdsaP256, 32, 65),
        (Algorithm::EcdsaP384, 48, 97),
        (Algorithm::EcdsaP521, 66, 133),
        (Algorithm::Ed25519, 32, 32),
        (Algorithm::MlDsa44, 32, 1312),
        (Algorithm::MlDsa65, 32, 1952),
        (Algorithm::MlDsa87, 32, 2592),
        (Algorithm::MlKem512, 1632, 800),
        (Algorithm::MlKem768, 2400, 1184),
        (Algorithm::MlKem1024, 3168, 1568),
        (Algorithm::XWing, 2432, 1216),
    ] {
        let key = KeyMaterial::generate(algorithm).unwrap();
        let len = key.public().unwrap().map_or(0, |public| public.raw().len());
        assert_eq!((key.encoded().len(), len), (private, public), "{algorithm:?}");
    }
}
