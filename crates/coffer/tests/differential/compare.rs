//! Two replies to one request, side by side: status, headers, and the body's keys and values at every level.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::{
    http::Answer,
    list::Known,
    mask::{Masks, Place},
};

/// A reply and what its server has given out so far.
pub struct Side<'a> {
    pub answer: &'a Answer,
    pub known: &'a Known,
}

/// Where the replies differ and no mask says why, a line each.
pub fn differences(request: &str, bao: &Side<'_>, coffer: &Side<'_>, masks: &Masks) -> Vec<String> {
    let mut comparison = Comparison { request, bao: bao.known, coffer: coffer.known, masks, found: Vec::new() };
    comparison.values("status", &bao.answer.status.into(), &coffer.answer.status.into());
    comparison.headers(bao.answer, coffer.answer);
    comparison.values("", &body(bao.answer), &body(coffer.answer));
    comparison.found
}

struct Comparison<'a> {
    request: &'a str,
    bao: &'a Known,
    coffer: &'a Known,
    masks: &'a Masks,
    found: Vec<String>,
}

impl Comparison<'_> {
    fn headers(&mut self, bao: &Answer, coffer: &Answer) {
        let of = |answer: &Answer| -> BTreeMap<String, Value> {
            let headers = answer.headers.iter().filter(|(name, _)| !TRANSPORT.contains(&name.as_str()));
            headers.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect()
        };
        let (bao, coffer) = (of(bao), of(coffer));
        for name in bao.keys().chain(coffer.keys()).collect::<BTreeSet<_>>() {
            self.members(&format!("header:{name}"), bao.get(name), coffer.get(name));
        }
    }

    fn members(&mut self, at: &str, bao: Option<&Value>, coffer: Option<&Value>) {
        match (bao, coffer) {
            (Some(bao), Some(coffer)) => self.values(at, bao, coffer),
            _ => self.differ(at, bao, coffer),
        }
    }

    fn values(&mut self, at: &str, bao: &Value, coffer: &Value) {
        match (bao, coffer) {
            (Value::Object(a), Value::Object(b)) => {
                let a: BTreeMap<String, &Value> = a.iter().map(|(key, value)| (self.bao.name(key), value)).collect();
                let b: BTreeMap<String, &Value> = b.iter().map(|(key, value)| (self.coffer.name(key), value)).collect();
                for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                    let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
                    self.members(&at, a.get(key).copied(), b.get(key).copied());
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                let before = self.found.len();
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    self.values(&format!("{at}/{index}"), a, b);
                }
                // Perhaps only the order differs, and may.
                if self.found.len() > before && self.covered(at, Some(bao), Some(coffer)) {
                    self.found.truncate(before);
                }
            }
            (Value::String(a), Value::String(b)) if self.bao.name(a) == self.coffer.name(b) => {}
            _ if bao == coffer => {
                self.masks.see_equal(&Place { request: self.request, at, bao: Some(bao), coffer: Some(coffer) });
            }
            _ => self.differ(at, Some(bao), Some(coffer)),
        }
    }

    fn differ(&mut self, at: &str, bao: Option<&Value>, coffer: Option<&Value>) {
        if !self.covered(at, bao, coffer) {
            self.found.push(format!("{at}: {} | {}", shown(bao), shown(coffer)));
        }
    }

    fn covered(&self, at: &str, bao: Option<&Value>, coffer: Option<&Value>) -> bool {
        self.masks.cover(&Place { request: self.request, at, bao, coffer })
    }
}

/// The body as JSON; empty is its own text, as is what is no JSON.
fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| String::from_utf8_lossy(&answer.body).into())
}

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "(absent)".to_owned(), |value| value.to_string().chars().take(300).collect())
}

/// Headers that frame a message, and say nothing of what it is about.
const TRANSPORT: [&str; 4] = ["connection", "content-length", "date", "transfer-encoding"];
