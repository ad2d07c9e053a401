//! Keys that come from elsewhere.

use coffer_api::Code;
use coffer_crypto::{
    hash,
    keys::{KeyMaterial, PublicKey, SignOptions},
};

use super::*;

impl World {
    /// What a client sends that wraps a key for the store.
    async fn wrapped(&self, key: &[u8], hash: hash::Algorithm) -> String {
        let pem = self.root.key_wrapping_key(&self.mount).await.unwrap();
        let wrapping = PublicKey::from_pem(Algorithm::Rsa4096, &pem).unwrap().prepare().unwrap();
        STANDARD.encode(wrapping.wrap_rsa(hash, key).unwrap())
    }

    async fn import(&self, name: &str, algorithm: Algorithm, ciphertext: &str) -> Result<(), Error> {
        let source = stored(ciphertext, hash::Algorithm::Sha2_256);
        self.root.key_import(&self.mount, name, KeyCreate::transit(algorithm), source, &()).await.map(drop)
    }
}

fn stored(ciphertext: &str, hash: hash::Algorithm) -> ImportSource<'_> {
    ImportSource::Wrapped { ciphertext: Input::Base64(ciphertext), hash, by: WrappedBy::Store }
}

#[tokio::test]
async fn imported_keys_work_as_where_they_came_from() {
    let world = World::new().await;
    let sha256 = hash::Algorithm::Sha2_256;
    let first = world.root.key_wrapping_key(&world.mount).await.unwrap();
    assert_eq!(world.root.key_wrapping_key(&world.mount).await.unwrap(), first, "one for the store");
    let aes = KeyMaterial::generate(Algorithm::Aes256Gcm).unwrap();
    let bytes = aes.export().unwrap();
    for (name, hash) in [("sha1", hash::Algorithm::Sha1), ("sha512", hash::Algorithm::Sha2_512), ("sha256", sha256)] {
        let ciphertext = world.wrapped(&bytes, hash).await;
        let create = KeyCreate::transit(Algorithm::Aes256Gcm);
        world.root.key_import(&world.mount, name, create, stored(&ciphertext, hash), &()).await.unwrap();
        let text = world.encrypted(name, b"hello").await;
        let sealed = STANDARD.decode(text.strip_prefix("vault:v1:").unwrap()).unwrap();
        assert_eq!(aes.prepare().unwrap().decrypt(b"", &sealed).unwrap().as_slice(), b"hello");
    }
    for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519, Algorithm::Rsa2048] {
        let material = KeyMaterial::generate(algorithm).unwrap();
        let ciphertext = world.wrapped(&material.export_pkcs8().unwrap(), sha256).await;
        world.import(algorithm.name(), algorithm, &ciphertext).await.unwrap();
        let view = world.root.key_read(&world.mount, algorithm.name()).await.unwrap();
        assert!(view.imported);
        assert_eq!(view.versions[0].public, material.public().unwrap());
    }
    world.end().await;
}

#[tokio::test]
async fn what_does_not_unwrap_or_is_no_key_of_the_type_is_not_imported() {
    let world = World::new().await;
    let sha256 = hash::Algorithm::Sha2_256;
    let short = world.wrapped(&[7; 16], sha256).await;
    let fault = world.import("x", Algorithm::Aes256Gcm, &short).await.unwrap_err();
    assert_eq!(fault.vault_words(), "invalid key size 16 bytes for key type aes-256-gcm");
    let p384 = KeyMaterial::generate(Algorithm::EcdsaP384).unwrap().export_pkcs8().unwrap();
    let p384 = world.wrapped(&p384, sha256).await;
    let good = world.wrapped(&[7; 32], sha256).await;
    let mut edited = STANDARD.decode(&good).unwrap();
    edited[600 - 80] ^= 1;
    let cut = STANDARD.encode(&STANDARD.decode(&good).unwrap()[..500]);
    let sha1 = world.wrapped(&[7; 32], hash::Algorithm::Sha1).await;
    for (algorithm, ciphertext) in [
        (Algorithm::EcdsaP256, p384.as_str()),
        (Algorithm::Ed25519, &p384),
        (Algorithm::Rsa2048, &good),
        (Algorithm::Aes256Gcm, &STANDARD.encode(edited)),
        (Algorithm::Aes256Gcm, &cut),
        (Algorithm::Aes256Gcm, &sha1),
        (Algorithm::Aes256Gcm, ""),
        (Algorithm::Aes256Gcm, "!!"),
    ] {
        let refused = world.import("x", algorithm, ciphertext).await.unwrap_err();
        assert_eq!(refused.code(), Code::Invalid, "{algorithm:?} {refused}");
    }
    assert_eq!(world.root.key_read(&world.mount, "x").await.unwrap_err().code(), Code::NotFound);
    world.import("x", Algorithm::Aes256Gcm, &good).await.unwrap();
    assert_eq!(world.import("x", Algorithm::Aes256Gcm, &good).await.unwrap_err().code(), Code::Conflict);
    world.end().await;
}

#[tokio::test]
async fn imported_version_becomes_the_primary_one_of_an_imported_key_alone() {
    let world = World::new().await;
    let sha256 = hash::Algorithm::Sha2_256;
    world.import("k", Algorithm::Aes256Gcm, &world.wrapped(&[1; 32], sha256).await).await.unwrap();
    let old = world.encrypted("k", b"hello").await;
    let second = world.wrapped(&[2; 32], sha256).await;
    world.root.key_import_version(&world.mount, "k", stored(&second, sha256), None, &()).await.unwrap();
    assert!(world.encrypted("k", b"hello").await.starts_with("vault:v2:"));
    assert_eq!(world.decrypted("k", &old).await.unwrap(), b"hello");
    world.key("own", Algorithm::Aes256Gcm).await;
    for (name, code) in [("own", Code::Invalid), ("none", Code::NotFound)] {
        let refused = world.root.key_import_version(&world.mount, name, stored(&second, sha256), None, &()).await;
        assert_eq!(refused.unwrap_err().code(), code);
    }
    let refused = world.root.key_import_version(&world.mount, "k", stored(&second, sha256), Some(1), &()).await;
    assert_eq!(refused.unwrap_err().public(), "private key imported, key version cannot be updated");
    world.end().await;
}

#[tokio::test]
async fn public_key_that_was_imported_verifies_and_signs_once_its_private_part_comes() {
    let world = World::new().await;
    let sha256 = hash::Algorithm::Sha2_256;
    let material = KeyMaterial::generate(Algorithm::EcdsaP256).unwrap();
    let pem = material.public().unwrap().unwrap().pem().unwrap();
    let create = KeyCreate::transit(Algorithm::EcdsaP256);
    world.root.key_import(&world.mount, "k", create, ImportSource::Public { pem: &pem }, &()).await.unwrap();
    let options = SignOptions::default();
    let signature = material.prepare().unwrap().sign(&options, b"msg").unwrap();
    let signature = format!("vault:v1:{}", STANDARD.encode(signature));
    let item = VerifyItem { input: Input::Raw(b"msg"), signature: &signature, ..VerifyItem::default() };
    assert_eq!(one(world.root.key_verify(&world.mount, "k", &options, &[item], &()).await), Ok(true));
    let how = Signing { key_version: 0, options };
    let fault = one(world.root.key_sign(&world.mount, "k", &how, &[SignItem::default()], &()).await).unwrap_err();
    assert_eq!(fault, "requested version for signing does not contain a private part");

    let other = KeyMaterial::generate(Algorithm::EcdsaP256).unwrap().export_pkcs8().unwrap();
    let other = world.wrapped(&other, sha256).await;
    let refused = world.root.key_import_version(&world.mount, "k", stored(&other, sha256), Some(1), &()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Invalid, "another key's private part");
    let own = world.wrapped(&material.export_pkcs8().unwrap(), sha256).await;
    world.root.key_import_version(&world.mount, "k", stored(&own, sha256), None, &()).await.unwrap();
    let signed = one(world.root.key_sign(&world.mount, "k", &how, &[SignItem::default()], &()).await).unwrap();
    assert_eq!(signed.key_version, 1);
    let refused = ImportSource::Public { pem: "x" };
    let refused = world.root.key_import(&world.mount, "x", KeyCreate::transit(Algorithm::Rsa2048), refused, &()).await;
    assert_eq!(refused.unwrap_err().code(), Code::Invalid);
    world.end().await;
}

#[tokio::test]
async fn one_time_import_key_serves_one_import_of_its_mount() {
    let world = World::new().await;
    let other = World::mounted(&world.root, "other/").await;
    for wrap in [ImportWrap::MlKem768, ImportWrap::RsaOaep] {
        let once = world.root.key_import_begin(&world.mount, wrap, &()).await.unwrap();
        let algorithm = match wrap {
            ImportWrap::MlKem768 => Algorithm::MlKem768,
            ImportWrap::RsaOaep => Algorithm::Rsa4096,
        };
        let wrapping = PublicKey::from_pem(algorithm, &once.public_key).unwrap().prepare().unwrap();
        let ciphertext = wrapping.wrap(&[7; 32]).unwrap();
        let source = ImportSource::Wrapped {
            ciphertext: Input::Raw(&ciphertext),
            hash: hash::Algorithm::Sha2_256,
            by: WrappedBy::Once(once.id),
        };
        let create = || KeyCreate::native(Algorithm::Xaes256Gcm);
        let refused = world.root.key_import(&other, "k", create(), source, &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "another mount's");
        let name = algorithm.name();
        world.root.key_import(&world.mount, name, create(), source, &()).await.unwrap();
        world.encrypted(name, b"hello").await;
        let refused = world.root.key_import(&world.mount, "again", create(), source, &()).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "it was used");
    }
    world.end().await;
}
