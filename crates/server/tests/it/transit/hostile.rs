//! What no client sends to transit: each is refused with a reason, and the server serves on.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{MESSAGE, PLAIN, ask, key, post, refused, text, with_transit};
use crate::server::{ROOT, TestServer};

#[tokio::test]
async fn edited_ciphertexts_are_refused() {
    let server = with_transit().await;
    for kind in ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305", "rsa-2048"] {
        key(&server, kind, json!({"type": kind})).await;
        let made = post(&server, &format!("encrypt/{kind}"), json!({"plaintext": PLAIN})).await;
        let bytes = STANDARD.decode(text(&made["ciphertext"]).strip_prefix("vault:v1:").unwrap()).unwrap();
        let mut wrong: Vec<Vec<u8>> = vec![vec![], vec![0], bytes[..bytes.len() - 1].to_vec(), bytes[1..].to_vec()];
        wrong.extend([
            [bytes.clone(), vec![0]].concat(),
            [bytes.clone(), bytes.clone()].concat(),
            vec![0; bytes.len()],
        ]);
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut edited = bytes.clone();
            edited[at] ^= 1;
            wrong.push(edited);
        }
        for bytes in wrong {
            let ciphertext = format!("vault:v1:{}", STANDARD.encode(&bytes));
            refused(&server, &format!("decrypt/{kind}"), json!({"ciphertext": ciphertext})).await;
        }
    }
    let good = post(&server, "encrypt/aes256-gcm96", json!({"plaintext": PLAIN})).await;
    let body = text(&good["ciphertext"]).rsplit(':').next().unwrap().to_owned();
    for (ciphertext, why) in [
        ("garbage".to_owned(), "invalid ciphertext: no prefix"),
        (format!("VAULT:v1:{body}"), "invalid ciphertext: no prefix"),
        (format!("vault:v1{body}"), "invalid ciphertext: wrong number of fields"),
        (format!("vault:v2:{body}"), "invalid ciphertext: version is too new"),
        (format!("vault:v99999999999:{body}"), "invalid ciphertext: version is too new"),
        (format!("vault:v99999999999999999999:{body}"), "invalid ciphertext: version number could not be decoded"),
        (format!("vault:v-1:{body}"), "ciphertext or signature version is disallowed by policy (too old)"),
        (format!("vault:v1:{body}:x"), "invalid ciphertext: could not decode base64"),
        ("vault:v1:".to_owned(), "invalid ciphertext length"),
    ] {
        assert_eq!(refused(&server, "decrypt/aes256-gcm96", json!({"ciphertext": ciphertext})).await, why);
    }
    server.stop().await;
}

/// Asks whether a signature of [`MESSAGE`] holds; `Err` where it is refused.
async fn verify(server: &TestServer, name: &str, marshal: &str, signature: &str) -> Result<bool, String> {
    let signature = format!("vault:v1:{signature}");
    let body = json!({"input": MESSAGE, "signature": signature, "marshaling_algorithm": marshal});
    let reply = ask(server, "POST", &format!("verify/{name}"), body).await;
    match reply.status {
        200 => Ok(reply.json()["data"]["valid"].as_bool().unwrap()),
        _ => Err(text(&reply.errors(400)[0]).to_owned()),
    }
}

#[tokio::test]
async fn malformed_ecdsa_signatures_do_not_verify_and_a_high_s_does() {
    let server = with_transit().await;
    key(&server, "k", json!({"type": "ecdsa-p256"})).await;
    let made = post(&server, "sign/k", json!({"input": MESSAGE, "marshaling_algorithm": "jws"})).await;
    let fixed = URL_SAFE_NO_PAD.decode(text(&made["signature"]).strip_prefix("vault:v1:").unwrap()).unwrap();
    let (r, s) = fixed.split_at(32);
    let jws = async |r: &[u8], s: &[u8]| verify(&server, "k", "jws", &URL_SAFE_NO_PAD.encode([r, s].concat())).await;
    assert_eq!(jws(r, s).await, Ok(true));
    assert_eq!(jws(r, &less(&ORDER, s)).await, Ok(true), "both s are right, as the standard has it");
    let (zero, ones) = ([0; 32], [0xff; 32]);
    for (r, s) in [
        (&zero[..], s),
        (r, &zero[..]),
        (&zero[..], &zero[..]),
        (r, &ORDER[..]),
        (&ORDER[..], s),
        (&ones[..], &ones[..]),
    ] {
        assert_eq!(jws(r, s).await, Ok(false));
    }
    for (r, s) in [(&r[..31], s), (r, &s[..31]), (&r[..0], &s[..0]), (&[r, r].concat()[..], s)] {
        assert_ne!(jws(r, s).await, Ok(true));
    }
    let der = |parts: &[&[u8]]| {
        let inner: Vec<u8> =
            parts.iter().flat_map(|part| [&[2, u8::try_from(part.len()).unwrap()], *part].concat()).collect();
        [&[0x30, u8::try_from(inner.len()).unwrap()], inner.as_slice()].concat()
    };
    let padded = |number: &[u8]| [&[0], number].concat();
    let (r, s) = (padded(r), padded(s));
    let minimal = |number: &[u8]| if number[1] & 0x80 == 0 { number[1..].to_vec() } else { number.to_vec() };
    let good = der(&[&minimal(&r), &minimal(&s)]);
    let asn1 = async |bytes: &[u8]| verify(&server, "k", "asn1", &STANDARD.encode(bytes)).await;
    assert_eq!(asn1(&good).await, Ok(true));
    for wrong in [
        der(&[&padded(&r), &s]),
        der(&[&r, &padded(&s)]),
        der(&[&[0], &minimal(&s)]),
        der(&[&minimal(&r), &[0]]),
        der(&[&minimal(&r)]),
        der(&[&minimal(&r), &minimal(&s), &[1]]),
        [good.as_slice(), &[0]].concat(),
        good[..good.len() - 1].to_vec(),
        vec![],
        vec![0x30, 0],
        vec![0x30, 0x80, 0, 0],
        vec![0xff; 8],
    ] {
        assert_ne!(asn1(&wrong).await, Ok(true), "{wrong:02x?}");
    }
    server.stop().await;
}

#[tokio::test]
async fn malformed_ed25519_and_rsa_signatures_do_not_verify() {
    let server = with_transit().await;
    key(&server, "e", json!({"type": "ed25519"})).await;
    key(&server, "r", json!({"type": "rsa-2048"})).await;
    for name in ["e", "r"] {
        let made = post(&server, &format!("sign/{name}"), json!({"input": MESSAGE})).await;
        let bytes = STANDARD.decode(text(&made["signature"]).strip_prefix("vault:v1:").unwrap()).unwrap();
        let asn1 = async |bytes: &[u8]| verify(&server, name, "asn1", &STANDARD.encode(bytes)).await;
        assert_eq!(asn1(&bytes).await, Ok(true));
        let mut edited = bytes.clone();
        edited[7] ^= 1;
        let longer = [bytes.as_slice(), &[0]].concat();
        let empty = Vec::new();
        for wrong in [&edited, &longer, &bytes[1..].to_vec(), &empty, &vec![0; bytes.len()], &vec![0xff; bytes.len()]] {
            assert_eq!(asn1(wrong).await, Ok(false), "{name}");
        }
        if name == "e" {
            // S + L is the same number to a careless verifier.
            let (r, s) = bytes.split_at(32);
            let mut carry = 0_u16;
            let s: Vec<u8> = s
                .iter()
                .zip(L)
                .map(|(a, b)| {
                    let sum = u16::from(*a) + u16::from(b) + carry;
                    carry = sum >> 8;
                    u8::try_from(sum & 0xff).unwrap()
                })
                .collect();
            assert_eq!(asn1(&[r, s.as_slice()].concat()).await, Ok(false));
        }
    }
    for (signature, why) in [
        ("xx", "invalid signature: no prefix"),
        ("vault:v1", "invalid signature: wrong number of fields"),
        ("vault:v9:AAAA", "invalid signature: version is too new"),
        ("vault:v0:AAAA", "ciphertext or signature version is disallowed by policy (too old)"),
        ("vault:vx:AAAA", "invalid signature: version number could not be decoded"),
        ("vault:v1:!!", "invalid base64 signature value"),
    ] {
        assert_eq!(refused(&server, "verify/e", json!({"input": MESSAGE, "signature": signature})).await, why);
    }
    server.stop().await;
}

#[tokio::test]
async fn values_never_come_back_in_a_refusal() {
    let server = with_transit().await;
    key(&server, "k", json!({})).await;
    let canary = "Y2FuYXJ5LWNhbmFyeQ==!";
    for (path, body) in [
        ("encrypt/k", json!({"plaintext": canary})),
        ("encrypt/k", json!({"plaintext": PLAIN, "context": canary})),
        ("encrypt/k", json!({"plaintext": PLAIN, "associated_data": canary})),
        ("encrypt/k", json!({"plaintext": [canary]})),
        ("encrypt/k", json!({"batch_input": [canary]})),
        ("encrypt/k", json!({"batch_input": [{"plaintext": [canary]}]})),
        ("encrypt/k", json!({"batch_input": [{"plaintext": PLAIN, "key_version": canary}]})),
        ("decrypt/k", json!({"ciphertext": canary})),
        ("decrypt/k", json!({"ciphertext": format!("vault:v1:{canary}")})),
        ("decrypt/k", json!({"ciphertext": format!("vault:v{canary}:AAAA")})),
        ("restore/x", json!({"backup": canary})),
        ("restore/x", json!({"backup": STANDARD.encode(canary)})),
        ("keys/x/import", json!({"ciphertext": canary})),
        ("keys/x/import", json!({"public_key": canary, "type": "rsa-2048"})),
        ("hmac/k", json!({"input": canary})),
    ] {
        let reply = ask(&server, "POST", path, body.clone()).await.is(400).text();
        assert!(!reply.contains("Y2FuYXJ5") && !reply.contains("canary"), "{path} {body}: {reply}");
    }
    server.stop().await;
}

#[tokio::test]
async fn backups_that_are_none_are_refused() {
    let server = with_transit().await;
    key(&server, "k", json!({"exportable": true, "allow_plaintext_backup": true})).await;
    let backup = ask(&server, "GET", "backup/k", Value::Null).await.data();
    let json = STANDARD.decode(text(&backup["backup"])).unwrap();
    let parsed: Value = serde_json::from_slice(&json).unwrap();
    let named = |text: String| (text.chars().take(60).collect::<String>(), text);
    let mut wrong = vec![named(String::new()), named("!!".to_owned())];
    wrong.extend(["", "{}", "[]", "null", &"[".repeat(100_000)].map(|text| named(STANDARD.encode(text))));
    wrong.push(named(STANDARD.encode(&json[..json.len() / 2])));
    // As OpenBao's begin.
    wrong.push(named(STANDARD.encode(json!({"policy": {"name": "k", "keys": {}}}).to_string())));
    for field in ["format", "algorithm", "usages", "versions", "latest"] {
        for value in [json!(null), json!("nosuch"), json!([]), json!({}), json!(-1), json!(4_000_000_000_u64)] {
            if field == "latest" && value == json!(4_000_000_000_u64) {
                // Versions that are gone may have had any number.
                continue;
            }
            let mut backup = parsed.clone();
            assert!(backup.get(field).is_some(), "no {field} in a backup");
            backup[field] = value.clone();
            wrong.push((format!("{field} {value}"), STANDARD.encode(backup.to_string())));
        }
    }
    for value in [json!("AAAA"), json!("!!"), json!(null)] {
        let mut backup = parsed.clone();
        backup["versions"][0]["material"] = value;
        wrong.push(named(STANDARD.encode(backup.to_string())));
    }
    for (shown, backup) in wrong {
        let reply = ask(&server, "POST", "restore/x", json!({"backup": backup})).await;
        assert_eq!(reply.status, 400, "{shown}: {}", reply.text());
        ask(&server, "GET", "keys/x", Value::Null).await.is(404);
    }
    for name in ["a/b", "-x", "a%20b"] {
        let reply = ask(&server, "POST", &format!("restore/{name}"), backup.clone()).await;
        assert!(matches!(reply.status, 400 | 404), "{name}: {}", reply.text());
    }
    server.raw("POST", "/v1/transit/restore", Some(ROOT), "{\"backup\":{}}").await.is(400);
    server.stop().await;
}

fn less(a: &[u8; 32], b: &[u8]) -> Vec<u8> {
    let mut borrow = 0_i16;
    let mut out: Vec<u8> = a
        .iter()
        .zip(b)
        .rev()
        .map(|(a, b)| {
            let difference = i16::from(*a) - i16::from(*b) - borrow;
            borrow = i16::from(difference < 0);
            u8::try_from(difference.rem_euclid(256)).unwrap()
        })
        .collect();
    out.reverse();
    out
}

/// The order of P-256, big-endian.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa,
    0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];
/// The order of edwards25519's base point, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
