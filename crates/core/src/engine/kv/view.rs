//! A version's structure without its values.

use serde_json::{Map, Value};

use super::{KvPath, KvRead};
use crate::{Caller, Error, caller::Done, mount::Mount, policy::Operation};

/// Structures nested deeper than this are cut.
const MAX_DEPTH: u64 = 128;

impl Caller {
    /// A version's metadata block (JSON) and its data with every leaf replaced by null, cut at `depth` (0 = whole);
    /// `None` for the data where the version is deleted or destroyed. Data that is null stays null.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `{mount}subkeys/{path}`; [`coffer_api::Code::NotFound`] where
    /// there is no such version.
    pub async fn kv_subkeys(
        &self,
        mount: &Mount,
        path: &str,
        version: Option<i64>,
        depth: u64,
    ) -> Result<(Vec<u8>, Option<Value>), Error> {
        let logical = format!("{}subkeys/{path}", mount.path);
        self.recorded(self.record("secret.subkeys", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let wanted = version.and_then(|version| u64::try_from(version).ok()).filter(|version| *version > 0);
            let (read, _): (KvRead, _) = self.active.kv_version(mount, KvPath::parse(path)?, wanted).await?;
            let depth = if depth == 0 { MAX_DEPTH } else { depth.min(MAX_DEPTH) };
            let subkeys = match read.data() {
                Some(data) => match serde_json::from_slice(data).map_err(Error::internal)? {
                    Value::Null => Some(Value::Null),
                    value => Some(Value::Object(bare(value, depth))),
                },
                None => None,
            };
            Ok(Done::Unlogged((read.metadata().to_vec(), subkeys)))
        })
        .await
    }
}

fn bare(value: Value, depth: u64) -> Map<String, Value> {
    let Value::Object(members) = value else { return Map::new() };
    let below = |value: Value| match value {
        Value::Object(inner) if depth > 1 && !inner.is_empty() => Value::Object(bare(Value::Object(inner), depth - 1)),
        _ => Value::Null,
    };
    members.into_iter().map(|(key, value)| (key, below(value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_become_null_and_depth_cuts() {
        let value = || serde_json::json!({"a": {"b": {"c": 1}}, "d": [1, 2], "e": "x"});
        let whole = serde_json::json!({"a": {"b": {"c": null}}, "d": null, "e": null});
        assert_eq!(Value::Object(bare(value(), MAX_DEPTH)), whole);
        let cut = serde_json::json!({"a": {"b": null}, "d": null, "e": null});
        assert_eq!(Value::Object(bare(value(), 2)), cut);
    }
}
