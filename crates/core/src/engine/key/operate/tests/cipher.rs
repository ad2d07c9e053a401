//! Encrypting and decrypting: every cipher, every way to be refused.

use coffer_api::Code;

use super::*;
use crate::{engine::key::configure::KeyConfigure, tests::facts};

const CIPHERS: [Algorithm; 6] = [
    Algorithm::Aes128Gcm,
    Algorithm::Aes256Gcm,
    Algorithm::ChaCha20Poly1305,
    Algorithm::Rsa2048,
    Algorithm::XChaCha20Poly1305,
    Algorithm::Xaes256Gcm,
];

#[tokio::test]
async fn every_cipher_decrypts_what_it_encrypted_before_and_after_a_rotation() {
    let world = World::new().await;
    for algorithm in CIPHERS {
        let name = algorithm.name();
        world.key(name, algorithm).await;
        let old = world.encrypted(name, b"hello").await;
        assert!(old.starts_with("vault:v1:"), "{old}");
        world.rotate(name).await;
        let new = world.encrypted(name, b"").await;
        assert!(new.starts_with("vault:v2:"), "{new}");
        assert_eq!(world.decrypted(name, &old).await.unwrap(), b"hello");
        assert_eq!(world.decrypted(name, &new).await.unwrap(), b"");
        assert!(world.decrypted(name, &old.replace(":v1:", ":v2:")).await.is_err(), "another version's");
        let item = RewrapItem { ciphertext: &old, ..RewrapItem::default() };
        let anew = one(world.root.key_rewrap(&world.mount, name, &[item], &()).await).unwrap();
        assert_eq!(anew.key_version, 2);
        assert_eq!(world.decrypted(name, &anew.ciphertext).await.unwrap(), b"hello");
        let item = EncryptItem { plaintext: Input::Base64("aGVsbG8="), key_version: 1, ..EncryptItem::default() };
        let with_old = one(world.root.key_encrypt(&world.mount, name, &[item], &()).await).unwrap();
        assert_eq!((with_old.key_version, with_old.ciphertext.get(..9)), (1, Some("vault:v1:")));
    }
    world.end().await;
}

#[tokio::test]
async fn ciphertext_that_was_cut_edited_or_of_another_key_or_mount_does_not_open() {
    let world = World::new().await;
    let other = World::mounted(&world.root, "other/").await;
    for algorithm in CIPHERS {
        let name = algorithm.name();
        world.key(name, algorithm).await;
        let text = world.encrypted(name, b"hello").await;
        let (head, encoded) = text.rsplit_once(':').unwrap();
        let bytes = STANDARD.decode(encoded).unwrap();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            let fault = world.decrypted(name, &format!("{head}:{}", STANDARD.encode(&edited))).await.unwrap_err();
            assert_eq!(fault, "cipher: message authentication failed", "{name} at {at}");
        }
        for len in [0, 1, 11, 12, bytes.len() - 1] {
            let cut = format!("{head}:{}", STANDARD.encode(&bytes[..len]));
            assert!(world.decrypted(name, &cut).await.is_err(), "{name} cut to {len}");
        }
        world.key(&format!("{name}-2"), algorithm).await;
        assert!(world.decrypted(&format!("{name}-2"), &text).await.is_err(), "another key");
        world.root.key_create(&other, name, KeyCreate::transit(algorithm), &()).await.unwrap();
        let item = DecryptItem { ciphertext: &text, ..DecryptItem::default() };
        assert!(one(world.root.key_decrypt(&other, name, &[item], &()).await).is_err(), "another mount's key");
    }
    world.end().await;
}

#[tokio::test]
async fn associated_data_belongs_to_the_ciphertext_and_rsa_takes_none() {
    let world = World::new().await;
    for algorithm in CIPHERS.into_iter().filter(|algorithm| *algorithm != Algorithm::Rsa2048) {
        let name = algorithm.name();
        world.key(name, algorithm).await;
        let plaintext = Input::Raw(b"hello");
        let item = EncryptItem { plaintext, associated_data: Input::Base64("YWQ="), ..EncryptItem::default() };
        let text = one(world.root.key_encrypt(&world.mount, name, &[item], &()).await).unwrap().ciphertext;
        for (associated_data, opens) in [
            (Input::Raw(b"ad"), true),
            (Input::Base64("YWQ="), true),
            (Input::EMPTY, false),
            (Input::Raw(b"ae"), false),
        ] {
            let item = DecryptItem { ciphertext: &text, associated_data, ..DecryptItem::default() };
            let opened = one(world.root.key_decrypt(&world.mount, name, &[item], &()).await);
            assert_eq!(opened.is_ok(), opens, "{name}");
        }
    }
    world.key("rsa", Algorithm::Rsa2048).await;
    let item = EncryptItem { associated_data: Input::Raw(b"ad"), ..EncryptItem::default() };
    let fault = one(world.root.key_encrypt(&world.mount, "rsa", &[item], &()).await).unwrap_err();
    assert_eq!(fault, "'associated_data' provided for non-AEAD cipher suite rsa-2048");
    let most = EncryptItem { plaintext: Input::Raw(&[7; 191]), ..EncryptItem::default() };
    assert!(one(world.root.key_encrypt(&world.mount, "rsa", &[most], &()).await).is_err(), "too long for OAEP");
    world.end().await;
}

#[tokio::test]
async fn derived_key_needs_its_context_and_convergent_ones_repeat_themselves() {
    let world = World::new().await;
    for (name, convergent) in [("derived", false), ("convergent", true)] {
        let create = KeyCreate { derived: true, convergent, ..KeyCreate::transit(Algorithm::Aes256Gcm) };
        world.make(name, create).await;
        let encrypt = async |plaintext: &[u8], context: &str| {
            let (plaintext, context) = (Input::Raw(plaintext), Input::Base64(context));
            let item = EncryptItem { plaintext, context, ..EncryptItem::default() };
            one(world.root.key_encrypt(&world.mount, name, &[item], &()).await).map(|made| made.ciphertext)
        };
        let decrypt = async |ciphertext: &str, context: &str| {
            let item = DecryptItem { ciphertext, context: Input::Base64(context), ..DecryptItem::default() };
            one(world.root.key_decrypt(&world.mount, name, &[item], &()).await)
        };
        assert!(encrypt(b"hello", "").await.unwrap_err().starts_with("missing 'context' for key derivation"));
        assert_eq!(encrypt(b"hello", "!").await.unwrap_err(), "illegal base64 data at input byte 0");
        let (one, two) = (encrypt(b"hello", "Y3R4").await.unwrap(), encrypt(b"hello", "Y3R4").await.unwrap());
        assert_eq!(one == two, convergent);
        assert_ne!(one, encrypt(b"hello", "b3RoZXI=").await.unwrap());
        assert_ne!(one, encrypt(b"hellp", "Y3R4").await.unwrap());
        assert_eq!(decrypt(&one, "Y3R4").await.unwrap().plaintext.as_str(), "aGVsbG8=");
        assert!(decrypt(&one, "b3RoZXI=").await.is_err(), "another context");
        assert!(decrypt(&one, "").await.err().unwrap().starts_with("missing 'context'"));
    }
    world.end().await;
}

#[tokio::test]
async fn items_of_a_batch_have_results_of_their_own_and_one_record() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let encrypted = |plaintext, key_version| EncryptItem { plaintext, key_version, ..EncryptItem::default() };
    let items = [
        encrypted(Input::Base64("aGVsbG8="), 0),
        encrypted(Input::Base64("!!"), 0),
        encrypted(Input::EMPTY, 1),
        encrypted(Input::EMPTY, 7),
        encrypted(Input::EMPTY, -1),
        encrypted(Input::EMPTY, i64::MAX),
    ];
    let made = world.root.key_encrypt(&world.mount, "k", &items, &()).await.unwrap();
    let texts: Vec<String> = made
        .iter()
        .map(|made| made.as_ref().map_or_else(ToString::to_string, |made| made.ciphertext.clone()))
        .collect();
    assert_eq!(texts[1], "illegal base64 data at input byte 0");
    assert_eq!(texts[3], "requested version for encryption is higher than the latest key version");
    assert_eq!(texts[4], "requested version for encryption is negative");
    assert_eq!(texts[5], texts[3]);
    let mut items: Vec<DecryptItem<'_>> =
        texts.iter().map(|text| DecryptItem { ciphertext: text, ..DecryptItem::default() }).collect();
    items[3].ciphertext = "vault:v9:AAAA";
    items[4].ciphertext = "vault:v-4:AAAA";
    items[5].ciphertext = "vault:v1:!";
    let opened = world.root.key_decrypt(&world.mount, "k", &items, &()).await.unwrap();
    let opened: Vec<String> = opened
        .into_iter()
        .map(|opened| opened.map_or_else(|fault| fault.to_string(), |opened| opened.plaintext.to_string()))
        .collect();
    assert_eq!(
        opened,
        [
            "aGVsbG8=",
            "invalid ciphertext: no prefix",
            "",
            "invalid ciphertext: version is too new",
            "ciphertext or signature version is disallowed by policy (too old)",
            "invalid ciphertext: could not decode base64",
        ]
    );
    for (class, failed) in [("key.encrypt", "4"), ("key.decrypt", "4")] {
        let facts = facts(&world.root, class).await;
        assert_eq!(facts.len(), 1, "one record a request");
        assert_eq!((&facts[0]["items"], &facts[0]["failed"]), (&"6".into(), &failed.into()));
        assert_eq!(facts[0]["key_name"], "k");
    }
    world.end().await;
}

#[tokio::test]
async fn batches_of_nothing_and_of_too_much_are_refused() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let none = world.root.key_encrypt(&world.mount, "k", &[], &()).await.unwrap_err();
    assert_eq!((none.code(), none.vault_words()), (Code::Invalid, "missing batch input to process"));
    let items = vec![EncryptItem::default(); MAX_BATCH + 1];
    let many = world.root.key_encrypt(&world.mount, "k", &items, &()).await.unwrap_err();
    assert_eq!(many.code(), Code::TooLarge);
    let most = world.root.key_encrypt(&world.mount, "k", &items[1..], &()).await.unwrap();
    assert!(most.len() == MAX_BATCH && most.iter().all(Result::is_ok));
    let absent = world.root.key_encrypt(&world.mount, "none", &items[..1], &()).await.unwrap_err();
    assert_eq!(absent.code(), Code::NotFound);
    world.end().await;
}

#[tokio::test]
async fn key_of_another_type_encrypts_nothing_and_says_so() {
    let world = World::new().await;
    for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256, Algorithm::HmacSha256, Algorithm::MlKem768] {
        let name = algorithm.name();
        world.key(name, algorithm).await;
        let items = [EncryptItem::default()];
        let made = world.root.key_encrypt(&world.mount, name, &items, &()).await.unwrap();
        assert!(matches!(
            made[0],
            Err(KeyFault::Unsupported { operation: KeyOperation::Encrypt, algorithm: of }) if of == algorithm
        ));
        assert_eq!(
            world.decrypted(name, "vault:v1:AAAA").await.unwrap_err(),
            format!("message decryption not supported for key type {name}")
        );
    }
    let usages = [coffer_crypto::keys::Usage::Wrap].into_iter().collect();
    let create = KeyCreate { usages: Some(usages), ..KeyCreate::native(Algorithm::Xaes256Gcm) };
    world.make("wraps", create).await;
    let made = world.root.key_encrypt(&world.mount, "wraps", &[EncryptItem::default()], &()).await.unwrap();
    assert!(made[0].is_err(), "its usages do not name it");
    world.end().await;
}

#[tokio::test]
async fn floors_keep_old_versions_from_both_sides() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let old = world.encrypted("k", b"hello").await;
    world.rotate("k").await;
    let floors = KeyConfigure { min_decryption: Some(2), min_encryption: Some(2), ..KeyConfigure::default() };
    world.root.key_configure(&world.mount, "k", floors, &()).await.unwrap();
    let fault = world.decrypted("k", &old).await.unwrap_err();
    assert_eq!(fault, "ciphertext or signature version is disallowed by policy (too old)");
    let item = EncryptItem { key_version: 1, ..EncryptItem::default() };
    let fault = one(world.root.key_encrypt(&world.mount, "k", &[item], &()).await).unwrap_err();
    assert_eq!(fault, "requested version for encryption is less than the minimum encryption key version");
    let floors = KeyConfigure { min_decryption: Some(1), ..KeyConfigure::default() };
    world.root.key_configure(&world.mount, "k", floors, &()).await.unwrap();
    assert_eq!(world.decrypted("k", &old).await.unwrap(), b"hello", "the floor is a change that is seen at once");
    world.end().await;
}

#[tokio::test]
async fn encrypting_makes_the_key_only_for_who_may_create_it_and_where_that_is_on() {
    let world = World::new().await;
    let create = || Ok(KeyCreate::transit(Algorithm::Aes256Gcm));
    let items = [EncryptItem::default()];
    let updater = world.caller_with("u", r#"path "transit/encrypt/*" { capabilities = ["update"] }"#).await;
    let refused = updater.key_encrypt_or_create(&world.mount, "new", create(), &items, &()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Denied);
    let creator = world.caller_with("c", r#"path "transit/encrypt/*" { capabilities = ["create"] }"#).await;
    let wrong = creator.key_encrypt_or_create(&world.mount, "new", Err(Error::invalid("x")), &items, &()).await;
    assert_eq!(wrong.unwrap_err().public(), "x");
    let made = creator.key_encrypt_or_create(&world.mount, "new", create(), &items, &()).await.unwrap();
    assert_eq!(made[0].as_ref().unwrap().key_version, 1);
    let refused = creator.key_encrypt_or_create(&world.mount, "new", create(), &items, &()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Denied, "it is there by now");
    assert!(updater.key_encrypt_or_create(&world.mount, "new", create(), &items, &()).await.is_ok());
    let off = |settings: &mut crate::engine::key::settings::KeySettings| {
        settings.disable_upsert = true;
        Ok(())
    };
    world.root.key_settings_change(&world.mount, "config/keys", &(), off).await.unwrap();
    let refused = creator.key_encrypt_or_create(&world.mount, "newer", create(), &items, &()).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    drop((updater, creator));
    world.end().await;
}

#[tokio::test]
async fn data_keys_are_random_and_shown_only_where_that_is_asked_for() {
    let world = World::new().await;
    world.key("k", Algorithm::Xaes256Gcm).await;
    let wanted =
        |reveal, bits| DataKey { reveal, bits, context: Input::EMPTY, associated_data: Input::EMPTY, key_version: 0 };
    for (bits, len) in [(128, 16), (256, 32), (512, 64)] {
        let bits = DataKeyBits::from_bits(bits).unwrap();
        let made = world.root.key_data_key(&world.mount, "k", wanted(Reveal::Plain, bits), &()).await.unwrap().unwrap();
        let opened = world.decrypted("k", &made.ciphertext).await.unwrap();
        assert_eq!(opened.len(), len);
        assert_eq!(STANDARD.encode(&opened), *made.plaintext.unwrap());
        let made =
            world.root.key_data_key(&world.mount, "k", wanted(Reveal::Wrapped, bits), &()).await.unwrap().unwrap();
        assert!(made.plaintext.is_none());
        assert_ne!(world.decrypted("k", &made.ciphertext).await.unwrap(), opened);
    }
    assert!(DataKeyBits::from_bits(100).is_none());
    let wrapped = world.caller_with("w", r#"path "transit/datakey/wrapped/k" { capabilities = ["update"] }"#).await;
    let bits = DataKeyBits::Bits256;
    assert!(wrapped.key_data_key(&world.mount, "k", wanted(Reveal::Wrapped, bits), &()).await.is_ok());
    let refused = wrapped.key_data_key(&world.mount, "k", wanted(Reveal::Plain, bits), &()).await.err().unwrap();
    assert_eq!(refused.code(), Code::Denied);
    world.key("signs", Algorithm::Ed25519).await;
    let refused = world.root.key_data_key(&world.mount, "signs", wanted(Reveal::Plain, bits), &()).await.unwrap();
    assert!(matches!(refused, Err(KeyFault::Unsupported { .. })));
    drop(wrapped);
    world.end().await;
}
