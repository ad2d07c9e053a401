//! Parameters that are a value as a whole.

use zeroize::Zeroizing;

use super::Fields;

impl Fields<'_> {
    /// All fields as one JSON object, each value as the client wrote it; wiped on drop.
    pub(crate) fn to_json(&self) -> Zeroizing<Vec<u8>> {
        // Every byte of a key may become an escape of six: the buffer never grows, which would leave a copy behind.
        let size: usize = self.0.iter().map(|(key, raw)| key.len() * 6 + raw.get().len() + 4).sum();
        let mut out = Zeroizing::new(Vec::with_capacity(size + 2));
        out.push(b'{');
        for (at, (key, raw)) in self.0.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            serde_json::to_writer(&mut *out, key.as_ref()).expect("a string always serialises into a Vec");
            out.push(b':');
            out.extend_from_slice(raw.get().as_bytes());
        }
        out.push(b'}');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_written_and_keys_come_once() {
        for (sent, kept) in [
            (r#"{}"#, r#"{}"#),
            (r#" {"a": 1e400, "b":{"x": [1, 2.50]}} "#, r#"{"a":1e400,"b":{"x": [1, 2.50]}}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"\u0061\n\"":null}"#, r#"{"a\n\"":null}"#),
        ] {
            let json = Fields::parse(sent.as_bytes()).unwrap().to_json();
            assert_eq!(std::str::from_utf8(&json).unwrap(), kept);
            assert_eq!(Fields::parse(&json).unwrap().to_json(), json);
        }
    }
}
