//! Signatures, HMACs and encapsulation.

use coffer_crypto::{
    hash,
    keys::{Marshal, RsaPadding, Salt, SignOptions, Usage},
};

use super::*;

const SIGNERS: [Algorithm; 8] = [
    Algorithm::EcdsaP256,
    Algorithm::EcdsaP384,
    Algorithm::EcdsaP521,
    Algorithm::Ed25519,
    Algorithm::MlDsa44,
    Algorithm::MlDsa65,
    Algorithm::MlDsa87,
    Algorithm::Rsa2048,
];

impl World {
    async fn signed(&self, name: &str, options: SignOptions, input: &[u8]) -> Result<Signed, String> {
        let how = Signing { key_version: 0, options };
        let item = SignItem { input: Input::Raw(input), ..SignItem::default() };
        one(self.root.key_sign(&self.mount, name, &how, &[item], &()).await)
    }

    async fn verified(&self, name: &str, options: SignOptions, input: &[u8], signature: &str) -> Result<bool, String> {
        let item = VerifyItem { input: Input::Raw(input), signature, ..VerifyItem::default() };
        one(self.root.key_verify(&self.mount, name, &options, &[item], &()).await)
    }
}

#[tokio::test]
async fn every_signature_verifies_under_its_key_version_and_input_alone() {
    let world = World::new().await;
    for algorithm in SIGNERS {
        let name = algorithm.name();
        world.key(name, algorithm).await;
        let options = SignOptions::default();
        let old = world.signed(name, options, b"msg").await.unwrap();
        world.rotate(name).await;
        let new = world.signed(name, options, b"msg").await.unwrap();
        assert_eq!((old.key_version, new.key_version), (1, 2));
        for signature in [&old.signature, &new.signature] {
            assert_eq!(world.verified(name, options, b"msg", signature).await, Ok(true), "{name}");
            assert_eq!(world.verified(name, options, b"other", signature).await, Ok(false), "{name}");
        }
        let other_version = old.signature.replace(":v1:", ":v2:");
        assert_eq!(world.verified(name, options, b"msg", &other_version).await, Ok(false), "{name}");
        for (text, fault) in [
            ("xx", "invalid signature: no prefix"),
            ("vault:v1", "invalid signature: wrong number of fields"),
            ("vault:v3:AAAA", "invalid signature: version is too new"),
            ("vault:v0:AAAA", "ciphertext or signature version is disallowed by policy (too old)"),
            ("vault:v1:!", "invalid base64 signature value"),
        ] {
            assert_eq!(world.verified(name, options, b"msg", text).await, Err(fault.to_owned()), "{name} {text}");
        }
    }
    world.end().await;
}

#[tokio::test]
async fn hashes_paddings_and_forms_are_the_signers_choice_and_must_be_the_verifiers() {
    let world = World::new().await;
    world.key("p256", Algorithm::EcdsaP256).await;
    world.key("rsa", Algorithm::Rsa2048).await;
    let default = SignOptions::default();
    let jws = SignOptions { marshal: Marshal::Jws, ..default };
    let signed = world.signed("p256", jws, b"msg").await.unwrap();
    assert_eq!(signed.signature.len(), "vault:v1:".len() + 86);
    assert_eq!(world.verified("p256", jws, b"msg", &signed.signature).await, Ok(true));
    let sha512 = SignOptions { hash: Some(hash::Algorithm::Sha2_512), ..default };
    let prehashed = SignOptions { prehashed: true, ..sha512 };
    let pkcs1 = SignOptions { rsa: RsaPadding::Pkcs1v15, ..default };
    let salted = SignOptions { rsa: RsaPadding::Pss(Salt::Hash), ..default };
    for name in ["p256", "rsa"] {
        let signed = world.signed(name, sha512, b"msg").await.unwrap();
        let digest = hash::digest(hash::Algorithm::Sha2_512, b"msg");
        assert_eq!(world.verified(name, prehashed, &digest, &signed.signature).await, Ok(true), "{name}");
        assert_eq!(world.verified(name, default, b"msg", &signed.signature).await, Ok(false), "{name}");
    }
    assert!(world.signed("rsa", prehashed, b"msg").await.is_err(), "of another length than the hash");
    let signed = world.signed("rsa", pkcs1, b"msg").await.unwrap();
    assert_eq!(world.verified("rsa", pkcs1, b"msg", &signed.signature).await, Ok(true));
    assert_eq!(world.verified("rsa", default, b"msg", &signed.signature).await, Ok(false));
    let signed = world.signed("rsa", salted, b"msg").await.unwrap();
    assert_eq!(world.verified("rsa", default, b"msg", &signed.signature).await, Ok(true), "any salt");
    world.end().await;
}

#[tokio::test]
async fn malformed_signatures_are_told_from_those_that_do_not_hold() {
    let world = World::new().await;
    let options = SignOptions::default();
    for (algorithm, answer) in [
        (Algorithm::EcdsaP256, Err("supplied signature is invalid".to_owned())),
        (Algorithm::EcdsaP521, Err("supplied signature is invalid".to_owned())),
        (Algorithm::Ed25519, Ok(false)),
        (Algorithm::Rsa2048, Ok(false)),
    ] {
        let name = algorithm.name();
        world.key(name, algorithm).await;
        let signed = world.signed(name, options, b"msg").await.unwrap().signature;
        let mut longer = STANDARD.decode(signed.strip_prefix("vault:v1:").unwrap()).unwrap();
        longer.push(0);
        let longer = format!("vault:v1:{}", STANDARD.encode(&longer));
        for text in ["vault:v1:", "vault:v1:AAAA", &longer] {
            assert_eq!(world.verified(name, options, b"msg", text).await, answer, "{name} {text}");
        }
        let zero = format!("vault:v1:{}", STANDARD.encode([0x30, 6, 2, 1, 0, 2, 1, 0]));
        assert_eq!(world.verified(name, options, b"msg", &zero).await, Ok(false), "{name}");
    }
    let jws = SignOptions { marshal: Marshal::Jws, ..options };
    assert_eq!(world.verified("ecdsa-p256", jws, b"msg", "vault:v1:AAAA").await, Ok(false), "of another length");
    world.end().await;
}

#[tokio::test]
async fn derived_signer_tells_its_public_key_and_signs_for_its_context_alone() {
    let world = World::new().await;
    world.make("d", KeyCreate { derived: true, ..KeyCreate::transit(Algorithm::Ed25519) }).await;
    let how = Signing { key_version: 0, options: SignOptions::default() };
    let item = |context| SignItem { input: Input::Raw(b"msg"), context };
    let fault = one(world.root.key_sign(&world.mount, "d", &how, &[item(Input::EMPTY)], &()).await).unwrap_err();
    assert!(fault.starts_with("missing 'context'"));
    let signed = one(world.root.key_sign(&world.mount, "d", &how, &[item(Input::Raw(b"ctx"))], &()).await).unwrap();
    assert_eq!(signed.public_key.map(|key| key.len()), Some(32));
    for (context, valid) in [(&b"ctx"[..], true), (b"other", false)] {
        let (input, context) = (Input::Raw(b"msg"), Input::Raw(context));
        let item = VerifyItem { input, context, signature: &signed.signature };
        assert_eq!(one(world.root.key_verify(&world.mount, "d", &how.options, &[item], &()).await), Ok(valid));
    }
    world.end().await;
}

#[tokio::test]
async fn signing_key_of_another_type_and_versions_beyond_are_refused_item_by_item() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let fault = world.signed("k", SignOptions::default(), b"msg").await.unwrap_err();
    assert_eq!(fault, "message signing not supported for key type aes-256-gcm");
    let fault = world.verified("k", SignOptions::default(), b"msg", "vault:v1:AAAA").await.unwrap_err();
    assert_eq!(fault, "message verification not supported for key type aes-256-gcm");
    world.key("ed", Algorithm::Ed25519).await;
    let items = [SignItem { input: Input::Base64("!!"), ..SignItem::default() }, SignItem::default()];
    let how = Signing { key_version: 0, options: SignOptions::default() };
    let made = world.root.key_sign(&world.mount, "ed", &how, &items, &()).await.unwrap();
    let fault = made[0].as_ref().unwrap_err().to_string();
    assert_eq!(fault, "unable to decode input as base64: illegal base64 data at input byte 0");
    assert!(made[1].is_ok());
    for (key_version, fault) in [
        (7, "requested version for signing is higher than the latest key version"),
        (-1, "requested version for signing is negative"),
    ] {
        let how = Signing { key_version, ..how };
        let made = one(world.root.key_sign(&world.mount, "ed", &how, &items[1..], &()).await);
        assert_eq!(made.unwrap_err(), fault);
    }
    world.end().await;
}

#[tokio::test]
async fn large_batches_of_slow_signatures_keep_their_order() {
    let world = World::new().await;
    world.key("rsa", Algorithm::Rsa2048).await;
    let inputs: Vec<[u8; 4]> = (0..40_u32).map(u32::to_be_bytes).collect();
    let items: Vec<SignItem<'_>> =
        inputs.iter().map(|input| SignItem { input: Input::Raw(input), ..SignItem::default() }).collect();
    let how = Signing { key_version: 0, options: SignOptions::default() };
    let signed = world.root.key_sign(&world.mount, "rsa", &how, &items, &()).await.unwrap();
    let signed: Vec<Signed> = signed.into_iter().map(Result::unwrap).collect();
    let items: Vec<VerifyItem<'_>> = inputs
        .iter()
        .zip(&signed)
        .map(|(input, signed)| VerifyItem {
            input: Input::Raw(input),
            signature: &signed.signature,
            ..VerifyItem::default()
        })
        .collect();
    let verified = world.root.key_verify(&world.mount, "rsa", &how.options, &items, &()).await.unwrap();
    assert!(verified.into_iter().all(|valid| valid.unwrap()));
    world.end().await;
}

#[tokio::test]
async fn hmacs_verify_under_hmac_keys_and_beside_any_other() {
    let world = World::new().await;
    world.make("hmac", KeyCreate { key_size: 64, ..KeyCreate::transit(Algorithm::Hmac) }).await;
    for algorithm in [Algorithm::HmacSha512, Algorithm::Aes256Gcm, Algorithm::Ed25519] {
        world.key(algorithm.name(), algorithm).await;
    }
    for name in ["hmac", "hmac-sha512", "aes-256-gcm", "ed25519"] {
        let made = one(world.root.key_hmac(&world.mount, name, None, 0, &[Input::Raw(b"msg")], &()).await).unwrap();
        assert_eq!(made.key_version, 1);
        for (input, hmac, valid) in [
            (&b"msg"[..], made.hmac.clone(), Ok(true)),
            (b"other", made.hmac.clone(), Ok(false)),
            (b"msg", "vault:v1:AAAA".to_owned(), Ok(false)),
            (b"msg", "xx".to_owned(), Err("invalid HMAC to verify: no prefix".to_owned())),
            (b"msg", "vault:v2:AAAA".to_owned(), Err("invalid HMAC: version is too new".to_owned())),
        ] {
            let item = HmacVerifyItem { input: Input::Raw(input), hmac: &hmac };
            let verified = one(world.root.key_hmac_verify(&world.mount, name, None, &[item], &()).await);
            assert_eq!(verified, valid, "{name}");
        }
        for (version, fault) in [
            (5, "key version does not exist; latest key version is 1"),
            (-1, "key version does not exist (cannot be negative)"),
        ] {
            let made = one(world.root.key_hmac(&world.mount, name, None, version, &[Input::EMPTY], &()).await);
            assert_eq!(made.unwrap_err(), fault);
        }
    }
    let sha3 = Some(hash::Algorithm::Sha3_384);
    let made = one(world.root.key_hmac(&world.mount, "hmac", sha3, 0, &[Input::EMPTY], &()).await).unwrap();
    assert_eq!(made.hmac.len(), "vault:v1:".len() + 64);
    let refused = world.root.key_hmac(&world.mount, "hmac-sha512", sha3, 0, &[Input::EMPTY], &()).await.unwrap();
    assert!(refused[0].is_err(), "its hash is in its name");
    let native = KeyCreate::native(Algorithm::Aes256Gcm);
    world.make("native", native).await;
    let refused = world.root.key_hmac(&world.mount, "native", None, 0, &[Input::EMPTY], &()).await.unwrap();
    assert!(refused[0].is_err(), "a native key is for what its usages say");
    world.end().await;
}

#[tokio::test]
async fn capsule_opens_to_the_secret_it_was_made_with() {
    let world = World::new().await;
    for algorithm in [Algorithm::MlKem512, Algorithm::MlKem768, Algorithm::MlKem1024, Algorithm::XWing] {
        let name = algorithm.name();
        world.key(name, algorithm).await;
        let made = world.root.key_encapsulate(&world.mount, name, 0, &()).await.unwrap();
        world.rotate(name).await;
        let opened = world.root.key_decapsulate(&world.mount, name, &made.ciphertext, &()).await.unwrap();
        assert_eq!(*opened, *made.shared, "{name}");
        let other = made.ciphertext.replace(":v1:", ":v2:");
        let opened = world.root.key_decapsulate(&world.mount, name, &other, &()).await.unwrap();
        assert_ne!(*opened, *made.shared, "another version's secret");
        let cut = world.root.key_decapsulate(&world.mount, name, "vault:v1:AAAA", &()).await.unwrap_err();
        assert_eq!(cut.code(), coffer_api::Code::Invalid);
    }
    world.key("k", Algorithm::Aes256Gcm).await;
    let refused = world.root.key_encapsulate(&world.mount, "k", 0, &()).await.err().unwrap();
    assert_eq!(refused.public(), "keys of the algorithm aes-256-gcm are not for encapsulation");
    assert!(Algorithm::MlKem768.supports(Usage::Encapsulate));
    world.end().await;
}
