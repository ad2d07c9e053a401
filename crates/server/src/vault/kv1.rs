//! KV v1 below its mount: the body is the value.

use coffer_core::{KvReach, Mount};

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope,
    lenient::{Fields, GoDuration},
};
use crate::error::{self, Success};

/// Answers below a KV v1 mount.
pub(crate) async fn answer(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    match call.verb {
        Verb::Read => read(call, mount, path).await,
        Verb::Write => write(call, mount, path).await,
        Verb::Delete => {
            call.caller.kv1_delete(mount, path).await?;
            Ok(done())
        }
        Verb::List => {
            let page = call.page().await?;
            let names =
                call.caller.kv1_list(mount, path, KvReach::Level { after: &page.after, limit: page.limit }).await?;
            call.keys(names)
        }
        Verb::Scan => scan(call, mount, path).await,
        Verb::Patch => Err(Failure::unsupported_operation()),
    }
}

/// What the value says of its own lifetime is told as the lease's.
async fn read(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    let data = call.caller.kv1_read(mount, path).await?;
    let default = call.caller.lease_ttls(mount).default;
    let lease = lifetime(&data).unwrap_or(default);
    let body = envelope::spliced_lease(call.id, lease, data.len(), |out| out.extend_from_slice(&data));
    Ok(error::respond(error::success(Success::Body), error::JSON, body))
}

async fn write(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    if path.is_empty() {
        return Err(Failure::invalid("missing path"));
    }
    if fields.iter().next().is_none() {
        return Err(Failure::invalid("missing data fields"));
    }
    call.caller.kv1_write(mount, path, &fields.to_json(), &fields).await?;
    Ok(done())
}

async fn scan(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    #[derive(serde::Serialize)]
    struct Keys {
        #[serde(skip_serializing_if = "Vec::is_empty")]
        keys: Vec<String>,
    }
    let reach = KvReach::Below { limit: call.page().await?.limit };
    let keys = call.caller.kv1_list(mount, path, reach).await?;
    Ok(call.data(&Keys { keys }))
}

/// The seconds that a value's `ttl`, else its `lease` names; `None` where it names none, or nothing that is a duration.
fn lifetime(data: &[u8]) -> Option<i64> {
    let fields = Fields::parse(data).ok()?;
    let field = ["ttl", "lease"].into_iter().find(|field| fields.raw(field).is_some())?;
    match fields.text(field) {
        // `null` is no time at all.
        Ok(None) => Some(0),
        Ok(Some(text)) => text.parse().ok().map(|duration: GoDuration| duration.nanos() / 1_000_000_000),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_names_its_own_lifetime() {
        for (data, secs) in [
            (r#"{"ttl":5}"#, Some(5)),
            (r#"{"ttl":"5"}"#, Some(5)),
            (r#"{"ttl":"1h30m"}"#, Some(5400)),
            (r#"{"ttl":"3d"}"#, Some(259_200)),
            (r#"{"ttl":-5}"#, Some(-5)),
            (r#"{"ttl":"100ms"}"#, Some(0)),
            (r#"{"ttl":"1500ms"}"#, Some(1)),
            (r#"{"ttl":""}"#, Some(0)),
            (r#"{"ttl":null}"#, Some(0)),
            (r#"{"lease":"5m","x":1}"#, Some(300)),
            (r#"{"lease":"7","ttl":"9"}"#, Some(9)),
            (r#"{"lease":"7","ttl":"bad"}"#, None),
            (r#"{"ttl":"5.5"}"#, None),
            (r#"{"ttl":5.7}"#, None),
            (r#"{"ttl":true}"#, None),
            (r#"{"ttl":[1]}"#, None),
            (r#"{"ttl":"99999999999999999999"}"#, None),
            (r#"{"x":{"ttl":5}}"#, None),
        ] {
            assert_eq!(lifetime(data.as_bytes()), secs, "{data}");
        }
    }
}
