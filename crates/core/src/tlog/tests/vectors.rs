//! The golden vectors, made by another implementation, and keys for tests.

use std::collections::BTreeMap;

use coffer_crypto::{Secret, sign::SigningKey};
use serde_json::Value;

use super::super::{
    merkle::Hash,
    note::{KeyName, NoteSigner},
};

/// The hashes are those of testdata/tlog-vectors.json, the notes are written here.
pub(crate) struct Vectors {
    pub(crate) empty_root: Hash,
    pub(crate) leaf_0: Hash,
    pub(crate) roots: BTreeMap<u64, Hash>,
    pub(crate) inclusion: Vec<Inclusion>,
    pub(crate) consistency: Vec<Consistency>,
    pub(crate) vkey: String,
    pub(crate) checkpoint: String,
    pub(crate) witness_vkey: String,
    pub(crate) cosignature: String,
}

pub(crate) struct Inclusion {
    pub(crate) index: u64,
    pub(crate) size: u64,
    pub(crate) proof: Vec<Hash>,
}

pub(crate) struct Consistency {
    pub(crate) old: u64,
    pub(crate) new: u64,
    pub(crate) proof: Vec<Hash>,
}

impl Vectors {
    pub(crate) fn load() -> Self {
        let json: Value = serde_json::from_str(include_str!("../../../testdata/tlog-vectors.json")).unwrap();
        let hash_of = |value: &Value| hash(value.as_str().unwrap());
        let hashes = |value: &Value| value.as_array().unwrap().iter().map(hash_of).collect::<Vec<_>>();
        let number = |value: &Value| value.as_u64().unwrap();
        let list = |name: &str| json[name].as_array().unwrap().clone();
        let inclusion = list("inclusion").into_iter().map(|case| Inclusion {
            index: number(&case["index"]),
            size: number(&case["size"]),
            proof: hashes(&case["proof"]),
        });
        let consistency = list("consistency").into_iter().map(|case| Consistency {
            old: number(&case["old"]),
            new: number(&case["new"]),
            proof: hashes(&case["proof"]),
        });
        let roots = json["roots"].as_object().unwrap();
        Self {
            empty_root: hash_of(&json["empty_root"]),
            leaf_0: hash_of(&json["leaf_0"]),
            roots: roots.iter().map(|(size, root)| (size.parse().unwrap(), hash_of(root))).collect(),
            inclusion: inclusion.collect(),
            consistency: consistency.collect(),
            vkey: VKEY.to_owned(),
            checkpoint: CHECKPOINT.to_owned(),
            witness_vkey: WITNESS_VKEY.to_owned(),
            cosignature: COSIGNATURE.to_owned(),
        }
    }
}

/// The entry of the vectors with this index.
pub(crate) fn entry(index: u64) -> Vec<u8> {
    format!("entry-{index}").into_bytes()
}

pub(crate) fn hash(hex: &str) -> Hash {
    let digit = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    assert_eq!(hex.len(), 64);
    std::array::from_fn(digit)
}

/// The key whose seed counts up from `first`; the golden log key is that from 0.
pub(crate) fn signing_key(first: u8) -> SigningKey {
    let seed: Vec<u8> = (0..32).map(|i| first.wrapping_add(i)).collect();
    SigningKey::from_seed(&Secret::copy_from(&seed).unwrap()).unwrap()
}

pub(crate) fn signer(name: &str, first: u8) -> NoteSigner {
    NoteSigner::new(KeyName::new(name).unwrap(), signing_key(first))
}

const VKEY: &str = "coffer.test/audit+e22b2ca6+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4";
const CHECKPOINT: &str = "coffer.test/audit\n5\nGqaNMHSQWlgfhMu9D3U3lJBP2ARRvEwT5p2aU7xZUCw=\n\n\
    — coffer.test/audit 4isspjR8K6rof73YozrM3w971u+UYtjE+2jyKOa88pLigakbVrUE1U9+1Aw+2SYejT+bod7E8/y+1Q3qTEuWxDBb1w0=\n";
const WITNESS_VKEY: &str = "witness.test/w1+ad1959f2+BCmsuuFBvMrwsi4alNNNC8c2HlJtC/4SyJeUvJMilm3X";
const COSIGNATURE: &str = "— witness.test/w1 \
    rRlZ8gAAAABlU/EAQ+e4RR69RrAZoXQ/xFJXe9O1tQg9mEgFG1Vf4DfBmXPl6jepDA6+JtignLB+dsYD027T1nbYTmz2Ev843+f2Dw==\n";
