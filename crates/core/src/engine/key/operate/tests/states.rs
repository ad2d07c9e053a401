//! What each state of a version lets be done, and who may use what is compromised.

use coffer_api::Code;

use super::*;

#[tokio::test]
async fn suspended_key_does_nothing_until_it_is_resumed_and_rolled_back_to() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let text = world.encrypted("k", b"hello").await;
    world.root.key_suspend(&world.mount, "k", &[1], &()).await.unwrap();
    let made = world.root.key_encrypt(&world.mount, "k", &[EncryptItem::default()], &()).await.unwrap();
    assert_eq!(made[0].as_ref().unwrap_err().kind(), FaultKind::State);
    let item = DecryptItem { ciphertext: &text, ..DecryptItem::default() };
    let opened = world.root.key_decrypt(&world.mount, "k", &[item], &()).await.unwrap();
    let fault = opened[0].as_ref().err().unwrap();
    assert_eq!((fault.kind(), fault.code()), (FaultKind::State, Code::KeyState));
    assert!(fault.to_string().contains("suspended"), "{fault}");
    world.root.key_resume(&world.mount, "k", &[1], &()).await.unwrap();
    assert_eq!(world.decrypted("k", &text).await.unwrap(), b"hello");
    let made = world.root.key_encrypt(&world.mount, "k", &[EncryptItem::default()], &()).await.unwrap();
    assert_eq!(made[0].as_ref().unwrap_err().kind(), FaultKind::State, "it has no primary version");
    world.root.key_rollback(&world.mount, "k", Some(1), &()).await.unwrap();
    world.encrypted("k", b"hello").await;
    world.end().await;
}

#[tokio::test]
async fn deactivated_version_opens_and_verifies_and_makes_nothing_new() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    world.key("s", Algorithm::Ed25519).await;
    let text = world.encrypted("k", b"hello").await;
    let how = Signing { key_version: 0, options: Default::default() };
    let signed = one(world.root.key_sign(&world.mount, "s", &how, &[SignItem::default()], &()).await).unwrap();
    for name in ["k", "s"] {
        world.root.key_deactivate(&world.mount, name, &[1], &()).await.unwrap();
    }
    assert_eq!(world.decrypted("k", &text).await.unwrap(), b"hello");
    let item = VerifyItem { signature: &signed.signature, ..VerifyItem::default() };
    assert_eq!(one(world.root.key_verify(&world.mount, "s", &how.options, &[item], &()).await), Ok(true));
    let made = world.root.key_sign(&world.mount, "s", &how, &[SignItem::default()], &()).await.unwrap();
    assert_eq!(made[0].as_ref().unwrap_err().kind(), FaultKind::State);
    let item = EncryptItem { key_version: 1, ..EncryptItem::default() };
    let made = world.root.key_encrypt(&world.mount, "k", &[item], &()).await.unwrap();
    assert_eq!(made[0].as_ref().unwrap_err().kind(), FaultKind::State);
    world.root.key_disable(&world.mount, "k", &()).await.unwrap();
    assert!(world.decrypted("k", &text).await.unwrap_err().contains("disabled"));
    world.end().await;
}

#[tokio::test]
async fn compromised_version_opens_for_who_may_use_what_is_compromised() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let text = world.encrypted("k", b"hello").await;
    world.rotate("k").await;
    let fresh = world.encrypted("k", b"fresh").await;
    world.root.key_compromise(&world.mount, "k", &[1], "leaked", &()).await.unwrap();
    let items = [&text, &fresh].map(|ciphertext| DecryptItem { ciphertext, ..DecryptItem::default() });
    let plain = world.caller_with("plain", r#"path "transit/decrypt/k" { capabilities = ["update"] }"#).await;
    let opened = plain.key_decrypt(&world.mount, "k", &items, &()).await.unwrap();
    assert_eq!(opened[0].as_ref().err().unwrap().kind(), FaultKind::Denied);
    assert!(opened[1].is_ok(), "the other item is another version's");
    let policy = r#"
        path "transit/decrypt/k" { capabilities = ["update"] }
        path "transit/keys/k/use-compromised" { capabilities = ["update"] }
    "#;
    let special = world.caller_with("special", policy).await;
    let opened = special.key_decrypt(&world.mount, "k", &items, &()).await.unwrap();
    assert!(opened.iter().all(Result::is_ok));
    drop((plain, special));
    world.end().await;
}

#[tokio::test]
async fn each_operation_is_granted_by_its_own_path() {
    let world = World::new().await;
    world.key("k", Algorithm::Aes256Gcm).await;
    let text = world.encrypted("k", b"hello").await;
    let open = [DecryptItem { ciphertext: &text, ..DecryptItem::default() }];
    let again = [RewrapItem { ciphertext: &text, ..RewrapItem::default() }];
    for granted in ["encrypt", "decrypt", "rewrap", "hmac", "verify"] {
        let policy = format!(r#"path "transit/{granted}/k" {{ capabilities = ["update"] }}"#);
        let caller = world.caller_with(granted, &policy).await;
        let (root, mount) = (&caller, &world.mount);
        let mac = [HmacVerifyItem { input: Input::EMPTY, hmac: "vault:v1:AAAA" }];
        let asked = [
            ("encrypt", root.key_encrypt(mount, "k", &[EncryptItem::default()], &()).await.err()),
            ("decrypt", root.key_decrypt(mount, "k", &open, &()).await.err()),
            ("rewrap", root.key_rewrap(mount, "k", &again, &()).await.err()),
            ("hmac", root.key_hmac(mount, "k", None, 0, &[Input::EMPTY], &()).await.err()),
            ("verify", root.key_hmac_verify(mount, "k", None, &mac, &()).await.err()),
        ];
        for (operation, refused) in asked {
            let code = refused.map(|error| error.code());
            assert_eq!(code, (operation != granted).then_some(Code::Denied), "{operation} with {granted}");
        }
    }
    world.end().await;
}
