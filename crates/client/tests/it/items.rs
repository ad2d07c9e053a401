//! Calls for many items: one request each, and one result for each item, whatever became of it.

use coffer_api::{
    Code,
    keys::{
        KeyDecryptItem, KeyEncryptItem, KeyMacItem, KeyMacOptions, KeyResult, KeyRewrapItem, KeySignItem,
        KeySignOptions, KeyVerifyItem, KeyVerifyMacItem, KeyVerifyMacOptions, KeyVerifyOptions,
    },
};
use coffer_client::Error;

use crate::stub::{Stub, json};

/// What became of the items, in a few words.
fn shown<T>(results: Vec<KeyResult<T>>, of: impl Fn(T) -> String) -> Vec<String> {
    let one = |result| match result {
        KeyResult::Done(done) => of(done),
        KeyResult::Failed { error } => format!("{:?}: {}", error.code, error.message),
    };
    results.into_iter().map(one).collect()
}

#[tokio::test]
async fn each_call_for_many_sends_one_list_and_gives_each_items_result() {
    let stub = Stub::start(|asked| {
        let done = match asked.line.split(' ').nth(1).unwrap().rsplit('/').next().unwrap() {
            "encrypt" | "rewrap" => r#"{"ciphertext":"vault:v1:AA==","key_version":1}"#,
            "decrypt" => r#"{"plaintext":"AA==","key_version":1}"#,
            "sign" => r#"{"signature":"vault:v1:AA==","key_version":1}"#,
            "mac" => r#"{"mac":"vault:v1:AA==","key_version":1}"#,
            _ => r#"{"valid":true}"#,
        };
        json(200, &format!(r#"{{"items":[{done},{{"error":{{"code":"invalid","message":"no"}}}}]}}"#))
    })
    .await;
    let client = stub.client();
    let failed = "Invalid: no".to_owned();
    let (context, associated_data) = (None, Some("YQ==".to_owned()));
    let plain = |plaintext: &str| KeyEncryptItem {
        plaintext: plaintext.into(),
        context: None,
        associated_data: associated_data.clone(),
        key_version: Some(1),
    };
    let made = client.key_encrypt_many("k", vec![plain("AA=="), plain("")]).await.unwrap();
    assert_eq!(shown(made, |made| made.ciphertext), ["vault:v1:AA==".to_owned(), failed.clone()]);
    let sealed =
        |text: &str| KeyDecryptItem { ciphertext: text.to_owned(), context: context.clone(), associated_data: None };
    let made = client.key_decrypt_many("k", vec![sealed("a"), sealed("b")]).await.unwrap();
    assert_eq!(shown(made, |made| made.plaintext.expose().clone()), ["AA==".to_owned(), failed.clone()]);
    let again = |text: &str| KeyRewrapItem {
        ciphertext: text.to_owned(),
        context: None,
        associated_data: None,
        key_version: None,
    };
    let made = client.key_rewrap_many("k", vec![again("a"), again("b")]).await.unwrap();
    assert_eq!(shown(made, |made| made.ciphertext), ["vault:v1:AA==".to_owned(), failed.clone()]);
    let item = || KeySignItem { input: "AA==".into(), context: None };
    let how = KeySignOptions { hash: Some("sha2-512".to_owned()), ..KeySignOptions::default() };
    let made = client.key_sign_many("k", vec![item(), item()], &how).await.unwrap();
    assert_eq!(shown(made, |made| made.signature), ["vault:v1:AA==".to_owned(), failed.clone()]);
    let item = || KeyVerifyItem { input: "AA==".into(), signature: "s".to_owned(), context: None };
    let made = client.key_verify_many("k", vec![item(), item()], &KeyVerifyOptions::default()).await.unwrap();
    assert_eq!(shown(made, |made| made.valid.to_string()), ["true".to_owned(), failed.clone()]);
    let item = || KeyMacItem { input: "AA==".into() };
    let made = client.key_mac_many("k", vec![item(), item()], &KeyMacOptions::default()).await.unwrap();
    assert_eq!(shown(made, |made| made.mac), ["vault:v1:AA==".to_owned(), failed.clone()]);
    let item = || KeyVerifyMacItem { input: "AA==".into(), mac: "m".to_owned() };
    let made = client.key_verify_mac_many("k", vec![item(), item()], &KeyVerifyMacOptions::default()).await.unwrap();
    assert_eq!(shown(made, |made| made.valid.to_string()), ["true".to_owned(), failed]);

    let asked = stub.asked();
    let lines: Vec<&str> = asked.iter().map(|asked| asked.line.split(' ').nth(1).unwrap()).collect();
    let verbs = ["encrypt", "decrypt", "rewrap", "sign", "verify", "mac", "verify-mac"];
    assert_eq!(lines, verbs.map(|verb| format!("/api/v1/keys/k/{verb}")));
    assert_eq!(
        asked[0].body,
        r#"{"items":[{"plaintext":"AA==","associated_data":"YQ==","key_version":1},{"plaintext":"","associated_data":"YQ==","key_version":1}]}"#
    );
    assert!(asked[3].body.starts_with(r#"{"items":[{"input":"AA=="},{"input":"AA=="}],"#), "{}", asked[3].body);
    assert!(asked[3].body.contains(r#""hash":"sha2-512""#), "{}", asked[3].body);
}

#[tokio::test]
async fn refusal_of_the_whole_list_is_an_error_and_not_a_result() {
    let stub = Stub::start(|_| {
        json(403, r#"{"code":"denied","detail":"permission denied","status":403,"title":"denied","request_id":"r"}"#)
    })
    .await;
    let refused = stub.client().key_mac_many("k", Vec::new(), &KeyMacOptions::default()).await.unwrap_err();
    assert!(matches!(&refused, Error::Problem { problem, .. } if problem.code == Code::Denied), "{refused:?}");
    assert_eq!(stub.asked()[0].body, r#"{"items":[]}"#);
}
