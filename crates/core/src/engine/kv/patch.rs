//! JSON merge patch of the current version (RFC 7396).

use serde_json::{Map, Value, value::RawValue};
use zeroize::Zeroizing;

use super::{
    KvPath,
    data::{Remembered, Write},
};
use crate::{
    Caller, Error,
    caller::Done,
    commit::Edit,
    mount::Mount,
    policy::{Operation, Parameters},
};

/// Objects nested deeper than this are refused.
const MAX_DEPTH: usize = 64;

/// What a patch came to. The metadata are the five keys as JSON.
pub enum KvPatched {
    /// There is no such key.
    Absent,
    /// The current version is deleted or destroyed; its metadata.
    Gone(Vec<u8>),
    /// A new version; its metadata.
    Written(Vec<u8>),
}

impl Caller {
    /// Merges a patch into the current version and writes the result as a new one.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without patch on `{mount}data/{path}`; otherwise as a write.
    pub async fn kv_patch(
        &self,
        mount: &Mount,
        path: &str,
        patch: &RawValue,
        cas: Option<u64>,
        parameters: &dyn Parameters,
    ) -> Result<KvPatched, Error> {
        let logical = format!("{}data/{path}", mount.path);
        let record = self.record("secret.patch", &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, Operation::Patch, parameters)?;
            let path = KvPath::parse(path)?;
            let guard = self.active.lock_in(mount, &[&path.row(mount)]).await?;
            let Some(loaded) = self.active.kv_load(mount, path).await? else {
                return Ok(Done::Unlogged(KvPatched::Absent));
            };
            let Some(version) = loaded.head.version(loaded.head.current).copied() else {
                return Ok(Done::Unlogged(KvPatched::Absent));
            };
            if !version.is_live(self.active.clock.now()) {
                return Ok(Done::Unlogged(KvPatched::Gone(loaded.head.metadata_json(&version))));
            }
            let old = self.active.kv_data(mount, path, &loaded.opened, &loaded.head, &version).await?;
            let merged = merged(old.as_ref().map_or(b"null", |old| old.as_slice()), patch.get().as_bytes())?;
            let write = Write { data: &merged, cas, shred: None, recipe: Remembered::Kept };
            let (head, logged) = self.kv_put(mount, path, Some(loaded), write, Edit::under(guard), record).await?;
            let metadata = head.version(head.current).map(|version| head.metadata_json(version));
            Ok(Done::Logged(KvPatched::Written(metadata.unwrap_or_default()), logged))
        })
        .await
    }
}

fn merged(old: &[u8], patch: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
    let mut target: Value = serde_json::from_slice(old).map_err(Error::internal)?;
    let patch = serde_json::from_slice(patch).map_err(|_| Error::invalid("the patch is not valid JSON"))?;
    merge(&mut target, patch, 0)?;
    Ok(Zeroizing::new(serde_json::to_vec(&target).map_err(Error::internal)?))
}

fn merge(target: &mut Value, patch: Value, depth: usize) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::invalid(format!("a patch nests at most {MAX_DEPTH} deep")));
    }
    let Value::Object(patch) = patch else {
        *target = patch;
        return Ok(());
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(target) = target {
        for (key, value) in patch {
            if value.is_null() {
                target.remove(&key);
            } else {
                merge(target.entry(key).or_insert(Value::Null), value, depth + 1)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_7396_hold() {
        for (old, patch, wanted) in [
            (r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#),
            (r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#),
            (r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#),
            (r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#),
            (r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#),
            (r#"{"e":null}"#, r#"{"a":1}"#, r#"{"a":1,"e":null}"#),
            (r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#),
            (r#"{"n":12345678901234567890.10}"#, r#"{"m":1e400}"#, r#"{"m":1e400,"n":12345678901234567890.10}"#),
        ] {
            let merged = merged(old.as_bytes(), patch.as_bytes()).unwrap();
            let normal = |text: &[u8]| serde_json::from_slice::<Value>(text).unwrap();
            assert_eq!(normal(&merged), normal(wanted.as_bytes()), "{old} + {patch}");
        }
    }
}
