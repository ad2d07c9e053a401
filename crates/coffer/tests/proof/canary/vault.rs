//! What the Vault dialect keeps or makes beside secrets and tokens: cubbyholes, wrapped answers, secret ids, hashes of
//! passwords that are brought along, keys through transit.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::requests::{Round, patiently};
use crate::http::Answer;

/// The bcrypt hash of [`HASHED`]; neither is known to the program.
const HASH: &str = "$2a$05$abcdefghijklmnopqrstuuBxBcJjDfJ5UstY5YM6Q.7lOOcZYWRwO";
const HASHED: &str = "a canary of long ago";

impl Round<'_> {
    pub(super) fn cubbyholes_and_wrapping(&mut self) {
        let kept = self.kept("value in a cubbyhole");
        let path = format!("/v1/cubbyhole/mine/{}", self.number);
        self.does("POST", &path, &json!({ "value": kept }));
        let read = self.send("GET", &path, None, 200).json();
        assert_eq!(read["data"]["value"], kept);
        self.says("LIST", "/v1/cubbyhole/mine/", None, 200);

        let carried = self.canary("payload that is wrapped");
        let wrapped = self.wrapped("POST", "/v1/sys/wrapping/wrap", &json!({ "payload": carried }));
        let token = self.made("wrapping token", &wrapped["wrap_info"]["token"]);
        let named = json!({ "token": token });
        self.does("POST", "/v1/sys/wrapping/lookup", &named);
        let again = self.send("POST", "/v1/sys/wrapping/rewrap", Some(&named), 200).json();
        let token = self.made("wrapping token of a rewrap", &again["wrap_info"]["token"]);
        let opened = self.send("POST", "/v1/sys/wrapping/unwrap", Some(&json!({ "token": token })), 200).json();
        assert_eq!(opened["data"]["payload"], carried);
        self.says("POST", "/v1/sys/wrapping/unwrap", Some(&json!({ "token": token })), 400);

        // A secret's value and a new token, in wraps that nobody opens.
        let path = self.path("plain");
        let wrapped = self.wrapped("GET", &path, &Value::Null);
        self.made("wrapping token of a read", &wrapped["wrap_info"]["token"]);
        let wanted = json!({ "policies": ["default"], "ttl": "1h" });
        let wrapped = self.wrapped("POST", "/v1/auth/token/create", &wanted);
        self.made("wrapping token of a token", &wrapped["wrap_info"]["token"]);
    }

    pub(super) fn secret_ids_and_hashes(&mut self) {
        if self.number == 1 {
            self.does("POST", "/v1/sys/auth/approle", &json!({ "type": "approle" }));
        }
        let role = format!("/v1/auth/approle/role/canary{}", self.number);
        self.does("POST", &role, &json!({ "token_policies": "default", "token_ttl": "1h" }));
        let role_id = self.send("GET", &format!("{role}/role-id"), None, 200).json()["data"]["role_id"].take();
        let issued = self.send("POST", &format!("{role}/secret-id"), Some(&json!({})), 200).json();
        let random = self.made("secret id", &issued["data"]["secret_id"]);
        let chosen = self.canary("secret id of the operator's choice");
        self.send("POST", &format!("{role}/custom-secret-id"), Some(&json!({ "secret_id": chosen })), 200);
        for (name, secret_id) in [("secret id", &random), ("chosen secret id", &chosen)] {
            self.does("POST", &format!("{role}/secret-id/lookup"), &json!({ "secret_id": secret_id }));
            let login = json!({ "role_id": role_id, "secret_id": secret_id });
            let granted = self.send("POST", "/v1/auth/approle/login", Some(&login), 200).json();
            self.made(&format!("token of a login with a {name}"), &granted["auth"]["client_token"]);
        }
        self.does("POST", &format!("{role}/secret-id/destroy"), &json!({ "secret_id": random }));
        let wrong = self.canary("secret id that is none");
        for secret_id in [random, wrong] {
            let login = json!({ "role_id": role_id, "secret_id": secret_id });
            self.says("POST", "/v1/auth/approle/login", Some(&login), 400);
        }

        self.run.needles.add("hash of a password", HASH.as_bytes());
        self.run.needles.add("password of a hash", HASHED.as_bytes());
        let user = format!("hashed{}", self.number);
        let path = format!("/v1/auth/userpass/users/{user}");
        self.does("POST", &path, &json!({ "password_hash": HASH, "policies": "default" }));
        self.says("GET", &path, None, 200);
        let login = json!({ "password": HASHED });
        let granted = self.send("POST", &format!("/v1/auth/userpass/login/{user}"), Some(&login), 200).json();
        self.made("token of a login by a hash", &granted["auth"]["client_token"]);
    }

    pub(super) fn transit(&mut self) {
        let key = |kind: &str, number: u32| format!("vault-{kind}-{number}");
        for (kind, algorithm) in [("cipher", "aes256-gcm96"), ("signer", "ed25519")] {
            let body = json!({ "type": algorithm, "exportable": true });
            self.does("POST", &format!("/v1/transit/keys/{}", key(kind, self.number)), &body);
        }
        let wanted = json!({ "policies": ["wielder"], "ttl": "1h" });
        let granted = self.send("POST", "/v1/auth/token/create", Some(&wanted), 200).json();
        let token = self.made("token that uses keys over /v1", &granted["auth"]["client_token"]);
        let wielder = self.client.another().with_token(&token);
        let administrator = std::mem::replace(&mut self.client, wielder);
        let (cipher, signer) = (key("cipher", self.number), key("signer", self.number));
        let plaintext = STANDARD.encode(self.canary("plaintext of transit"));
        let many = STANDARD.encode(self.canary("plaintext among many of transit"));
        let message = STANDARD.encode(self.canary("message of transit"));

        let encrypt = format!("/v1/transit/encrypt/{cipher}");
        let sealed = self.does("POST", &encrypt, &json!({ "plaintext": plaintext })).json();
        self.does("POST", &encrypt, &json!({ "batch_input": [{ "plaintext": many }, { "plaintext": plaintext }] }));
        let sealed = json!({ "ciphertext": sealed["data"]["ciphertext"] });
        let opened = self.send("POST", &format!("/v1/transit/decrypt/{cipher}"), Some(&sealed), 200).json();
        assert_eq!(opened["data"]["plaintext"], plaintext);
        self.does("POST", &format!("/v1/transit/rewrap/{cipher}"), &sealed);
        let shown = self.send("POST", &format!("/v1/transit/datakey/plaintext/{cipher}"), Some(&json!({})), 200).json();
        self.made("data key of transit", &shown["data"]["plaintext"]);
        for call in [format!("sign/{signer}"), format!("hmac/{cipher}"), "hash".to_owned()] {
            self.does("POST", &format!("/v1/transit/{call}"), &json!({ "input": message }));
        }
        let random = self.send("POST", "/v1/transit/random/32", Some(&json!({})), 200).json();
        self.made("random bytes of transit", &random["data"]["random_bytes"]);
        let exported = self.send("GET", &format!("/v1/transit/export/encryption-key/{cipher}"), None, 200).json();
        self.made("key that transit exports", &exported["data"]["keys"]["1"]);
        for (call, body) in [
            (format!("encrypt/{cipher}"), json!({ "plaintext": format!("{plaintext}#") })),
            (format!("decrypt/{cipher}"), json!({ "ciphertext": plaintext })),
            (format!("encrypt/{signer}"), json!({ "plaintext": plaintext })),
        ] {
            self.says("POST", &format!("/v1/transit/{call}"), Some(&body), 400);
        }
        self.client = administrator;
    }

    /// A request that must succeed, in words that hold no secret.
    #[track_caller]
    pub(super) fn does(&mut self, method: &str, path: &str, body: &Value) -> Answer {
        let answer = patiently(|| self.client.send(method, path, Some(body)).unwrap());
        assert!(answer.is_success(), "{method} {path}: {answer}");
        self.run.keep_answer(&answer);
        answer
    }

    /// A request whose answer comes wrapped.
    #[track_caller]
    fn wrapped(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let token = self.run.token.clone();
        let headers = [("X-Vault-Token", token.as_str()), ("X-Vault-Wrap-TTL", "10m")];
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let mut client = self.client.another();
        patiently(|| client.send_with(method, path, &headers, &body).unwrap()).expect(200).json()
    }
}
