//! `sys/…`: mounts, login methods, policies, capabilities, seal, rotate.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_core::{Mount, MountEnable, MountKind, Operation, RotateKey};
use serde::Serialize;

use super::{
    call::{Failure, Outcome, Params, VaultCall, Verb, done},
    envelope::Envelope,
    lenient::Fields,
};

/// Answers below `sys/`.
pub(crate) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    match (rest, call.verb) {
        ("mounts", Verb::Read) => mount_list(call, Family::Engines).await,
        ("auth", Verb::Read) => mount_list(call, Family::Logins).await,
        ("policies/acl/", Verb::List) => policy_list(call, "sys/policies/acl/").await,
        ("policy/", Verb::List) | ("policy", Verb::Read) => policy_list(call, "sys/policy/").await,
        ("capabilities-self", Verb::Write) => capabilities_self(call).await,
        ("rotate", Verb::Write) => {
            call.caller.rotate(RotateKey::Barrier).await?;
            Ok(done())
        }
        ("locked-users", Verb::Read) => locked_users(call).await,
        (
            "mounts" | "auth" | "policies/acl" | "policy" | "capabilities-self" | "seal" | "rotate" | "locked-users",
            _,
        ) => Err(Failure::unsupported_operation()),
        _ => named(call, rest).await,
    }
}

/// What lies below one of the areas.
async fn named(call: &mut VaultCall, rest: &str) -> Outcome {
    if let Some(path) = rest.strip_prefix("mounts/") {
        return mount(call, Family::Engines, path).await;
    }
    if let Some(path) = rest.strip_prefix("auth/") {
        return mount(call, Family::Logins, path).await;
    }
    if let Some(name) = rest.strip_prefix("policies/acl/").filter(|name| is_name(name)) {
        return policy(call, "sys/policies/acl/", name).await;
    }
    if let Some(name) = rest.strip_prefix("policy/").filter(|name| is_name(name)) {
        return policy(call, "sys/policy/", name).await;
    }
    if let Some((accessor, name)) = rest.strip_prefix("locked-users/").and_then(|rest| rest.split_once("/unlock/"))
        && is_name(name)
    {
        return unlock(call, accessor, name).await;
    }
    match (rest.strip_prefix("internal/ui/mounts/"), call.verb) {
        (Some(path), Verb::Read) if !path.is_empty() => preflight(call, path).await,
        _ => Err(Failure::unsupported_path()),
    }
}

/// Engines or login methods.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Family {
    Engines,
    Logins,
}

impl Family {
    /// The mount's path as clients of this family see it; `None` for a mount of the other.
    fn shown(self, mount: &Mount) -> Option<&str> {
        match (self, mount.path.strip_prefix("auth/")) {
            (Self::Engines, None) => Some(&mount.path),
            (Self::Logins, login) => login,
            (Self::Engines, Some(_)) => None,
        }
    }

    fn mount_path(self, path: &str) -> String {
        let path = path.trim_end_matches('/');
        match self {
            Self::Engines => format!("{path}/"),
            Self::Logins => format!("auth/{path}/"),
        }
    }
}

async fn mount_list(call: &mut VaultCall, family: Family) -> Outcome {
    let mounts = call.caller.mount_list(&call.path).await?;
    let entries: BTreeMap<&str, Entry<'_>> =
        mounts.iter().filter_map(|mount| Some((family.shown(mount)?, Entry::of(mount)))).collect();
    Ok(call.envelope(Envelope::data(&entries).injected()))
}

async fn mount(call: &mut VaultCall, family: Family, path: &str) -> Outcome {
    // Tuning comes with a later release.
    if path.is_empty() || path.ends_with("/tune") {
        return Err(Failure::unsupported_path());
    }
    match call.verb {
        Verb::Read => mount_read(call, family, path).await,
        Verb::Write => mount_enable(call, family, path).await,
        Verb::Delete => {
            call.caller.mount_disable(&family.mount_path(path)).await?;
            Ok(done())
        }
        Verb::List | Verb::Scan => Err(Failure::unsupported_path()),
        Verb::Patch => Err(Failure::unsupported_operation()),
    }
}

async fn mount_read(call: &mut VaultCall, family: Family, path: &str) -> Outcome {
    let mounts = call.caller.mount_list(&call.path).await?;
    let wanted = family.mount_path(path);
    match mounts.iter().find(|mount| mount.path == wanted) {
        Some(mount) => Ok(call.envelope(Envelope::data(&Entry::of(mount)).injected())),
        None => {
            let what = match family {
                Family::Engines => "secret engine mount",
                Family::Logins => "auth engine",
            };
            Err(Failure::Recorded(coffer_core::Error::invalid(format!("No {what} at {}/", path.trim_end_matches('/')))))
        }
    }
}

async fn mount_enable(call: &mut VaultCall, family: Family, path: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let mut options = fields.map("options")?.unwrap_or_default();
    let kind = kind(family, &fields, &mut options)?;
    let config = fields.object("config")?;
    let ttl = |field: &'static str| -> Result<u64, Failure> {
        let duration = match &config {
            Some(config) => config.duration(field)?,
            None => None,
        };
        duration
            .unwrap_or_default()
            .whole_secs()
            .ok_or_else(|| Failure::invalid(format!("{field} must not be negative")))
    };
    let request = MountEnable {
        description: fields.text("description")?.map(|text| text.to_string()).unwrap_or_default(),
        options,
        default_lease_ttl: ttl("default_lease_ttl")?,
        max_lease_ttl: ttl("max_lease_ttl")?,
    };
    call.caller.mount_enable(&family.mount_path(path), kind, request, &fields).await?;
    Ok(done())
}

fn kind(family: Family, fields: &Fields<'_>, options: &mut BTreeMap<String, String>) -> Result<MountKind, Failure> {
    let plugin = fields.text("plugin_name")?;
    let kind = match fields.text("type")? {
        Some(kind) if kind.as_str() == "plugin" => plugin,
        kind => kind,
    };
    let kind = kind.filter(|kind| !kind.is_empty());
    let Some(kind) = kind else { return Err(Failure::invalid("backend type must be specified as a string")) };
    let version = options.remove("version").unwrap_or_default();
    match (family, kind.as_str(), version.as_str()) {
        (Family::Engines, "kv-v2", "" | "2") | (Family::Engines, "kv", "2") => Ok(MountKind::KvV2),
        (Family::Engines, "kv" | "kv-v1" | "kv-v2" | "generic", _) => {
            Err(Failure::invalid("only version 2 of the kv engine is supported: set options.version to \"2\""))
        }
        (Family::Logins, "approle", _) => Ok(MountKind::Approle),
        (Family::Logins, "userpass", _) => Ok(MountKind::Userpass),
        (Family::Logins, "token", _) => Err(Failure::invalid("token credential backend cannot be instantiated")),
        (Family::Engines | Family::Logins, kind, _) => {
            let shown: String = kind.chars().take(100).collect();
            Err(Failure::invalid(format!("plugin not found in the catalog: {shown}")))
        }
    }
}

async fn preflight(call: &mut VaultCall, path: &str) -> Outcome {
    #[derive(Serialize)]
    struct Found<'a> {
        path: &'a str,
        #[serde(flatten)]
        entry: Entry<'a>,
    }
    let mount = call.caller.mount_preflight(path).await?;
    let shown = mount.path.strip_prefix("auth/").unwrap_or(&mount.path);
    Ok(call.data(&Found { path: shown, entry: Entry::of(&mount) }))
}

async fn policy_list(call: &mut VaultCall, path: &str) -> Outcome {
    #[derive(Serialize)]
    struct Both<'a> {
        keys: &'a [String],
        policies: &'a [String],
    }
    let operation = call.verb.operation();
    let asked = if operation == Operation::Read { "sys/policy" } else { path };
    let page = call.page().await?;
    let names = call.caller.policy_list(operation, asked, &page.after, page.limit()).await?.items;
    if path == "sys/policies/acl/" {
        return call.keys(names);
    }
    Ok(call.envelope(Envelope::data(&Both { keys: &names, policies: &names }).injected()))
}

async fn policy(call: &mut VaultCall, family: &str, name: &str) -> Outcome {
    match call.verb {
        Verb::Read => policy_read(call, family, name).await,
        Verb::Write => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let text = policy_text(&fields)?;
            call.caller.policy_write(name, family, &text, &fields).await?;
            Ok(done())
        }
        Verb::Delete => {
            call.caller.policy_delete(name, family).await?;
            Ok(done())
        }
        Verb::List | Verb::Patch | Verb::Scan => Err(Failure::unsupported_operation()),
    }
}

async fn policy_read(call: &mut VaultCall, family: &str, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Acl<'a> {
        name: &'a str,
        policy: &'a str,
    }
    #[derive(Serialize)]
    struct Legacy<'a> {
        name: &'a str,
        rules: &'a str,
    }
    let found = call.caller.policy_read(name, family).await?;
    let (name, text) = (found.name.as_str(), found.policy.as_str());
    Ok(match family {
        "sys/policy/" => call.envelope(Envelope::data(&Legacy { name, rules: text }).injected()),
        _ => call.data(&Acl { name, policy: text }),
    })
}

/// The text of a policy, which may come in base64. The old spelling of the field is `rules`.
fn policy_text(fields: &Fields<'_>) -> Result<String, Failure> {
    let sent = match fields.text("policy")?.filter(|text| !text.is_empty()) {
        Some(text) => Some(text),
        None => fields.text("rules")?,
    };
    let text = sent.filter(|text| !text.trim().is_empty());
    let text = text.ok_or_else(|| Failure::invalid("'policy' parameter not supplied or empty"))?;
    let decoded = STANDARD.decode(text.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    Ok(decoded.unwrap_or_else(|| text.to_string()))
}

async fn capabilities_self(call: &mut VaultCall) -> Outcome {
    let params: Params = call.params().await?;
    let fields = params.fields()?;
    let mut paths = fields.list("paths")?.unwrap_or_default();
    if paths.is_empty() {
        paths = fields.list("path")?.unwrap_or_default();
    }
    if paths.is_empty() {
        return Err(Failure::invalid("paths must be supplied"));
    }
    let found = call.caller.capabilities_self(&paths, &fields).await?;
    let mut shown: BTreeMap<&str, &[&'static str]> =
        found.iter().map(|(path, names)| (path.as_str(), names.as_slice())).collect();
    if let [(_, names)] = found.as_slice() {
        shown.insert("capabilities", names);
    }
    Ok(call.envelope(Envelope::data(&shown).injected()))
}

/// All locked names lie in the one namespace there is.
async fn locked_users(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Locked {
        by_namespace: Vec<Namespace>,
        total: usize,
    }
    #[derive(Serialize)]
    struct Namespace {
        namespace_id: &'static str,
        namespace_path: &'static str,
        counts: usize,
        mount_accessors: Vec<Accessor>,
    }
    #[derive(Serialize)]
    struct Accessor {
        mount_accessor: String,
        counts: usize,
        alias_identifiers: Vec<String>,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let accessor = fields.text("mount_accessor")?.filter(|accessor| !accessor.is_empty());
    let found = call.caller.locked_users(accessor.as_ref().map(|accessor| accessor.as_str()), &fields).await?;
    let total = found.iter().map(|of| of.names.len()).sum();
    let mount_accessors = found.into_iter().map(|of| Accessor {
        mount_accessor: of.accessor,
        counts: of.names.len(),
        alias_identifiers: of.names,
    });
    let namespace = Namespace {
        namespace_id: "root",
        namespace_path: "",
        counts: total,
        mount_accessors: mount_accessors.collect(),
    };
    let by_namespace = if total > 0 { vec![namespace] } else { Vec::new() };
    Ok(call.data(&Locked { by_namespace, total }))
}

async fn unlock(call: &mut VaultCall, accessor: &str, name: &str) -> Outcome {
    if call.verb != Verb::Write {
        return Err(Failure::unsupported_operation());
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    call.caller.user_unlock(accessor, name, &fields).await?;
    Ok(done())
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.ends_with('/')
}

/// A mount as clients know it.
#[derive(Serialize)]
struct Entry<'a> {
    accessor: &'a str,
    config: EntryConfig,
    deprecation_status: &'static str,
    description: &'a str,
    external_entropy_access: bool,
    local: bool,
    options: Option<&'a BTreeMap<String, String>>,
    plugin_version: &'static str,
    running_plugin_version: &'static str,
    running_sha256: &'static str,
    seal_wrap: bool,
    #[serde(rename = "type")]
    kind: &'static str,
    uuid: String,
}

#[derive(Serialize)]
struct EntryConfig {
    default_lease_ttl: u64,
    force_no_cache: bool,
    max_lease_ttl: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

impl<'a> Entry<'a> {
    fn of(mount: &'a Mount) -> Self {
        Self {
            accessor: &mount.accessor,
            config: EntryConfig {
                default_lease_ttl: mount.default_lease_ttl,
                force_no_cache: false,
                max_lease_ttl: mount.max_lease_ttl,
                token_type: mount.path.starts_with("auth/").then_some("default-service"),
            },
            deprecation_status: "supported",
            description: &mount.description,
            external_entropy_access: false,
            local: mount.kind == MountKind::Cubbyhole,
            options: Some(&mount.options).filter(|options| !options.is_empty()),
            plugin_version: "",
            running_plugin_version: "",
            running_sha256: "",
            seal_wrap: false,
            kind: mount.kind.name(),
            uuid: mount.id.to_string(),
        }
    }
}
