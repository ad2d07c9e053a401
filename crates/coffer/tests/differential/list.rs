//! Request lists, and what a server's earlier replies put into later requests.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::http::{Answer, Client};

/// One request of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Method and path below `/v1/`.
    #[serde(rename = "do")]
    pub line: String,
    /// What it is about, where the request does not say it.
    #[serde(default)]
    pub say: String,
    /// Whose token; root's where absent, nobody's where null.
    #[serde(default = "root", rename = "as")]
    token: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    /// A body that is not JSON.
    raw: Option<String>,
    /// Values of the reply by the name under which later requests use them as `${name}`.
    #[serde(default)]
    keep: BTreeMap<String, String>,
    /// Asked again until both servers answer with this status.
    pub until: Option<u16>,
    /// What the request needs that comes with a later release: it is counted and not sent.
    pub later: Option<String>,
    /// Why docs/COMPATIBILITY.md says "no": Coffer alone is asked, and must refuse in the dialect's words.
    pub no: Option<String>,
}

/// What one server has given out, by name.
#[derive(Default)]
pub struct Known(BTreeMap<String, String>);

impl Request {
    pub fn parse_list(json: &str, name: &str) -> Vec<Self> {
        serde_json::from_str(json).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Sends it with what this server has given out, and keeps of the answer what later requests need.
    pub fn ask(&self, client: &mut Client, known: &mut Known) -> Answer {
        let (method, path) = self.line.split_once(' ').unwrap();
        let path = encode(&format!("/v1/{}", known.fill(path)));
        let mut headers: Vec<(&str, String)> =
            self.headers.iter().map(|(name, value)| (name.as_str(), known.fill(value))).collect();
        headers.extend(self.token.as_ref().map(|token| ("X-Vault-Token", known.fill(token))));
        if self.body.is_some() && !self.headers.contains_key("Content-Type") {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let body = match (&self.body, &self.raw) {
            (Some(body), _) => known.fill_json(&body.to_string()),
            (None, Some(raw)) => known.fill(raw),
            (None, None) => String::new(),
        };
        let answer = client.send_with(method, &path, &headers, body.as_bytes());
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", self.line));
        for (name, pointer) in &self.keep {
            let found = serde_json::from_slice(&answer.body).ok();
            let found = found.as_ref().and_then(|body: &Value| body.pointer(pointer)?.as_str());
            // What is missing shows in the comparison; what asks for it later shows it again.
            known.0.insert(name.clone(), found.unwrap_or("nothing-was-kept").to_owned());
        }
        answer
    }
}

impl Known {
    /// The text with `${name}` replaced, `${name#}` by what follows its last `:`, and `${x*N}` by N times `x`.
    fn fill(&self, text: &str) -> String {
        let mut parts = text.split("${");
        let mut filled = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            match name.split_once('*') {
                Some((what, times)) => filled.push_str(&what.repeat(times.parse().unwrap())),
                None if name.ends_with('#') => {
                    let kept = self.kept(name.trim_end_matches('#'));
                    filled.push_str(kept.rsplit(':').next().unwrap_or_default());
                }
                None => filled.push_str(self.kept(name)),
            }
            filled.push_str(rest);
        }
        filled
    }

    /// The same within the texts of a JSON document: what has line breaks is escaped.
    fn fill_json(&self, json: &str) -> String {
        let escaped = |text: &String| {
            let quoted = Value::from(text.as_str()).to_string();
            quoted[1..quoted.len() - 1].to_owned()
        };
        Self(self.0.iter().map(|(name, value)| (name.clone(), escaped(value))).collect()).fill(json)
    }

    fn kept(&self, name: &str) -> &str {
        self.0.get(name).unwrap_or_else(|| panic!("{name} was never kept"))
    }

    /// The text with what this server gave out replaced by its name, so that both servers' texts can be equal.
    pub fn name(&self, text: &str) -> String {
        let mut named = text.to_owned();
        for (name, value) in &self.0 {
            if value.len() >= SHORTEST && named.contains(value.as_str()) {
                named = named.replace(value.as_str(), &format!("${{{name}}}"));
            }
        }
        named
    }
}

/// Escapes what cannot stand in a request line.
fn encode(path: &str) -> String {
    path.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}

#[allow(clippy::unnecessary_wraps, reason = "the default of an optional field")]
fn root() -> Option<String> {
    Some(crate::servers::ROOT.to_owned())
}

/// Shorter values could stand anywhere by chance.
const SHORTEST: usize = 8;
