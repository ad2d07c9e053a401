//! Keys through the native API: what is encrypted, signed, authenticated and hashed, and the secrets that come out.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::requests::{JSON, Round};

impl Round<'_> {
    /// Every operation with a key, with canaries of this round.
    pub(super) fn key_operations(&mut self) {
        let name = |kind: &str, number: u32| format!("canary-{kind}-{number}");
        for (kind, algorithm) in
            [("cipher", "xaes-256-gcm"), ("kem", "x-wing"), ("mac", "hmac-sha256"), ("signer", "ed25519")]
        {
            let body = json!({ "name": name(kind, self.number), "algorithm": algorithm, "exportable": true });
            self.says("POST", "/api/v1/keys", Some(&body), 200);
        }
        let wanted = json!({ "policies": ["wielder"], "ttl": "1h" });
        let granted = self.send("POST", "/v1/auth/token/create", Some(&wanted), 200).json();
        let token = self.made("token that uses keys", &granted["auth"]["client_token"]);
        let wielder = self.client.another().with_token(&token);
        let administrator = std::mem::replace(&mut self.client, wielder);
        let number = self.number;
        let at = |kind: &str, call: &str| format!("/api/v1/keys/{}/{call}", name(kind, number));
        let plaintext = STANDARD.encode(self.canary("plaintext of a native encryption"));
        let many = STANDARD.encode(self.canary("plaintext among many"));
        let message = STANDARD.encode(self.canary("message of a native operation"));

        let encrypt = at("cipher", "encrypt");
        let sealed = self.says("POST", &encrypt, Some(&json!({ "plaintext": plaintext })), 200).json();
        let items = json!({ "items": [{ "plaintext": many }, { "plaintext": format!("{many}#") }] });
        self.says("POST", &encrypt, Some(&items), 200);
        let sealed = json!({ "ciphertext": sealed["ciphertext"] });
        let opened = self.send("POST", &at("cipher", "decrypt"), Some(&sealed), 200).json();
        assert_eq!(opened["plaintext"], plaintext);
        self.says("POST", &at("cipher", "rewrap"), Some(&sealed), 200);
        for (kind, make, check, made) in
            [("signer", "sign", "verify", "signature"), ("mac", "mac", "verify-mac", "mac")]
        {
            let answer = self.says("POST", &at(kind, make), Some(&json!({ "input": message })), 200).json();
            let check_body = json!({ "input": message, made: answer[made] });
            self.says("POST", &at(kind, check), Some(&check_body), 200);
        }
        self.says("POST", "/api/v1/hash", Some(&json!({ "input": message })), 200);

        let shown = self.send("POST", &at("cipher", "data-key"), Some(&json!({ "plaintext": true })), 200).json();
        self.made("data key", &shown["plaintext"]);
        self.says("POST", &at("cipher", "data-key"), Some(&json!({})), 200);
        let shared = self.send("POST", &at("kem", "encapsulate"), Some(&json!({})), 200).json();
        self.made("shared secret", &shared["shared_secret"]);
        let capsule = json!({ "ciphertext": shared["ciphertext"] });
        let opened = self.send("POST", &at("kem", "decapsulate"), Some(&capsule), 200).json();
        assert_eq!(opened["shared_secret"], shared["shared_secret"]);
        let random = self.send("POST", "/api/v1/random", Some(&json!({ "bytes": 32 })), 200).json();
        self.made("random bytes", &random["random"]);
        let exported = json!({ "kind": "encryption-key" });
        let exported = self.send("POST", &at("cipher", "export"), Some(&exported), 200).json();
        self.made("exported key", &exported["keys"][0]["key"]);
        let wrapped = json!({ "key": name("signer", number) });
        self.says("POST", &at("cipher", "wrap"), Some(&wrapped), 200);

        for (call, body) in [
            (at("cipher", "encrypt"), json!({ "plaintext": plaintext, "colour": plaintext })),
            (at("cipher", "encrypt"), json!({ "plaintext": [plaintext] })),
            (at("cipher", "encrypt"), json!({ "plaintext": format!("{plaintext}#") })),
            (at("cipher", "encrypt"), json!({ "plaintext": plaintext, "items": [] })),
            (at("cipher", "encrypt"), json!({ "plaintext": plaintext, "key_version": 9 })),
            (at("cipher", "decrypt"), json!({ "ciphertext": plaintext })),
            (at("signer", "encrypt"), json!({ "plaintext": plaintext })),
            (at("cipher", "sign"), json!({ "input": message })),
            (at("nobody", "sign"), json!({ "input": message })),
            ("/api/v1/key-restore".to_owned(), json!({ "backup": plaintext })),
        ] {
            self.refused("POST", &call, JSON, body.to_string().as_bytes());
        }
        self.client = administrator;
    }
}
