//! Reads the published vectors in testdata/ for the unit tests.

use serde_json::Value;

/// One test of a vector file.
pub(crate) struct Vector(Value);

impl Vector {
    /// The tests of a file, and how many of them must fail.
    pub(crate) fn load(file: &str) -> (Vec<Self>, usize) {
        let path = format!("{}/testdata/{file}", env!("CARGO_MANIFEST_DIR"));
        let file: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let vectors: Vec<_> = file["tests"].as_array().unwrap().iter().cloned().map(Self).collect();
        let must_fail = vectors.iter().filter(|vector| !vector.is_valid()).count();
        (vectors, must_fail)
    }

    pub(crate) fn bytes(&self, field: &str) -> Vec<u8> {
        let digits = self.0[field].as_str().unwrap().as_bytes();
        assert_eq!(digits.len() % 2, 0);
        let pairs = digits.chunks_exact(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    }

    pub(crate) fn number(&self, field: &str) -> usize {
        self.0[field].as_u64().unwrap().try_into().unwrap()
    }

    pub(crate) fn is_valid(&self) -> bool {
        self.0["result"] == "valid"
    }

    /// For the message of an assertion.
    pub(crate) fn id(&self) -> usize {
        self.number("id")
    }
}
