//! Keys on both servers: what one made with a key is used by the other once the key has gone over, in both directions.

use serde_json::{Value, json};

use crate::{
    http::Client,
    print,
    servers::{Pair, ROOT, Start},
};

/// A server with transit at `transit/`.
struct Side {
    name: &'static str,
    client: Client,
}

/// A key, the parameters that it takes with each use, and what it is for.
struct Kind {
    name: &'static str,
    create: Value,
    with: Value,
    encrypts: bool,
    signs: bool,
}

impl Side {
    fn new(name: &'static str, client: Client) -> Self {
        let mut side = Self { name, client };
        side.ask("POST", "sys/mounts/transit", &json!({"type": "transit"}));
        side
    }

    /// The data of a reply that is a success.
    #[track_caller]
    fn ask(&mut self, method: &str, path: &str, body: &Value) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.client.send_with(method, &format!("/v1/{path}"), &[("X-Vault-Token", ROOT)], body.as_bytes());
        let answer = answer.unwrap();
        assert!(matches!(answer.status, 200 | 204), "{} {method} {path}: {answer}", self.name);
        serde_json::from_slice::<Value>(&answer.body).map_or(Value::Null, |body| body["data"].clone())
    }

    fn post(&mut self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("transit/{path}"), body)
    }

    fn get(&mut self, path: &str) -> Value {
        self.ask("GET", &format!("transit/{path}"), &Value::Null)
    }
}

#[test]
fn values_of_one_server_are_used_by_the_other() {
    let pair = Pair::start(Start::Dev);
    let (mut bao, mut coffer) = (Side::new("bao", pair.bao.client()), Side::new("coffer", pair.coffer.client()));
    let mut checked = 0;
    for kind in kinds() {
        checked += brought_over(&kind, &mut bao, &mut coffer);
        // OpenBao derives with another function from keys that it imports, which it has given up for its own.
        if kind.create["derived"] != true {
            checked += brought_over(&kind, &mut coffer, &mut bao);
        }
    }
    print(&format!("transit: {checked} values of one server used by the other"));
}

#[test]
fn backups_of_the_original_are_restored_with_all_their_versions() {
    let pair = Pair::start(Start::Dev);
    let (mut bao, mut coffer) = (Side::new("bao", pair.bao.client()), Side::new("coffer", pair.coffer.client()));
    let mut checked = 0;
    for kind in kinds() {
        let name = kind.name;
        let allowed = json!({"exportable": true, "allow_plaintext_backup": true});
        bao.post(&format!("keys/{name}"), &with_all(kind.create.clone(), allowed));
        let old = made(&kind, name, &mut bao);
        bao.post(&format!("keys/{name}/rotate"), &json!({}));
        let new = made(&kind, name, &mut bao);
        let hmac = bao.post(&format!("hmac/{name}"), &json!({"input": PLAIN}))["hmac"].clone();
        bao.post(&format!("keys/{name}/config"), &json!({"min_encryption_version": 1, "auto_rotate_period": "36h"}));
        let backup = bao.get(&format!("backup/{name}"));
        coffer.post("restore", &backup);

        let (a, b) = (bao.get(&format!("keys/{name}")), coffer.get(&format!("keys/{name}")));
        for (field, value) in a.as_object().unwrap() {
            let is_of_one_server = matches!(field.as_str(), "restore_info" | "backup_info");
            if !is_of_one_server && (field != "keys" || !value["1"].is_object()) {
                assert_eq!(*value, b[field], "{name} {field}");
            }
        }
        same_keys(&kind, name, &mut bao, &mut coffer);
        let body = json!({"input": PLAIN, "hmac": hmac});
        assert_eq!(coffer.post(&format!("verify/{name}"), &body)["valid"], true, "{name}");
        let back = made(&kind, name, &mut coffer);
        checked += 1 + used(&kind, name, &old, &mut coffer) + used(&kind, name, &new, &mut coffer);
        checked += used(&kind, name, &back, &mut bao);
        // Trimmed, it begins later.
        for (step, body) in [
            ("config", json!({"min_decryption_version": 2, "min_encryption_version": 2})),
            ("trim", json!({"min_available_version": 2})),
        ] {
            bao.post(&format!("keys/{name}/{step}"), &body);
        }
        let backup = bao.get(&format!("backup/{name}"))["backup"].clone();
        coffer.post(&format!("restore/{name}-trimmed"), &json!({"backup": backup}));
        checked += used(&kind, &format!("{name}-trimmed"), &new, &mut coffer);
    }
    print(&format!("transit: {checked} values of the original used after the restoration of its backups"));
}

#[test]
fn keys_derived_from_one_agreement_are_the_same_on_both() {
    let pair = Pair::start(Start::Dev);
    let (mut bao, mut coffer) = (Side::new("bao", pair.bao.client()), Side::new("coffer", pair.coffer.client()));
    let mut checked = 0;
    for curve in ["ecdsa-p256", "ecdsa-p384", "ecdsa-p521"] {
        let (from, to) = (&mut bao, &mut coffer);
        let base = format!("base-{curve}");
        let create = json!({"type": curve, "exportable": true});
        from.post(&format!("keys/{base}"), &create);
        let import = with_all(create, json!({"ciphertext": wrapped_for(to, &base, from)["1"]}));
        to.post(&format!("keys/{base}/import"), &import);
        let peer = format!("peer-{curve}");
        from.post(&format!("keys/{peer}"), &json!({"type": curve}));
        let peer = from.get(&format!("keys/{peer}"))["keys"]["1"]["public_key"].clone();
        for of in ["aes128-gcm96", "aes256-gcm96", "chacha20-poly1305", "xchacha20-poly1305"] {
            let name = format!("of-{curve}-{of}");
            let body = json!({"base_key_name": base, "peer_public_key": peer, "derived_key_type": of});
            for side in [&mut *from, &mut *to] {
                side.post(&format!("derive-key/{name}"), &body);
            }
            let kind = Kind { name: "derived", create: json!({}), with: json!({}), encrypts: true, signs: false };
            let (one, other) = (made(&kind, &name, from), made(&kind, &name, to));
            checked += used(&kind, &name, &one, to) + used(&kind, &name, &other, from);
        }
    }
    print(&format!("transit: {checked} values under keys derived on one server used on the other"));
}

/// The key goes over, wrapped for the other's import, with both of its versions.
fn brought_over(kind: &Kind, from: &mut Side, to: &mut Side) -> usize {
    let name = format!("{}-for-{}", kind.name, to.name);
    let mut create = kind.create.clone();
    create["exportable"] = json!(true);
    from.post(&format!("keys/{name}"), &create);
    let old = made(kind, &name, from);
    from.post(&format!("keys/{name}/rotate"), &json!({}));
    let new = made(kind, &name, from);

    let wrapped = wrapped_for(to, &name, from);
    let mut import = create;
    // An imported key is not convergent by itself, and as long as it is.
    for own in ["convergent_encryption", "key_size"] {
        import.as_object_mut().unwrap().remove(own);
    }
    import["ciphertext"] = wrapped["1"].clone();
    to.post(&format!("keys/{name}/import"), &import);
    to.post(&format!("keys/{name}/import_version"), &json!({"ciphertext": wrapped["2"]}));

    let (a, b) = (from.get(&format!("keys/{name}")), to.get(&format!("keys/{name}")));
    for same in ["type", "derived", "latest_version", "min_decryption_version", "exportable", "kdf", "key_size"] {
        assert_eq!(a[same], b[same], "{name} {same}");
    }
    same_keys(kind, &name, from, to);
    let back = made(kind, &name, to);
    used(kind, &name, &old, to) + used(kind, &name, &new, to) + used(kind, &name, &back, from)
}

/// A key's versions, wrapped for the other server's import.
fn wrapped_for(to: &mut Side, name: &str, from: &mut Side) -> Value {
    let wrapping = to.get("wrapping_key");
    let destination = format!("destination-{name}");
    let import = json!({"type": "rsa-4096", "public_key": wrapping["public_key"]});
    from.post(&format!("keys/{destination}/import"), &import);
    from.get(&format!("byok-export/{destination}/{name}"))["keys"].clone()
}

/// What the key makes.
fn made(kind: &Kind, name: &str, by: &mut Side) -> Value {
    let mut all = json!({});
    if kind.encrypts {
        let sealed = by.post(&format!("encrypt/{name}"), &with(kind, json!({"plaintext": PLAIN})));
        all["ciphertext"] = sealed["ciphertext"].clone();
        let key = by.post(&format!("datakey/plaintext/{name}"), &with(kind, json!({})));
        all["datakey"] = json!([key["ciphertext"], key["plaintext"]]);
    }
    if kind.signs {
        let signatures = kind.signing().into_iter().map(|how| {
            let signed = by.post(&format!("sign/{name}"), &with(kind, with_all(how.clone(), json!({"input": PLAIN}))));
            json!([how, signed["signature"]])
        });
        all["signatures"] = signatures.collect();
    }
    // Any other key's HMAC key is its own, which does not go along.
    if kind.name == "hmac" {
        all["hmac"] = by.post(&format!("hmac/{name}/sha2-512"), &json!({"input": PLAIN}))["hmac"].clone();
    }
    all
}

/// Uses what the key made elsewhere, and counts it.
fn used(kind: &Kind, name: &str, made: &Value, by: &mut Side) -> usize {
    let mut count = 0;
    let mut open = |ciphertext: &Value, plaintext: &Value| {
        let opened = by.post(&format!("decrypt/{name}"), &with(kind, json!({"ciphertext": ciphertext})));
        assert_eq!(opened["plaintext"], *plaintext, "{name} at {}", by.name);
        count += 1;
    };
    if kind.encrypts {
        open(&made["ciphertext"], &json!(PLAIN));
        open(&made["datakey"][0], &made["datakey"][1]);
    }
    for signed in made["signatures"].as_array().into_iter().flatten() {
        for (input, valid) in [(PLAIN, true), ("b3RoZXI=", false)] {
            let body = with_all(signed[0].clone(), json!({"input": input, "signature": signed[1]}));
            let verified = by.post(&format!("verify/{name}"), &with(kind, body));
            assert_eq!(verified["valid"], valid, "{name} {} at {}", signed[0], by.name);
        }
        count += 1;
    }
    if made["hmac"].is_string() {
        let body = json!({"input": PLAIN, "hmac": made["hmac"]});
        assert_eq!(by.post(&format!("verify/{name}/sha2-512"), &body)["valid"], true, "{name} at {}", by.name);
        count += 1;
    }
    count
}

/// Both export the same key, to the letter.
fn same_keys(kind: &Kind, name: &str, a: &mut Side, b: &mut Side) {
    let exports = match (kind.encrypts, kind.signs) {
        (true, true) => &["encryption-key", "signing-key", "public-key"][..],
        (true, false) => &["encryption-key"],
        (false, true) => &["signing-key", "public-key"],
        (false, false) => &["hmac-key"],
    };
    for export in exports {
        let path = format!("export/{export}/{name}");
        let (a, b) = (a.get(&path), b.get(&path));
        assert_eq!((&a["keys"], &a["type"]), (&b["keys"], &b["type"]), "{path}");
    }
}

impl Kind {
    /// The ways in which it signs.
    fn signing(&self) -> Vec<Value> {
        match self.name {
            name if name.starts_with("rsa") => vec![
                json!({}),
                json!({"salt_length": "hash", "hash_algorithm": "sha3-256"}),
                json!({"signature_algorithm": "pkcs1v15", "hash_algorithm": "sha1"}),
                json!({"signature_algorithm": "pkcs1v15", "hash_algorithm": "none", "prehashed": true}),
            ],
            name if name.starts_with("ecdsa") => vec![
                json!({}),
                json!({"hash_algorithm": "sha2-512"}),
                json!({"hash_algorithm": "sha3-224", "marshaling_algorithm": "jws"}),
                json!({"prehashed": true}),
            ],
            _ => vec![json!({}), json!({"marshaling_algorithm": "jws"})],
        }
    }
}

fn kinds() -> Vec<Kind> {
    let kind = |name, create, with, encrypts, signs| Kind { name, create, with, encrypts, signs };
    let context = || json!({"context": "Y3R4"});
    let derived = |of: &str| json!({"type": of, "derived": true});
    let convergent = |of: &str| json!({"type": of, "derived": true, "convergent_encryption": true});
    let plain = |of: &str| json!({"type": of});
    vec![
        kind("aes128-gcm96", plain("aes128-gcm96"), json!({"associated_data": "YWQ="}), true, false),
        kind("aes256-gcm96", plain("aes256-gcm96"), json!({}), true, false),
        kind("chacha20-poly1305", plain("chacha20-poly1305"), json!({"associated_data": "YWQ="}), true, false),
        kind("xchacha20-poly1305", plain("xchacha20-poly1305"), json!({}), true, false),
        kind("derived-aes128", derived("aes128-gcm96"), context(), true, false),
        kind("derived-aes256", derived("aes256-gcm96"), context(), true, false),
        kind("derived-chacha20", derived("chacha20-poly1305"), context(), true, false),
        kind("derived-xchacha20", derived("xchacha20-poly1305"), context(), true, false),
        kind("convergent-aes128", convergent("aes128-gcm96"), context(), true, false),
        kind("convergent-aes256", convergent("aes256-gcm96"), context(), true, false),
        kind("convergent-chacha20", convergent("chacha20-poly1305"), context(), true, false),
        kind("rsa-2048", plain("rsa-2048"), json!({}), true, true),
        kind("rsa-3072", plain("rsa-3072"), json!({}), true, true),
        kind("rsa-4096", plain("rsa-4096"), json!({}), true, true),
        kind("ecdsa-p256", plain("ecdsa-p256"), json!({}), false, true),
        kind("ecdsa-p384", plain("ecdsa-p384"), json!({}), false, true),
        kind("ecdsa-p521", plain("ecdsa-p521"), json!({}), false, true),
        kind("ed25519", plain("ed25519"), json!({}), false, true),
        kind("derived-ed25519", derived("ed25519"), context(), false, true),
        kind("hmac", json!({"type": "hmac", "key_size": 48}), json!({}), false, false),
    ]
}

/// The body with what every use of the key takes.
fn with(kind: &Kind, body: Value) -> Value {
    with_all(kind.with.clone(), body)
}

fn with_all(mut all: Value, more: Value) -> Value {
    let Value::Object(more) = more else { panic!("no object: {more}") };
    all.as_object_mut().unwrap().extend(more);
    all
}

const PLAIN: &str = "aGVsbG8=";
