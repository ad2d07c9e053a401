//! `sys/mounts`, `sys/auth` and `sys/remount`: engines and login methods come, go, move, and are tuned.

use std::collections::BTreeMap;

use coffer_core::{Error, Listing, LoginTokenType, Mount, MountEnable, MountKind, MountTune, Tuned, Tuning};
use serde::Serialize;

use super::super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
    lenient::Fields,
};

/// Engines or login methods.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Family {
    Engines,
    Logins,
}

impl Family {
    /// The mount's path as clients of this family see it; `None` for a mount of the other.
    pub(super) fn shown(self, mount: &Mount) -> Option<&str> {
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

/// `sys/mounts` and `sys/auth`.
pub(super) async fn list(call: &mut VaultCall, family: Family) -> Outcome {
    let mounts = call.caller.mount_list(&call.path).await?;
    let entries: BTreeMap<&str, Entry<'_>> =
        mounts.iter().filter_map(|mount| Some((family.shown(mount)?, Entry::of(mount)))).collect();
    Ok(call.envelope(Envelope::data(&entries).injected()))
}

/// One mount, and its tuning.
pub(super) async fn answer(call: &mut VaultCall, family: Family, path: &str) -> Outcome {
    if path.is_empty() {
        return Err(Failure::unsupported_path());
    }
    if let Some(path) = path.trim_end_matches('/').strip_suffix("/tune").filter(|path| !path.is_empty()) {
        let path = family.mount_path(path);
        return match call.verb {
            Verb::Read => tune_read(call, &path).await,
            Verb::Write => tune(call, &path).await,
            Verb::Delete | Verb::List | Verb::Patch | Verb::Scan => Err(Failure::unsupported_operation()),
        };
    }
    // Login methods are read here as well, and neither come nor go.
    let other_family = family == Family::Engines && (path == "auth" || path.starts_with("auth/"));
    let path = family.mount_path(path);
    match call.verb {
        Verb::Read => {
            let mount = call.caller.mount_read(&call.path, &path, || absent(family, &path)).await?;
            Ok(call.envelope(Envelope::data(&Entry::of(&mount)).injected()))
        }
        Verb::Write if other_family => Err(Failure::invalid(format!("cannot mount {path:?}"))),
        Verb::Delete if other_family => Err(Failure::invalid(format!("cannot unmount {path:?}"))),
        Verb::Write => enable(call, family, &path).await,
        Verb::Delete => {
            call.caller.mount_disable_as(&call.path, &path).await?;
            Ok(done())
        }
        Verb::List | Verb::Patch | Verb::Scan => Err(Failure::unsupported_operation()),
    }
}

/// `sys/remount`: over when it is answered, so that the status that clients ask for next is always `success`.
pub(super) async fn remount(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Moved {
        migration_id: String,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let (from, to) = (fields.text("from")?, fields.text("to")?);
    let (Some(from), Some(to)) = (from.filter(|path| !path.is_empty()), to.filter(|path| !path.is_empty())) else {
        return Err(Failure::invalid("both 'from' and 'to' path must be specified as a string"));
    };
    let id = call.caller.mount_move(&from, &to, &fields).await?;
    let moved = Moved { migration_id: id.to_string() };
    let warning = "The mount has moved; policies name the paths that they named before.".to_owned();
    Ok(call.envelope(Envelope::data(&moved).injected().with_warnings(vec![warning])))
}

/// `sys/remount/status/<id>`.
pub(super) async fn remount_status(call: &mut VaultCall, id: &str) -> Outcome {
    #[derive(Serialize)]
    struct Status<'a> {
        migration_id: String,
        migration_info: Info<'a>,
    }
    #[derive(Serialize)]
    struct Info<'a> {
        source_mount: &'a str,
        target_mount: &'a str,
        status: &'static str,
    }
    if call.verb != Verb::Read {
        return Err(Failure::unsupported_operation());
    }
    let made = call.caller.mount_move_read(id).await?;
    let migration_info = Info { source_mount: &made.from, target_mount: &made.to, status: "success" };
    Ok(call.data(&Status { migration_id: made.id.to_string(), migration_info }))
}

async fn enable(call: &mut VaultCall, family: Family, path: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    // Left out, the options are an empty set; `null` is none.
    let mut options = match fields.raw("options") {
        None => Some(BTreeMap::new()),
        Some(_) => fields.map("options")?,
    };
    let kind = kind(family, &fields, &mut options)?;
    let config = fields.object("config")?.unwrap_or_default();
    if let Some(version) = config.given("plugin_version")? {
        select_version(kind, &version, Selected::ByEnabling)?;
    }
    let token_type = match family {
        // Means nothing there, and is not kept.
        Family::Engines => None,
        Family::Logins => token_type(&config)?,
    };
    let request = MountEnable {
        description: fields.text("description")?.map(|text| text.to_string()).unwrap_or_default(),
        options,
        default_lease_ttl: ttl(&config, "default_lease_ttl")?.unwrap_or_default(),
        max_lease_ttl: ttl(&config, "max_lease_ttl")?.unwrap_or_default(),
        tuning: Tuning {
            listing: listing(&config)?.unwrap_or_default(),
            token_type: token_type.unwrap_or_default(),
            force_no_cache: config.boolean("force_no_cache")?.unwrap_or_default(),
            audit_non_hmac_request_keys: config.list("audit_non_hmac_request_keys")?.unwrap_or_default(),
            audit_non_hmac_response_keys: config.list("audit_non_hmac_response_keys")?.unwrap_or_default(),
            passthrough_request_headers: config.list("passthrough_request_headers")?.unwrap_or_default(),
            allowed_response_headers: config.list("allowed_response_headers")?.unwrap_or_default(),
            local: fields.boolean("local")?.unwrap_or_default(),
            seal_wrap: fields.boolean("seal_wrap")?.unwrap_or_default(),
            external_entropy_access: fields.boolean("external_entropy_access")?.unwrap_or_default(),
        },
    };
    call.caller.mount_enable(path, kind, request, &fields).await?;
    Ok(done())
}

async fn tune_read(call: &mut VaultCall, path: &str) -> Outcome {
    let absent = || Error::invalid(format!("cannot fetch sysview for path {path:?}"));
    let mount = call.caller.mount_read(&call.path, path, absent).await?;
    let ttls = call.caller.lease_ttls(&mount);
    let shown = ShownTuning {
        description: &mount.description,
        options: mount.options.as_ref().filter(|options| !options.is_empty()),
        settings: Settings { default_lease_ttl: ttls.default, max_lease_ttl: ttls.max, ..Settings::of(&mount) },
    };
    Ok(call.envelope(Envelope::data(&shown).injected()))
}

async fn tune(call: &mut VaultCall, path: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    if let Some(version) = fields.text("plugin_version")?
        && let Some(mount) = call.caller.resolve(path)
    {
        select_version(mount.kind, &version, Selected::ByTuning)?;
    }
    let tune = MountTune {
        description: fields.text("description")?.map(|text| text.to_string()),
        options: fields.map("options")?,
        default_lease_ttl: ttl(&fields, "default_lease_ttl")?,
        max_lease_ttl: ttl(&fields, "max_lease_ttl")?,
        listing: listing(&fields)?,
        token_type: token_type(&fields)?,
        audit_non_hmac_request_keys: fields.list("audit_non_hmac_request_keys")?,
        audit_non_hmac_response_keys: fields.list("audit_non_hmac_response_keys")?,
        passthrough_request_headers: fields.list("passthrough_request_headers")?,
        allowed_response_headers: fields.list("allowed_response_headers")?,
    };
    match call.caller.mount_tune(&call.path, path, tune, &fields).await? {
        Tuned::Settings => Ok(done()),
        Tuned::Versioned => Ok(call.envelope(Envelope::warning(
            "Upgraded mount from version 1 to version 2. Its keys are read and written below data/ from now on.",
        ))),
    }
}

/// The kind of a type's name, and for the KV engine of its version, which `options` then name.
fn kind(
    family: Family,
    fields: &Fields<'_>,
    options: &mut Option<BTreeMap<String, String>>,
) -> Result<MountKind, Failure> {
    let plugin = fields.text("plugin_name")?;
    let kind = match fields.text("type")? {
        Some(kind) if kind.as_str() == "plugin" => plugin,
        kind => kind,
    };
    let kind = kind.filter(|kind| !kind.is_empty());
    let Some(kind) = kind else { return Err(Failure::invalid("backend type must be specified as a string")) };
    let version = options.as_ref().and_then(|options| options.get("version")).map_or("", String::as_str);
    match (family, kind.as_str(), version) {
        (Family::Engines, "kv", "" | "1") => Ok(MountKind::KvV1),
        (Family::Engines, "kv", "2") | (Family::Engines, "kv-v2", _) => Ok(MountKind::KvV2),
        (Family::Engines, "kv-v1", _) => {
            options.get_or_insert_default().insert("version".to_owned(), "1".to_owned());
            Ok(MountKind::KvV1)
        }
        (Family::Engines, "kv", _) => {
            Err(Failure::invalid("the kv engine has the versions 1 and 2: set options.version to one of them"))
        }
        (Family::Engines, "generic", "") => Ok(MountKind::Generic),
        (Family::Engines, "transit", "") => Ok(MountKind::Transit),
        (Family::Engines, kind @ ("generic" | "transit"), _) => {
            Err(Failure::invalid(format!("secrets engine {kind:?} does not allow setting a version")))
        }
        (Family::Engines, kind @ ("cubbyhole" | "identity" | "system"), _) => {
            Err(Failure::invalid(format!("mount type of {kind:?} is not mountable")))
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

/// What asks for a version of an engine.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Selected {
    ByEnabling,
    ByTuning,
}

/// Every engine is built in: there is the running version, and none to choose from.
fn select_version(kind: MountKind, version: &str, selected: Selected) -> Result<(), Failure> {
    if version == RUNNING {
        return Ok(());
    }
    let shown: String = version.chars().take(100).collect();
    let Some(full) = full_version(&shown) else {
        let message = format!("version {shown:?} is not a valid semantic version: malformed version: {shown}");
        return Err(Failure::invalid(message));
    };
    let is_kv = matches!(kind, MountKind::Generic | MountKind::KvV1 | MountKind::KvV2);
    if is_kv && selected == Selected::ByEnabling {
        return Err(Failure::invalid("cannot select non-builtin version of secrets plugin kv"));
    }
    let name = if is_kv { "kv" } else { kind.name() };
    Err(Failure::invalid(format!("plugin not found in the catalog: {name}, version={full}")))
}

/// A version as `v1.2.3-a+b`, where it is one: its numbers are filled up to three.
fn full_version(version: &str) -> Option<String> {
    let plain = version.strip_prefix('v').unwrap_or(version);
    let (numbers, rest) = plain.split_at(plain.find(['-', '+']).unwrap_or(plain.len()));
    let mut numbers: Vec<u64> = numbers.split('.').map(|number| number.parse().ok()).collect::<Option<_>>()?;
    numbers.resize(numbers.len().max(3), 0);
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    Some(format!("v{}{rest}", numbers.join(".")))
}

/// Seconds; `system` stands for 0, the system's.
fn ttl(fields: &Fields<'_>, field: &'static str) -> Result<Option<i64>, Failure> {
    if fields.text(field)?.is_some_and(|text| text.as_str() == "system") {
        return Ok(Some(0));
    }
    let Some(duration) = fields.duration(field)? else { return Ok(None) };
    Ok(Some(duration.signed_secs()))
}

fn listing(fields: &Fields<'_>) -> Result<Option<Listing>, Failure> {
    let Some(name) = fields.text("listing_visibility")? else { return Ok(None) };
    let shown = || name.chars().take(100).collect::<String>();
    Listing::parse(&name).map(Some).ok_or_else(|| Failure::invalid(format!("invalid listing_visibility {}", shown())))
}

fn token_type(fields: &Fields<'_>) -> Result<Option<LoginTokenType>, Failure> {
    let Some(name) = fields.text("token_type")? else { return Ok(None) };
    LoginTokenType::parse(&name).map(Some).ok_or_else(|| Failure::invalid("invalid value for 'token_type'"))
}

fn absent(family: Family, path: &str) -> Error {
    match family {
        Family::Engines => Error::invalid(format!("No secret engine mount at {path}")),
        Family::Logins => Error::invalid(format!("No auth engine at {}", path.strip_prefix("auth/").unwrap_or(path))),
    }
}

/// A mount as clients know it.
#[derive(Serialize)]
pub(super) struct Entry<'a> {
    accessor: &'a str,
    config: Settings<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deprecation_status: Option<&'static str>,
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

/// What is tuned of a mount. What is empty is left out.
#[derive(Serialize)]
struct Settings<'a> {
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    allowed_response_headers: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audit_non_hmac_request_keys: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    audit_non_hmac_response_keys: &'a [String],
    default_lease_ttl: i64,
    force_no_cache: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    listing_visibility: &'static str,
    max_lease_ttl: i64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    passthrough_request_headers: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    token_type: Option<&'static str>,
}

#[derive(Serialize)]
struct ShownTuning<'a> {
    description: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<&'a BTreeMap<String, String>>,
    #[serde(flatten)]
    settings: Settings<'a>,
}

impl<'a> Entry<'a> {
    pub(super) fn of(mount: &'a Mount) -> Self {
        Self {
            accessor: &mount.accessor,
            config: Settings::of(mount),
            deprecation_status: deprecation_status(mount.kind),
            description: &mount.description,
            external_entropy_access: mount.tuning.external_entropy_access,
            local: mount.tuning.local,
            options: mount.options.as_ref(),
            plugin_version: "",
            running_plugin_version: RUNNING,
            running_sha256: "",
            seal_wrap: mount.tuning.seal_wrap,
            kind: mount.kind.name(),
            uuid: mount.id.to_string(),
        }
    }
}

impl<'a> Settings<'a> {
    fn of(mount: &'a Mount) -> Self {
        let tuning = &mount.tuning;
        Self {
            allowed_response_headers: &tuning.allowed_response_headers,
            audit_non_hmac_request_keys: &tuning.audit_non_hmac_request_keys,
            audit_non_hmac_response_keys: &tuning.audit_non_hmac_response_keys,
            default_lease_ttl: mount.default_lease_ttl,
            force_no_cache: tuning.force_no_cache,
            listing_visibility: tuning.listing.name(),
            max_lease_ttl: mount.max_lease_ttl,
            passthrough_request_headers: &tuning.passthrough_request_headers,
            token_type: mount.path.starts_with("auth/").then(|| tuning.token_type.name()),
        }
    }
}

/// What can be chosen has one; what is always there has none.
fn deprecation_status(kind: MountKind) -> Option<&'static str> {
    match kind {
        MountKind::Approle | MountKind::KvV1 | MountKind::KvV2 | MountKind::Transit | MountKind::Userpass => {
            Some("supported")
        }
        MountKind::Cubbyhole | MountKind::Generic | MountKind::Identity | MountKind::System | MountKind::Token => None,
    }
}

/// Every engine is part of the program.
const RUNNING: &str = concat!("v", env!("CARGO_PKG_VERSION"), "+builtin.coffer");
