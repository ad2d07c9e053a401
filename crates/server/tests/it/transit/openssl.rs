//! OpenSSL's command line as the other side: it verifies what was signed here, encrypts what is opened here, brings keys
//! in and takes them out. Needs `openssl` in the path.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{MESSAGE, PLAIN, ask, key, post, text, with_transit};
use crate::server::TestServer;

/// Runs `openssl` in a directory.
fn openssl(dir: &Path, arguments: &str) -> Output {
    Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output().expect("openssl is installed")
}

#[track_caller]
fn done(dir: &Path, arguments: &str) {
    let output = openssl(dir, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

fn bytes_of(value: &Value) -> Vec<u8> {
    STANDARD.decode(text(value).rsplit(':').next().unwrap()).unwrap()
}

async fn public_pem(server: &TestServer, name: &str) -> String {
    let exported = ask(server, "GET", &format!("export/public-key/{name}?format=pem"), Value::Null).await.data();
    text(&exported["keys"]["1"]).to_owned()
}

#[tokio::test]
async fn openssl_verifies_what_was_signed_here() {
    let server = with_transit().await;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("message"), "msg").unwrap();
    for (kind, body, verify) in [
        ("ecdsa-p256", json!({}), "dgst -sha256 -verify public -signature signature message"),
        (
            "ecdsa-p384",
            json!({"hash_algorithm": "sha3-384"}),
            "dgst -sha3-384 -verify public -signature signature message",
        ),
        ("ecdsa-p521", json!({"hash_algorithm": "sha1"}), "dgst -sha1 -verify public -signature signature message"),
        ("ed25519", json!({}), "pkeyutl -verify -pubin -inkey public -rawin -in message -sigfile signature"),
        (
            "rsa-2048",
            json!({}),
            "dgst -sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-2 -verify public -signature signature message",
        ),
        (
            "rsa-3072",
            json!({"salt_length": "hash", "hash_algorithm": "sha2-512"}),
            "dgst -sha512 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:-1 -verify public -signature signature message",
        ),
        (
            "rsa-2048",
            json!({"signature_algorithm": "pkcs1v15", "hash_algorithm": "sha2-384"}),
            "dgst -sha384 -verify public -signature signature message",
        ),
    ] {
        key(&server, kind, json!({"type": kind})).await;
        let mut body = body;
        body["input"] = json!(MESSAGE);
        let made = post(&server, &format!("sign/{kind}"), body).await;
        fs::write(dir.join("signature"), bytes_of(&made["signature"])).unwrap();
        fs::write(dir.join("public"), public_pem(&server, kind).await).unwrap();
        done(dir, verify);
        fs::write(dir.join("other"), "other").unwrap();
        assert!(!openssl(dir, &verify.replace("message", "other")).status.success(), "{kind}: another message");
    }
    server.stop().await;
}

#[tokio::test]
async fn what_openssl_made_is_used_here_and_the_other_way_round() {
    let server = with_transit().await;
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    fs::write(dir.join("hello"), "hello").unwrap();
    // Its ciphertext for a key of ours.
    key(&server, "r", json!({"type": "rsa-2048"})).await;
    fs::write(dir.join("public"), public_pem(&server, "r").await).unwrap();
    let oaep = "-pkeyopt rsa_padding_mode:oaep -pkeyopt rsa_oaep_md:sha256 -pkeyopt rsa_mgf1_md:sha256";
    done(dir, &format!("pkeyutl -encrypt -pubin -inkey public {oaep} -in hello -out sealed"));
    let sealed = format!("vault:v1:{}", STANDARD.encode(fs::read(dir.join("sealed")).unwrap()));
    assert_eq!(post(&server, "decrypt/r", json!({"ciphertext": sealed})).await["plaintext"], PLAIN);

    // Its keys, wrapped for the mount and brought in.
    let wrapping = ask(&server, "GET", "wrapping_key", Value::Null).await.data();
    fs::write(dir.join("wrapping"), text(&wrapping["public_key"])).unwrap();
    done(dir, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out private.pem");
    done(dir, "pkcs8 -topk8 -nocrypt -in private.pem -outform DER -out target");
    done(dir, "rand -out wrapper 32");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let wrapper = hex(&fs::read(dir.join("wrapper")).unwrap());
    done(dir, &format!("pkeyutl -encrypt -pubin -inkey wrapping {oaep} -in wrapper -out first"));
    done(dir, &format!("enc -e -id-aes256-wrap-pad -K {wrapper} -iv A65959A6 -in target -out second"));
    let wrapped = [fs::read(dir.join("first")).unwrap(), fs::read(dir.join("second")).unwrap()].concat();
    let body = json!({"ciphertext": STANDARD.encode(&wrapped), "type": "ecdsa-p256", "exportable": true});
    ask(&server, "POST", "keys/brought/import", body).await.is(204);
    let made = post(&server, "sign/brought", json!({"input": PLAIN})).await;
    fs::write(dir.join("signature"), bytes_of(&made["signature"])).unwrap();
    done(dir, "pkey -in private.pem -pubout -out public");
    done(dir, "dgst -sha256 -verify public -signature signature hello");

    // Our keys, wrapped for a key of its own and taken out.
    done(dir, "genrsa -out destination.pem 2048");
    done(dir, "rsa -in destination.pem -pubout -out destination.pub");
    let public = fs::read_to_string(dir.join("destination.pub")).unwrap();
    ask(&server, "POST", "keys/to/import", json!({"public_key": public, "type": "rsa-2048"})).await.is(204);
    key(&server, "leaves", json!({"exportable": true})).await;
    let out = ask(&server, "GET", "byok-export/to/leaves", Value::Null).await.data();
    let out = STANDARD.decode(text(&out["keys"]["1"])).unwrap();
    let (first, second) = out.split_at(256);
    fs::write(dir.join("first"), first).unwrap();
    fs::write(dir.join("second"), second).unwrap();
    done(dir, &format!("pkeyutl -decrypt -inkey destination.pem {oaep} -in first -out wrapper"));
    let wrapper = hex(&fs::read(dir.join("wrapper")).unwrap());
    done(dir, &format!("enc -d -id-aes256-wrap-pad -K {wrapper} -iv A65959A6 -in second -out target"));
    let exported = ask(&server, "GET", "export/encryption-key/leaves", Value::Null).await.data();
    assert_eq!(STANDARD.encode(fs::read(dir.join("target")).unwrap()), text(&exported["keys"]["1"]));

    // A request for a certificate, and the certificate that comes of it.
    let request = post(&server, "keys/brought/csr", json!({})).await;
    fs::write(dir.join("request"), text(&request["csr"])).unwrap();
    done(dir, "req -in request -verify -noout");
    done(dir, "x509 -req -in request -signkey private.pem -days 2 -subj /CN=brought -out certificate");
    let chain = fs::read_to_string(dir.join("certificate")).unwrap();
    let set = post(&server, "keys/brought/set-certificate", json!({"certificate_chain": chain})).await;
    assert_eq!((&set["name"], &set["type"]), (&json!("brought"), &json!("ecdsa-p256")));
    let shown = ask(&server, "GET", "keys/brought", Value::Null).await.data();
    assert_eq!(text(&shown["keys"]["1"]["certificate_chain"]), chain.trim_end());
    let exported = ask(&server, "GET", "export/certificate-chain/brought", Value::Null).await.data();
    assert_eq!(text(&exported["keys"]["1"]), chain.trim_end());
    server.stop().await;
}
