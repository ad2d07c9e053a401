//! KV v2 below its mount: `data`, `metadata`, `delete`, `undelete`, `destroy`, `subkeys`, `config`.

use std::collections::BTreeMap;

use axum::response::Response;
use coffer_api::Code;
use coffer_core::{Error, KvMetadata, KvPatched, KvReach, KvRead, KvWrite, MetadataWrite, Mount};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::{self, Envelope},
    lenient::{Fields, GoDuration},
};
use crate::error::{self, Success};

/// Answers below a KV v2 mount.
pub(crate) async fn answer(call: &mut VaultCall, mount: &Mount, rest: &str) -> Outcome {
    let (area, path) = rest.split_once('/').unwrap_or((rest, ""));
    if path.len() > 1 && path.ends_with('/') && call.verb == Verb::Read {
        return Box::pin(read_with_slash(call, mount, area, path)).await;
    }
    match (area, call.verb) {
        ("data", Verb::Read) if !path.is_empty() => read(call, mount, path).await,
        _ => Box::pin(answer_other(call, mount, rest)).await,
    }
}

/// All but the read of data.
async fn answer_other(call: &mut VaultCall, mount: &Mount, rest: &str) -> Outcome {
    let (area, path) = rest.split_once('/').unwrap_or((rest, ""));
    match (area, call.verb) {
        ("data" | "metadata" | "delete" | "undelete" | "destroy", _) if rest == area => warned(call, AT_ROOT).await,
        ("subkeys" | "detailed-metadata", _) if rest == area => wrong_dialect(call).await,
        ("data", Verb::Write) => write(call, mount, path).await,
        ("data", Verb::Patch) => patch(call, mount, path).await,
        ("data", Verb::Delete) => {
            call.caller.kv_delete(mount, path).await?;
            Ok(done())
        }
        ("metadata", Verb::List | Verb::Scan) => list(call, mount, path).await,
        ("detailed-metadata", Verb::List | Verb::Scan) => list_detailed(call, mount, path).await,
        ("metadata", Verb::Read) if !path.is_empty() => metadata_read(call, mount, path).await,
        ("metadata", Verb::Write | Verb::Patch) => metadata_write(call, mount, path).await,
        ("metadata", Verb::Delete) => {
            call.caller.kv_metadata_delete(mount, path).await?;
            Ok(done())
        }
        ("delete", Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let versions = versions(&fields, "No version number provided")?;
            call.caller.kv_delete_versions(mount, path, &versions, &fields).await?;
            Ok(done())
        }
        ("undelete", Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let versions = versions(&fields, "No version number provided")?;
            call.caller.kv_undelete(mount, path, &versions, &fields).await?;
            Ok(done())
        }
        ("destroy", Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let versions = versions(&fields, "no version number provided")?;
            call.caller.kv_destroy(mount, path, &versions, &fields).await?;
            Ok(done())
        }
        ("subkeys", Verb::Read) if !path.is_empty() => subkeys(call, mount, path).await,
        ("config", Verb::Read) if rest == "config" => config_read(call, mount).await,
        ("config", Verb::Write) if rest == "config" => config_write(call, mount).await,
        ("data" | "metadata" | "subkeys", Verb::Read) => Err(Failure::Request(Error::not_found())),
        ("data" | "detailed-metadata" | "delete" | "undelete" | "destroy" | "subkeys", _) => {
            Err(Failure::unsupported_operation())
        }
        ("config", _) if rest == "config" => Err(Failure::unsupported_operation()),
        _ => wrong_dialect(call).await,
    }
}

/// What ends in a slash can be listed and nothing else.
async fn read_with_slash(call: &mut VaultCall, mount: &Mount, area: &str, path: &str) -> Outcome {
    if matches!(area, "data" | "subkeys") && call.caller.kv_read_with_slash(mount, area, path).await? {
        return Err(Failure::Recorded(Error::invalid("1 error occurred:\n\t* could not find version data\n\n")));
    }
    Err(Failure::Request(Error::not_found()))
}

async fn list(call: &mut VaultCall, mount: &Mount, directory: &str) -> Outcome {
    if call.verb == Verb::Scan {
        let reach = KvReach::Below { limit: call.page().await?.limit };
        let keys = call.caller.kv_list(mount, directory, reach).await?;
        return Ok(call.data(&Scanned { keys: &keys }));
    }
    let page = call.page().await?;
    let reach = KvReach::Level { after: &page.after, limit: page.limit };
    let names = call.caller.kv_list(mount, directory, reach).await?;
    call.keys(names)
}

async fn list_detailed(call: &mut VaultCall, mount: &Mount, directory: &str) -> Outcome {
    let described = match call.verb {
        Verb::Scan => {
            let reach = KvReach::Below { limit: call.page().await?.limit };
            call.caller.kv_list_detailed(mount, directory, reach).await?
        }
        Verb::Delete | Verb::List | Verb::Patch | Verb::Read | Verb::Write => {
            let page = call.page().await?;
            let reach = KvReach::Level { after: &page.after, limit: page.limit };
            call.caller.kv_list_detailed(mount, directory, reach).await?
        }
    };
    if described.is_empty() && call.verb == Verb::List {
        return Err(Failure::Recorded(Error::not_found()));
    }
    let keys: Vec<String> = described.iter().map(|(name, _)| name.clone()).collect();
    let of = |(name, metadata): &'_ (String, Option<KvMetadata>)| {
        let shown = metadata.as_ref().map(|metadata| serde_json::to_value(ShownMetadata::of(metadata)));
        (name.clone(), shown.and_then(Result::ok).unwrap_or_else(|| serde_json::json!({})))
    };
    let key_info: BTreeMap<String, serde_json::Value> = described.iter().map(of).collect();
    Ok(call.data(&Detailed { keys, key_info }))
}

/// The hot path: nothing of the stored JSON is parsed, and one buffer holds the reply.
async fn read(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    let version = match call.parts.uri.query() {
        None | Some("") => None,
        Some(_) => call.params().await?.fields()?.integer("version")?,
    };
    let read = call.caller.kv_read(mount, path, version).await?;
    Ok(answer_read(call, &read))
}

fn answer_read(call: &VaultCall, read: &KvRead) -> Response {
    let (metadata, data) = (read.metadata(), read.data());
    let size = metadata.len() + data.map_or(4, <[u8]>::len) + 32;
    let body = envelope::spliced(call.id, size, |out| {
        out.extend_from_slice(br#"{"data":"#);
        out.extend_from_slice(data.unwrap_or(b"null"));
        out.extend_from_slice(br#","metadata":"#);
        out.extend_from_slice(metadata);
        out.push(b'}');
    });
    let status = match data {
        Some(_) => error::success(Success::Body),
        None => error::absent_with_body(),
    };
    error::respond(status, error::JSON, body)
}

async fn write(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let data = data(&fields)?;
    let options = options(&fields)?;
    let write = KvWrite { data, cas: options.cas, shred: options.shred };
    let metadata = call.caller.kv_write(mount, path, write, &fields).await?;
    Ok(spliced(call, &metadata))
}

async fn patch(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let data = data(&fields)?;
    let cas = options(&fields)?.cas;
    match call.caller.kv_patch(mount, path, data, cas, &fields).await {
        Ok(KvPatched::Written(metadata)) => Ok(spliced(call, &metadata)),
        Ok(KvPatched::Gone(metadata)) => {
            let body = envelope::spliced(call.id, metadata.len(), |out| out.extend_from_slice(&metadata));
            Ok(error::respond(error::absent_with_body(), error::JSON, body))
        }
        Ok(KvPatched::Absent) => Ok(error::vault_nothing_to_patch()),
        Err(error) => Err(error.into()),
    }
}

async fn metadata_read(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    let metadata = call.caller.kv_metadata_read(mount, path).await?;
    Ok(call.data(&ShownMetadata::of(&metadata)))
}

async fn metadata_write(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let max_versions = max_versions(&fields)?;
    let mut write = MetadataWrite {
        max_versions,
        cas_required: fields.boolean("cas_required")?,
        metadata_cas_required: fields.boolean("metadata_cas_required")?,
        metadata_cas: fields.integer("metadata_cas")?.map(unsigned),
        delete_version_after_ms: fields.duration("delete_version_after")?.map(milliseconds),
        ..MetadataWrite::default()
    };
    // Null removes all pairs, in a PATCH too.
    if fields.raw("custom_metadata").is_some_and(|raw| raw.get() == "null") {
        write.custom_metadata = Some(BTreeMap::new());
    }
    if call.verb == Verb::Write {
        write.custom_metadata = fields.map("custom_metadata")?.or(write.custom_metadata);
        call.caller.kv_metadata_write(mount, path, write, &fields).await?;
        return Ok(done());
    }
    write.custom_metadata_merge = merge(&fields)?;
    match call.caller.kv_metadata_patch(mount, path, write, &fields).await {
        Ok(()) => Ok(done()),
        Err(error) if error.code() == Code::NotFound => Ok(error::vault_nothing_to_patch()),
        Err(error) => Err(error.into()),
    }
}

async fn subkeys(call: &mut VaultCall, mount: &Mount, path: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let version = fields.integer("version")?;
    let depth = match fields.integer("depth")?.map(u64::try_from) {
        Some(Err(_)) => return Err(Failure::invalid("depth must not be negative")),
        Some(Ok(depth)) => depth,
        None => 0,
    };
    let (metadata, subkeys) = call.caller.kv_subkeys(mount, path, version, depth).await?;
    let status = match subkeys {
        Some(_) => error::success(Success::Body),
        None => error::absent_with_body(),
    };
    let shown = ShownSubkeys { metadata: raw(&metadata)?, subkeys };
    Ok(call.envelope_as(status, Envelope::data(&shown)))
}

async fn config_read(call: &mut VaultCall, mount: &Mount) -> Outcome {
    #[derive(Serialize)]
    struct Config {
        cas_required: bool,
        delete_version_after: String,
        max_versions: u64,
        metadata_cas_required: bool,
    }
    let config = call.caller.kv_config_read(mount).await?;
    Ok(call.data(&Config {
        cas_required: config.cas_required,
        delete_version_after: go_text(config.delete_version_after_ms),
        max_versions: config.max_versions,
        metadata_cas_required: config.metadata_cas_required,
    }))
}

/// How many versions are to be kept, where that is said.
fn max_versions(fields: &Fields<'_>) -> Result<Option<u64>, Failure> {
    let given = fields.integer("max_versions")?.map(u64::try_from).transpose();
    given.map_err(|_| Failure::invalid("max_versions must not be negative"))
}

async fn config_write(call: &mut VaultCall, mount: &Mount) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let cas_required = fields.boolean("cas_required")?;
    let metadata_cas_required = fields.boolean("metadata_cas_required")?;
    let delete_after = fields.duration("delete_version_after")?.map(milliseconds);
    let max_versions = max_versions(&fields)?;
    let change = |config: &mut coffer_core::KvConfig| {
        config.cas_required = cas_required.unwrap_or(config.cas_required);
        config.metadata_cas_required = metadata_cas_required.unwrap_or(config.metadata_cas_required);
        config.delete_version_after_ms = delete_after.unwrap_or(config.delete_version_after_ms);
        config.max_versions = max_versions.unwrap_or(config.max_versions);
        Ok(())
    };
    call.caller.kv_config_write(mount, &fields, change).await?;
    Ok(done())
}

/// A path as in KV v1: answered with the warning that clients show their users.
async fn wrong_dialect(call: &mut VaultCall) -> Outcome {
    let verb = match call.verb {
        Verb::List => "list",
        Verb::Scan => "scan",
        Verb::Read => "get",
        Verb::Delete => "delete",
        Verb::Patch => "patch",
        Verb::Write => "put",
    };
    let warning = format!(
        "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API endpoints to use. \
         If using the Vault CLI, use 'vault kv {verb}' for this operation."
    );
    warned(call, &warning).await
}

/// Absent, with a warning that says why.
async fn warned(call: &mut VaultCall, warning: &str) -> Outcome {
    let refused = call.caller.refuse(call.verb.operation(), &call.path, Error::not_found()).await;
    if refused.code() != Code::NotFound {
        return Err(refused.into());
    }
    Ok(call.envelope_as(error::absent_with_body(), Envelope::warning(warning)))
}

/// `{"data": metadata}`, the metadata as the core wrote it.
fn spliced(call: &VaultCall, metadata: &[u8]) -> Response {
    let body = envelope::spliced(call.id, metadata.len(), |out| out.extend_from_slice(metadata));
    error::respond(error::success(Success::Body), error::JSON, body)
}

/// The value of a write: an object, or null.
fn data<'a>(fields: &Fields<'a>) -> Result<&'a RawValue, Failure> {
    let raw = fields.raw("data").ok_or_else(|| Failure::invalid("no data provided"))?;
    if raw.get().starts_with('{') || raw.get() == "null" {
        return Ok(raw);
    }
    Err(Failure::invalid("error converting input for field \"data\": expected type 'map[string]interface {}'"))
}

struct Options {
    cas: Option<u64>,
    shred: Option<bool>,
}

fn options(fields: &Fields<'_>) -> Result<Options, Failure> {
    let Some(options) = fields.object("options")? else { return Ok(Options { cas: None, shred: None }) };
    let cas = options.integer("cas").map_err(|_| Failure::invalid("error parsing check-and-set parameter"))?;
    let cas = cas.map(unsigned);
    Ok(Options { cas, shred: options.boolean("shred")? })
}

/// A negative number matches no version, and neither does the highest.
fn unsigned(cas: i64) -> u64 {
    u64::try_from(cas).unwrap_or(u64::MAX)
}

fn versions(fields: &Fields<'_>, missing: &'static str) -> Result<Vec<u64>, Failure> {
    fields.integers("versions")?.filter(|versions| !versions.is_empty()).ok_or_else(|| Failure::invalid(missing))
}

/// `custom_metadata` of a PATCH: null removes a pair.
fn merge(fields: &Fields<'_>) -> Result<Option<BTreeMap<String, Option<String>>>, Failure> {
    let Some(pairs) = fields.object("custom_metadata")? else { return Ok(None) };
    let texts = fields.map("custom_metadata")?.unwrap_or_default();
    let merged = texts.into_iter().map(|(key, text)| {
        let removed = pairs.raw(&key).is_none_or(|raw| raw.get() == "null");
        (key, (!removed).then_some(text))
    });
    Ok(Some(merged.collect()))
}

/// JSON that the core wrote.
fn raw(json: &[u8]) -> Result<&RawValue, Error> {
    serde_json::from_slice(json).map_err(Error::internal)
}

/// A scan that finds nothing is answered all the same, without the key.
#[derive(Serialize)]
struct Scanned<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    keys: &'a [String],
}

#[derive(Serialize)]
struct Detailed {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    keys: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    key_info: BTreeMap<String, serde_json::Value>,
}

#[derive(Serialize)]
struct ShownSubkeys<'a> {
    metadata: &'a RawValue,
    subkeys: Option<serde_json::Value>,
}

#[derive(Serialize)]
struct ShownMetadata<'a> {
    cas_required: bool,
    created_time: &'a str,
    current_metadata_version: u64,
    current_version: u64,
    custom_metadata: Option<&'a BTreeMap<String, String>>,
    delete_version_after: String,
    max_versions: u64,
    metadata_cas_required: bool,
    oldest_version: u64,
    updated_time: &'a str,
    versions: BTreeMap<u64, ShownVersion<'a>>,
}

#[derive(Serialize)]
struct ShownVersion<'a> {
    created_time: &'a str,
    deletion_time: &'a str,
    destroyed: bool,
}

impl<'a> ShownMetadata<'a> {
    fn of(metadata: &'a KvMetadata) -> Self {
        Self {
            cas_required: metadata.cas_required,
            created_time: &metadata.created_time,
            current_metadata_version: metadata.current_metadata_version,
            current_version: metadata.current_version,
            custom_metadata: metadata.custom_metadata.as_ref(),
            delete_version_after: go_text(metadata.delete_version_after_ms),
            max_versions: metadata.max_versions,
            metadata_cas_required: metadata.metadata_cas_required,
            oldest_version: metadata.oldest_version,
            updated_time: &metadata.updated_time,
            versions: metadata
                .versions
                .iter()
                .map(|version| {
                    let shown = ShownVersion {
                        created_time: &version.created_time,
                        deletion_time: &version.deletion_time,
                        destroyed: version.destroyed,
                    };
                    (version.version, shown)
                })
                .collect(),
        }
    }
}

const AT_ROOT: &str = "Non-listing operations on the root of a K/V v2 mount are not supported.";

fn milliseconds(duration: GoDuration) -> i64 {
    duration.nanos() / 1_000_000
}

fn go_text(milliseconds: i64) -> String {
    GoDuration::from_nanos(milliseconds.saturating_mul(1_000_000)).to_string()
}
