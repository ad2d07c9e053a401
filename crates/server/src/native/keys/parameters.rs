//! The fields of native bodies as policies know them: by the names that transit has for the same.
//!
//! A policy says `allowed_parameters` of one path, and it holds whichever dialect the request comes in.

use coffer_core::{HashAlgorithm, KeyAlgorithm};
use serde_json::{Map, Value};

use crate::vault::transit::type_name;

/// Nothing has another name.
pub(super) fn as_sent(_: &mut Map<String, Value>) {}

/// encrypt, decrypt and rewrap.
pub(super) fn batch(sent: &mut Map<String, Value>) {
    rename(sent, &[("items", "batch_input")]);
}

/// sign and verify.
pub(super) fn signing(sent: &mut Map<String, Value>) {
    batch(sent);
    rename(
        sent,
        &[("hash", "hash_algorithm"), ("padding", "signature_algorithm"), ("encoding", "marshaling_algorithm")],
    );
    replace(sent, "signature_algorithm", |padding| (padding == PKCS1).then(|| "pkcs1v15".to_owned()));
}

pub(super) fn mac(sent: &mut Map<String, Value>) {
    batch(sent);
    rename(sent, &[("hash", "algorithm")]);
}

pub(super) fn verify_mac(sent: &mut Map<String, Value>) {
    mac(sent);
    rename(sent, &[("mac", "hmac")]);
    let items = sent.get_mut("batch_input").and_then(Value::as_array_mut);
    for item in items.into_iter().flatten().filter_map(Value::as_object_mut) {
        rename(item, &[("mac", "hmac")]);
    }
}

/// Whether it is shown is in the path.
pub(super) fn data_key(sent: &mut Map<String, Value>) {
    sent.remove("plaintext");
}

pub(super) fn create(sent: &mut Map<String, Value>) {
    sent.remove("name");
    rename(sent, &[("convergent", "convergent_encryption"), ("rotate_every", "auto_rotate_period")]);
    let native = || Value::from(KeyAlgorithm::Xaes256Gcm.name());
    sent.entry("algorithm").or_insert_with(native);
    rename(sent, &[("algorithm", "type")]);
    replace(sent, "type", transit_type);
    hoist_source(sent);
}

pub(super) fn configure(sent: &mut Map<String, Value>) {
    rename(sent, &[("rotate_every", "auto_rotate_period")]);
}

pub(super) fn import_version(sent: &mut Map<String, Value>) {
    hoist_source(sent);
}

pub(super) fn agree(sent: &mut Map<String, Value>) {
    rename(sent, &[("algorithm", "derived_key_type"), ("base", "base_key_name"), ("base_version", "base_key_version")]);
    replace(sent, "derived_key_type", transit_type);
}

/// The name is in the path.
pub(super) fn restore(sent: &mut Map<String, Value>) {
    sent.remove("name");
}

pub(super) fn csr(sent: &mut Map<String, Value>) {
    rename(sent, &[("template", "csr")]);
}

pub(super) fn certificate(sent: &mut Map<String, Value>) {
    rename(sent, &[("chain", "certificate_chain")]);
}

/// What a key is made of, beside its other fields.
fn hoist_source(sent: &mut Map<String, Value>) {
    let Some(Value::Object(mut source)) = sent.remove("source") else { return };
    if let Some(Value::Object(wrapped)) = source.remove("wrapped") {
        source.extend(wrapped);
    }
    rename(&mut source, &[("hash", "hash_function"), ("by", "wrapped_by")]);
    replace(&mut source, "hash_function", |name| {
        HashAlgorithm::parse(name).map(|_| name.replace("sha2-", "sha").to_ascii_uppercase())
    });
    sent.extend(source);
}

fn rename(sent: &mut Map<String, Value>, names: &[(&str, &str)]) {
    for (native, logical) in names {
        if let Some(value) = sent.remove(*native) {
            sent.insert((*logical).to_owned(), value);
        }
    }
}

/// Gives a text the other form that transit has for it, if there is one.
fn replace(sent: &mut Map<String, Value>, name: &str, logical: impl FnOnce(&str) -> Option<String>) {
    if let Some(Value::String(text)) = sent.get_mut(name)
        && let Some(other) = logical(text)
    {
        *text = other;
    }
}

fn transit_type(native: &str) -> Option<String> {
    KeyAlgorithm::parse(native).map(|algorithm| type_name(algorithm).to_owned())
}

/// The native name of RSA's older padding.
pub(super) const PKCS1: &str = "pkcs1";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::native::call::Logical;

    #[test]
    fn fields_are_called_as_in_transit() {
        let cases: [(Logical, Value, Value); 17] = [
            (as_sent, json!({"a": 1}), json!({"a": 1})),
            (batch, json!({"items": [{"plaintext": ""}]}), json!({"batch_input": [{"plaintext": ""}]})),
            (
                signing,
                json!({"input": "", "hash": "sha2-256", "padding": "pkcs1", "encoding": "jws", "salt_length": "auto"}),
                json!({"input": "", "hash_algorithm": "sha2-256", "signature_algorithm": "pkcs1v15",
                    "marshaling_algorithm": "jws", "salt_length": "auto"}),
            ),
            (signing, json!({"padding": "pss"}), json!({"signature_algorithm": "pss"})),
            (mac, json!({"input": "", "hash": "sha2-512"}), json!({"input": "", "algorithm": "sha2-512"})),
            (verify_mac, json!({"mac": "x"}), json!({"hmac": "x"})),
            (verify_mac, json!({"items": [{"mac": "x"}]}), json!({"batch_input": [{"hmac": "x"}]})),
            (data_key, json!({"plaintext": true, "bits": 128}), json!({"bits": 128})),
            (create, json!({"name": "k"}), json!({"type": "xaes-256-gcm"})),
            (
                create,
                json!({"name": "k", "algorithm": "aes-256-gcm", "convergent": true, "rotate_every": 3600}),
                json!({"type": "aes256-gcm96", "convergent_encryption": true, "auto_rotate_period": 3600}),
            ),
            (
                import_version,
                json!({"version": 1,
                    "source": {"wrapped": {"ciphertext": "x", "hash": "sha2-384", "by": {"key": "w"}}}}),
                json!({"ciphertext": "x", "hash_function": "SHA384", "wrapped_by": {"key": "w"}, "version": 1}),
            ),
            (import_version, json!({"source": {"public_key": "x"}}), json!({"public_key": "x"})),
            (
                agree,
                json!({"base": "b", "base_version": 1, "algorithm": "aes-128-gcm"}),
                json!({"base_key_name": "b", "base_key_version": 1, "derived_key_type": "aes128-gcm96"}),
            ),
            (restore, json!({"backup": "x", "name": "n"}), json!({"backup": "x"})),
            (configure, json!({"rotate_every": 1}), json!({"auto_rotate_period": 1})),
            (csr, json!({"template": "x"}), json!({"csr": "x"})),
            (certificate, json!({"chain": "x"}), json!({"certificate_chain": "x"})),
        ];
        for (logical, native, transit) in cases {
            let Value::Object(mut sent) = native else { panic!("no object") };
            logical(&mut sent);
            assert_eq!(Value::Object(sent), transit);
        }
    }
}
