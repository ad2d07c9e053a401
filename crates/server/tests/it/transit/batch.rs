//! Lists of items: each has its own result.

use serde_json::{Value, json};

use super::{MESSAGE, PLAIN, ask, key, post, refused, text, with_transit};

#[tokio::test]
async fn each_item_has_its_result_in_its_place() {
    let server = with_transit().await;
    key(&server, "k", json!({})).await;
    let batch = json!({"batch_input": [
        {"plaintext": PLAIN, "reference": "one \"quoted\"\n"},
        {"plaintext": "", "key_version": 1},
        {"plaintext": PLAIN, "associated_data": "YWQ="},
    ]});
    let made = post(&server, "encrypt/k", batch).await["batch_results"].clone();
    assert_eq!(made[0]["reference"], "one \"quoted\"\n");
    assert_eq!((&made[1]["reference"], &made[1]["key_version"]), (&json!(""), &json!(1)));
    let batch = json!({"batch_input": [
        {"ciphertext": made[1]["ciphertext"]},
        {"ciphertext": made[2]["ciphertext"], "associated_data": "YWQ=", "reference": "x"},
        {"ciphertext": made[0]["ciphertext"]},
    ]});
    assert_eq!(
        post(&server, "decrypt/k", batch).await,
        json!({"batch_results": [
            {"plaintext": "", "reference": ""},
            {"plaintext": PLAIN, "reference": "x"},
            {"plaintext": PLAIN, "reference": ""},
        ]})
    );
    let rewrapped = post(
        &server,
        "rewrap/k",
        json!({"batch_input": [{"ciphertext": "bad"}, {"ciphertext": made[0]["ciphertext"]}]}),
    )
    .await;
    assert_eq!(rewrapped["batch_results"][0], json!({"error": "invalid ciphertext: no prefix", "reference": ""}));
    assert!(text(&rewrapped["batch_results"][1]["ciphertext"]).starts_with("vault:v1:"));
    server.stop().await;
}

#[tokio::test]
async fn failed_items_make_a_list_400_or_what_the_client_wants() {
    let server = with_transit().await;
    key(&server, "k", json!({})).await;
    let (good, bad) = (json!({"plaintext": PLAIN}), json!({"plaintext": "!!", "reference": "r"}));
    let failed = json!({"error": "illegal base64 data at input byte 0", "reference": "r"});
    for (items, wanted, status, warned) in [
        (vec![&good, &bad], Value::Null, 400, false),
        (vec![&good, &bad], json!(207), 207, false),
        (vec![&good, &bad], json!("202"), 202, false),
        (vec![&good, &bad], json!(0), 400, true),
        (vec![&good, &bad], json!(42), 400, true),
        (vec![&good, &bad], json!(100), 400, true),
        (vec![&good, &bad], json!(99_999), 400, true),
        (vec![&bad], json!(207), 400, false),
        (vec![&good], json!(207), 200, false),
    ] {
        let body = json!({"batch_input": items, "partial_failure_response_code": wanted});
        let reply = ask(&server, "POST", "encrypt/k", body).await.is(status).json();
        assert_eq!(reply["warnings"].is_array(), warned, "{wanted}");
        let results = reply["data"]["batch_results"].as_array().unwrap();
        assert_eq!(results.len(), items.len());
        for (item, result) in items.iter().zip(results) {
            assert_eq!(*result == failed, *item == &bad, "{reply}");
        }
        assert!(reply.get("errors").is_none() && reply["request_id"].is_string());
    }
    server.stop().await;
}

#[tokio::test]
async fn list_that_cannot_be_read_is_refused_as_a_whole() {
    let server = with_transit().await;
    key(&server, "k", json!({})).await;
    for (path, list, why) in [
        ("encrypt/k", json!([]), "missing batch input to process"),
        ("encrypt/k", json!("x"), "failed to parse batch input: source data must be an array or slice, got string"),
        ("encrypt/k", json!([1]), "failed to parse batch input: [0] expected a map, got 'json.Number'"),
        ("encrypt/k", json!([null]), "failed to parse batch input: [0] expected a map, got '<nil>'"),
        ("encrypt/k", json!([{}]), "failed to parse batch input: '[0].plaintext' missing plaintext to encrypt"),
        (
            "encrypt/k",
            json!([{"plaintext": PLAIN}, {"plaintext": 5}]),
            "failed to parse batch input: '[1].plaintext' expected type 'string', got unconvertible type 'json.Number'",
        ),
        (
            "encrypt/k",
            json!([{"plaintext": PLAIN, "key_version": "1"}]),
            "failed to parse batch input: '[0].key_version' expected type 'int', got unconvertible type 'string'",
        ),
        ("decrypt/k", json!([{}]), "failed to parse batch input: '[0].ciphertext' missing ciphertext to decrypt"),
        (
            "encrypt/k",
            json!([{"plaintext": PLAIN}, {"plaintext": PLAIN, "context": "Y3R4"}]),
            "context should be set either in all the request blocks or in none",
        ),
        ("verify/k", json!([{"input": MESSAGE}]), "no batch_input elements have 'signature' or 'hmac'"),
        (
            "verify/k",
            json!([{"signature": "a"}, {"hmac": "b"}]),
            "elements of batch_input must all provide 'signature' or all provide 'hmac'",
        ),
        ("verify/k", json!([{"hmac": "b"}, {}]), "some elements of batch_input are missing 'hmac'"),
    ] {
        assert_eq!(refused(&server, path, json!({"batch_input": list})).await, why, "{path} {list}");
    }
    server.stop().await;
}

#[tokio::test]
async fn lists_of_signatures_and_hmacs_are_a_success_whatever_fails() {
    let server = with_transit().await;
    key(&server, "s", json!({"type": "ed25519"})).await;
    let signed =
        post(&server, "sign/s", json!({"batch_input": [{"input": MESSAGE, "reference": "z"}, {"input": "!!"}, {}]}))
            .await;
    let signed = &signed["batch_results"];
    assert_eq!((&signed[0]["reference"], &signed[0]["key_version"]), (&json!("z"), &json!(1)));
    let why = "unable to decode input as base64: illegal base64 data at input byte 0";
    assert_eq!(signed[1], json!({"key_version": 0, "error": why, "reference": ""}));
    assert_eq!(signed[2], json!({"key_version": 0, "error": "missing input", "reference": ""}));
    let made = post(&server, "hmac/s", json!({"batch_input": [{"input": MESSAGE}, {"reference": "h"}]})).await;
    let made = &made["batch_results"];
    assert_eq!(made[1], json!({"error": "missing input for HMAC", "reference": "h"}));
    let verified = post(
        &server,
        "verify/s",
        json!({"batch_input": [
            {"input": MESSAGE, "signature": signed[0]["signature"], "reference": "v"},
            {"input": PLAIN, "signature": signed[0]["signature"]},
            {"input": MESSAGE, "signature": "bad"},
            {"signature": signed[0]["signature"]},
        ]}),
    )
    .await;
    assert_eq!(
        verified["batch_results"],
        json!([
            {"valid": true, "reference": "v"},
            {"valid": false, "reference": ""},
            {"valid": false, "error": "invalid signature: no prefix", "reference": ""},
            {"valid": false, "error": "missing input", "reference": ""},
        ])
    );
    let verified = post(
        &server,
        "verify/s",
        json!({"batch_input": [
            {"input": MESSAGE, "hmac": made[0]["hmac"]},
            {"input": MESSAGE, "hmac": "bad"},
        ]}),
    )
    .await;
    assert_eq!(
        verified["batch_results"],
        json!([{"valid": true, "reference": ""}, {"error": "invalid HMAC to verify: no prefix", "reference": ""}])
    );
    server.stop().await;
}

#[tokio::test]
async fn huge_list_is_refused_and_a_long_one_is_served() {
    let server = with_transit().await;
    key(&server, "k", json!({})).await;
    let list = |count: usize| format!("{{\"batch_input\":[{}]}}", vec!["{\"plaintext\":\"\"}"; count].join(","));
    let reply = server.raw("POST", "/v1/transit/encrypt/k", Some(crate::server::ROOT), &list(10_000)).await.is(200);
    assert_eq!(reply.json()["data"]["batch_results"].as_array().unwrap().len(), 10_000);
    let empty = format!("{{\"batch_input\":[{}]}}", vec!["{}"; 1_000_000].join(","));
    for body in [list(100_001), empty] {
        let errors = server.raw("POST", "/v1/transit/encrypt/k", Some(crate::server::ROOT), &body).await.errors(400);
        assert_eq!(errors, json!(["a batch has at most 100000 items"]));
    }
    server.stop().await;
}
