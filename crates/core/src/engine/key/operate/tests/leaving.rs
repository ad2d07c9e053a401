//! What leaves: exports, public keys, wrapped keys, backups, certificates.

use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use coffer_api::Code;
use coffer_crypto::{
    certificate::Certificate,
    hash,
    keys::{PublicKey, SignOptions},
};

use super::*;

impl World {
    async fn exported(&self, kind: ExportKind, name: &str) -> Result<String, String> {
        let exported =
            self.root.key_export(&self.mount, kind, name, VersionChoice::Latest, ExportFormat::Default).await;
        exported.map(|mut exported| exported.keys.remove(0).1.to_string()).map_err(|error| error.public().to_owned())
    }
}

#[tokio::test]
async fn exports_have_the_forms_of_the_original_and_need_an_exportable_key() {
    let world = World::new().await;
    for (algorithm, kind, form) in [
        (Algorithm::Aes256Gcm, ExportKind::EncryptionKey, "base64 of 32"),
        (Algorithm::Ed25519, ExportKind::SigningKey, "base64 of 64"),
        (Algorithm::EcdsaP256, ExportKind::SigningKey, "EC PRIVATE KEY"),
        (Algorithm::Rsa2048, ExportKind::SigningKey, "RSA PRIVATE KEY"),
        (Algorithm::Rsa2048, ExportKind::EncryptionKey, "RSA PRIVATE KEY"),
        (Algorithm::Aes256Gcm, ExportKind::HmacKey, "base64 of 32"),
        (Algorithm::EcdsaP256, ExportKind::PublicKey, "PUBLIC KEY"),
        (Algorithm::Ed25519, ExportKind::PublicKey, "base64 of 32"),
        (Algorithm::Rsa2048, ExportKind::PublicKey, "PUBLIC KEY"),
    ] {
        let (name, closed) = (algorithm.name(), format!("{}-closed", algorithm.name()));
        if world.root.key_read(&world.mount, name).await.is_err() {
            world.key(name, algorithm).await;
            world.make(&closed, KeyCreate::transit(algorithm)).await;
        }
        let text = world.exported(kind, name).await.unwrap();
        match form.strip_prefix("base64 of ") {
            Some(len) => assert_eq!(STANDARD.decode(&text).unwrap().len().to_string(), len, "{name}"),
            None => {
                assert!(text.starts_with(&format!("-----BEGIN {form}-----\n")), "{name}: {text}");
                assert_eq!(text.ends_with('\n'), algorithm == Algorithm::Rsa2048, "{name}");
            }
        }
        let refused = world.exported(kind, &closed).await;
        match kind {
            ExportKind::PublicKey => assert!(refused.is_ok()),
            ExportKind::CertificateChain | ExportKind::EncryptionKey | ExportKind::HmacKey | ExportKind::SigningKey => {
                assert_eq!(refused.unwrap_err(), "private key material is not exportable")
            }
        }
    }
    for (kind, name, fault) in [
        (ExportKind::SigningKey, "aes-256-gcm", "signing not supported for the key"),
        (ExportKind::EncryptionKey, "ed25519", "encryption not supported for the key"),
        (ExportKind::PublicKey, "aes-256-gcm", "unknown key type aes-256-gcm for export type public-key"),
        (ExportKind::CertificateChain, "rsa-2048", "selected key version does not have a certificate chain imported"),
    ] {
        assert_eq!(world.exported(kind, name).await.unwrap_err(), fault);
    }
    for (version, fault) in [
        (VersionChoice::Number(9), "version does not exist or cannot be found"),
        (VersionChoice::Number(0), "version for export is below minimum decryption version"),
    ] {
        let kind = ExportKind::EncryptionKey;
        let exported = world.root.key_export(&world.mount, kind, "aes-256-gcm", version, ExportFormat::Default).await;
        assert_eq!(exported.err().unwrap().vault_words(), fault);
    }
    world.rotate("aes-256-gcm").await;
    let kind = ExportKind::EncryptionKey;
    let all = world.root.key_export(&world.mount, kind, "aes-256-gcm", VersionChoice::All, ExportFormat::Raw).await;
    let all = all.unwrap().keys;
    assert_eq!(all.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [1, 2]);
    let pem = world.root.key_export(&world.mount, kind, "aes-256-gcm", VersionChoice::All, ExportFormat::Pem).await;
    assert_eq!(pem.err().unwrap().code(), Code::Invalid);
    world.end().await;
}

#[tokio::test]
async fn exported_key_opens_what_the_key_encrypted() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let text = world.encrypted("k", b"hello").await;
    let key = STANDARD.decode(world.exported(ExportKind::EncryptionKey, "k").await.unwrap()).unwrap();
    let key = coffer_crypto::keys::KeyMaterial::import(Algorithm::Aes256Gcm, &key).unwrap().prepare().unwrap();
    let bytes = STANDARD.decode(text.strip_prefix("vault:v1:").unwrap()).unwrap();
    assert_eq!(key.decrypt(b"", &bytes).unwrap().as_slice(), b"hello");
    world.end().await;
}

#[tokio::test]
async fn public_key_verifies_elsewhere_as_pem_and_as_jwk() {
    let world = World::new().await;
    for (algorithm, kty) in [(Algorithm::EcdsaP384, "EC"), (Algorithm::Ed25519, "OKP"), (Algorithm::Rsa2048, "RSA")] {
        let name = algorithm.name();
        world.make(name, KeyCreate::native(algorithm)).await;
        let (_, pem) = world.root.key_public(&world.mount, name, None, PublicFormat::Pem).await.unwrap();
        let public = PublicKey::from_pem(algorithm, &pem).unwrap().prepare().unwrap();
        let how = Signing { key_version: 0, options: SignOptions::default() };
        let items = [SignItem { input: Input::Raw(b"msg"), ..SignItem::default() }];
        let signed = one(world.root.key_sign(&world.mount, name, &how, &items, &()).await).unwrap().signature;
        let signature = STANDARD.decode(signed.strip_prefix("vault:v1:").unwrap()).unwrap();
        assert!(public.verify(&how.options, b"msg", &signature).unwrap(), "{name}");
        let (number, jwk) = world.root.key_public(&world.mount, name, Some(1), PublicFormat::Jwk).await.unwrap();
        assert_eq!(number, 1);
        let jwk: serde_json::Value = serde_json::from_str(&jwk).unwrap();
        assert_eq!(jwk["kty"], kty);
        assert!(jwk.get("d").is_none());
        // Its numbers, in the order in which PEM has them, are the last thing there.
        let number = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
        let numbers = match algorithm {
            Algorithm::EcdsaP384 => [&[4], &number("x")[..], &number("y")].concat(),
            Algorithm::Ed25519 => number("x"),
            // Between them, what DER says of the exponent.
            _ => [&number("n")[..], &[2, 3], &number("e")].concat(),
        };
        let spki: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
        assert!(STANDARD.decode(spki).unwrap().ends_with(&numbers), "{name}: {jwk}");
    }
    world.make("k", KeyCreate::native(Algorithm::Aes256Gcm)).await;
    assert!(world.root.key_public(&world.mount, "k", None, PublicFormat::Pem).await.is_err());
    world.end().await;
}

#[tokio::test]
async fn key_wrapped_under_another_comes_back_as_itself() {
    let world = World::new().await;
    for wrapping in [Algorithm::Aes256Gcm, Algorithm::MlKem768, Algorithm::Rsa2048, Algorithm::XWing] {
        world.make(&format!("w-{}", wrapping.name()), KeyCreate::native(wrapping)).await;
    }
    for (algorithm, wrapping) in [
        (Algorithm::Aes256Gcm, "w-aes-256-gcm"),
        (Algorithm::EcdsaP256, "w-rsa-2048"),
        (Algorithm::Ed25519, "w-ml-kem-768"),
        (Algorithm::Rsa2048, "w-x-wing"),
        (Algorithm::MlDsa65, "w-aes-256-gcm"),
        (Algorithm::MlKem768, "w-rsa-2048"),
        (Algorithm::XWing, "w-rsa-2048"),
    ] {
        let name = algorithm.name();
        world.key(name, algorithm).await;
        let hash = hash::Algorithm::Sha2_256;
        let choice = VersionChoice::Latest;
        let wrapped = world.root.key_wrap(&world.mount, wrapping, name, choice, hash).await.unwrap();
        let ciphertext = Input::Base64(&wrapped.keys[0].1);
        let source = ImportSource::Wrapped { ciphertext, hash, by: WrappedBy::Key(wrapping) };
        let again = format!("{name}-again");
        let create = KeyCreate { exportable: true, ..KeyCreate::native(algorithm) };
        world.root.key_import(&world.mount, &again, create, source, &()).await.unwrap();
        let (old, new) = (
            world.root.key_read(&world.mount, name).await.unwrap(),
            world.root.key_read(&world.mount, &again).await.unwrap(),
        );
        assert_eq!(old.versions[0].fingerprint, new.versions[0].fingerprint, "{name}");
        let create = KeyCreate::native(algorithm);
        let wrong = ImportSource::Wrapped { ciphertext, hash, by: WrappedBy::Key("w-ml-kem-768") };
        if wrapping != "w-ml-kem-768" {
            let refused = world.root.key_import(&world.mount, "wrong", create, wrong, &()).await.unwrap_err();
            assert_eq!(refused.code(), Code::Invalid, "{name}");
        }
    }
    world.make("closed", KeyCreate::native(Algorithm::Aes256Gcm)).await;
    let (choice, hash) = (VersionChoice::All, hash::Algorithm::Sha2_256);
    let refused = world.root.key_wrap(&world.mount, "w-rsa-2048", "closed", choice, hash).await.err().unwrap();
    assert_eq!(refused.public(), "key is not exportable");
    let refused = world.root.key_wrap(&world.mount, "ed25519", "aes-256-gcm", choice, hash).await.err().unwrap();
    assert_eq!(refused.code(), Code::Invalid, "it wraps nothing");
    world.end().await;
}

#[tokio::test]
async fn backup_restores_every_version_with_its_state() {
    let world = World::new().await;
    let create =
        KeyCreate { exportable: true, allow_plaintext_backup: true, ..KeyCreate::transit(Algorithm::Aes256Gcm) };
    world.make("k", create).await;
    let old = world.encrypted("k", b"one").await;
    world.rotate("k").await;
    let new = world.encrypted("k", b"two").await;
    world.root.key_deactivate(&world.mount, "k", &[1], &()).await.unwrap();
    let mac = one(world.root.key_hmac(&world.mount, "k", None, 0, &[Input::EMPTY], &()).await).unwrap();
    let backup = world.root.key_backup(&world.mount, "k").await.unwrap();
    let backup = backup.expose().as_str();
    assert!(world.root.key_read(&world.mount, "k").await.unwrap().backup.is_some());

    let restore =
        async |name: Option<&str>, existing| world.root.key_restore(&world.mount, name, backup, existing, &()).await;
    let refused = restore(None, Existing::Keep).await.unwrap_err();
    assert_eq!((refused.code(), refused.public()), (Code::Conflict, "key \"k\" already exists"));
    restore(Some("again"), Existing::Keep).await.unwrap();
    restore(None, Existing::Replace).await.unwrap();
    for name in ["again", "k"] {
        assert_eq!(world.decrypted(name, &old).await.unwrap(), b"one");
        assert_eq!(world.decrypted(name, &new).await.unwrap(), b"two");
        assert!(world.encrypted(name, b"three").await.starts_with("vault:v2:"));
        let item = HmacVerifyItem { input: Input::EMPTY, hmac: &mac.hmac };
        assert_eq!(one(world.root.key_hmac_verify(&world.mount, name, None, &[item], &()).await), Ok(true));
        let item = EncryptItem { key_version: 1, ..EncryptItem::default() };
        assert!(one(world.root.key_encrypt(&world.mount, name, &[item], &()).await).is_err(), "deactivated");
        world.rotate(name).await;
        assert!(world.encrypted(name, b"four").await.starts_with("vault:v3:"));
    }
    for (backup, fault) in
        [("!!", "illegal base64 data at input byte 0"), ("AAAA", "this is no backup"), ("", "this is no")]
    {
        let refused = world.root.key_restore(&world.mount, Some("x"), backup, Existing::Keep, &()).await.unwrap_err();
        assert!(refused.vault_words().starts_with(fault), "{refused}");
    }
    let mut edited: serde_json::Value = serde_json::from_slice(&STANDARD.decode(backup).unwrap()).unwrap();
    for (pointer, value) in [
        ("/primary", serde_json::json!(1)),
        ("/versions/0/state", serde_json::json!("destroyed")),
        ("/versions/1/number", serde_json::json!(1)),
        ("/versions/1/material", serde_json::json!("AAAA")),
        ("/min_decryption", serde_json::json!(3)),
        ("/format", serde_json::json!("x")),
    ] {
        let before = edited.pointer(pointer).unwrap().clone();
        *edited.pointer_mut(pointer).unwrap() = value;
        let backup = STANDARD.encode(serde_json::to_vec(&edited).unwrap());
        let refused = world.root.key_restore(&world.mount, Some("x"), &backup, Existing::Keep, &()).await;
        assert_eq!(refused.unwrap_err().code(), Code::Invalid, "{pointer}");
        *edited.pointer_mut(pointer).unwrap() = before;
    }
    world.key("closed", Algorithm::Aes256Gcm).await;
    let refused = world.root.key_backup(&world.mount, "closed").await.err().unwrap();
    assert_eq!(refused.public(), "the key does not allow plaintext backup");
    world.end().await;
}

#[tokio::test]
async fn request_for_a_certificate_is_the_keys_and_chains_must_be_too() {
    let world = World::new().await;
    world.key("p256", Algorithm::EcdsaP256).await;
    world.key("other", Algorithm::EcdsaP256).await;
    let csr = world.root.key_csr(&world.mount, "p256", None, "", &()).await.unwrap();
    assert!(csr.starts_with("-----BEGIN CERTIFICATE REQUEST-----\n") && csr.ends_with("-----\n"));
    let templated = world.root.key_csr(&world.mount, "other", Some(1), &csr, &()).await.unwrap();
    assert_ne!(templated, csr);
    for (name, template, fault) in [
        ("p256", "bogus", "could not decode PEM CSR"),
        (
            "p256",
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
            "could not parse the CSR",
        ),
    ] {
        let refused = world.root.key_csr(&world.mount, name, None, template, &()).await.unwrap_err();
        assert_eq!(refused.public(), fault);
    }
    let refused = world.root.key_csr(&world.mount, "p256", Some(5), "", &()).await.unwrap_err();
    assert_eq!(refused.public(), "could not create the csr: no such key version");
    world.key("aes", Algorithm::Aes256Gcm).await;
    let refused = world.root.key_csr(&world.mount, "aes", None, "", &()).await.unwrap_err();
    assert_eq!(refused.public(), "key type 'aes-256-gcm' does not support signing");

    let (_, public) = world.root.key_public(&world.mount, "p256", None, PublicFormat::Pem).await.unwrap();
    let spki = PublicKey::from_pem(Algorithm::EcdsaP256, &public).unwrap().spki().unwrap();
    let certificate = super::super::pem::encode("CERTIFICATE", &certificate(&spki));
    assert_eq!(
        Certificate::parse(&super::super::pem::decode_all(&certificate, 1).unwrap()[0].der).unwrap().spki(),
        spki.as_slice()
    );
    let set = async |name: &str, chain: &str| {
        let set = world.root.key_set_certificate(&world.mount, name, None, chain, &()).await;
        set.map_err(|error| error.public().to_owned())
    };
    set("p256", &certificate).await.unwrap();
    let exported = world.exported(ExportKind::CertificateChain, "p256").await.unwrap();
    assert_eq!(exported, certificate.trim_end());
    let mismatch =
        "failed to persist certificate chain: leaf certificate public key does not match the selected key version";
    assert_eq!(set("other", &certificate).await.unwrap_err(), mismatch);
    let last = "failed to persist certificate chain: certificate in the last element is not a valid CA certificate";
    assert_eq!(set("p256", &certificate.repeat(2)).await.unwrap_err(), last);
    for (chain, fault) in [
        ("", "provided certificate chain did not contain any valid PEM encoded certificate"),
        ("x", "could not decode a PEM block in the certificate chain"),
    ] {
        assert_eq!(set("p256", chain).await.unwrap_err(), fault);
    }
    let exported = world.exported(ExportKind::CertificateChain, "p256").await.unwrap();
    assert_eq!(exported, certificate.trim_end(), "what was refused changed nothing");
    world.end().await;
}

/// A certificate of that key that nobody signed, which is enough to hold it against the key.
fn certificate(spki: &[u8]) -> Vec<u8> {
    let sequence = |parts: &[&[u8]]| {
        let content = parts.concat();
        let len = content.len();
        let mut out = match len {
            0..128 => vec![0x30, u8::try_from(len).unwrap()],
            _ => vec![0x30, 0x82, u8::try_from(len >> 8).unwrap(), u8::try_from(len & 0xff).unwrap()],
        };
        if let (128..256, Some(head)) = (len, out.get(3).copied()) {
            out = vec![0x30, 0x81, head];
        }
        out.extend(content);
        out
    };
    let empty = sequence(&[]);
    let signed = sequence(&[&[2, 1, 1], &empty, &empty, &empty, &empty, spki]);
    sequence(&[&signed, &empty, &[3, 1, 0]])
}
