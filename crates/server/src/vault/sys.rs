//! `sys/…`: what lies where, and rotation and locked users.

mod audit;
mod config;
mod host;
mod mounts;
mod passwords;
mod policies;
mod rotation;
mod visible;

use coffer_core::{LockedUsers, RotateKey};
use serde::Serialize;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    capabilities,
    leases::Leases,
    root_token, rotate,
    tools::{self, Tools},
    wrapping,
};

pub(crate) use visible::{UI_MOUNTS, anonymous};

/// Answers below `sys/`.
pub(crate) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    if let Some(rest) = rest.strip_prefix("policies/acl") {
        return policies::answer(call, policies::Family::Acl, rest).await;
    }
    if let Some(rest) = rest.strip_prefix("policies/password") {
        return passwords::answer(call, rest).await;
    }
    if let Some(rest) = rest.strip_prefix("config/") {
        return config::answer(call, rest).await;
    }
    if let Some(rest) = rest.strip_prefix("policy") {
        return policies::answer(call, policies::Family::Legacy, rest).await;
    }
    if let Some(rest) = rest.strip_prefix("internal/ui/") {
        return visible::answer(call, rest).await;
    }
    if let Some(rest) = rest.strip_prefix("tools/") {
        return tools::answer(call, Tools::System, rest).await;
    }
    match (rest, call.verb) {
        ("capabilities" | "capabilities-accessor" | "capabilities-self", Verb::Write) => {
            capabilities::answer(call, rest).await
        }
        ("audit", Verb::Read) => audit::list(call).await,
        ("host-info", Verb::Read) => host::info(call).await,
        ("in-flight-req", Verb::Read) => host::in_flight(call).await,
        ("key-status", Verb::Read) => rotation::key_status(call).await,
        ("rotate/config" | "rotate/keyring/config", Verb::Read) => rotation::config(call).await,
        ("rotate/config" | "rotate/keyring/config", Verb::Write) => Err(rotation::fixed()),
        ("version-history/", Verb::List) => host::versions(call).await,
        ("mounts", Verb::Read) => mounts::list(call, mounts::Family::Engines).await,
        ("auth", Verb::Read) => mounts::list(call, mounts::Family::Logins).await,
        ("remount", Verb::Write) => mounts::remount(call).await,
        ("rotate" | "rotate/keyring", Verb::Write) => {
            call.caller.rotate_at(&call.path, RotateKey::Barrier).await?;
            Ok(done())
        }
        ("locked-users", Verb::Read) => locked_users(call).await,
        (
            "audit"
            | "auth"
            | "capabilities"
            | "capabilities-accessor"
            | "capabilities-self"
            | "host-info"
            | "host-info/"
            | "in-flight-req"
            | "key-status"
            | "locked-users"
            | "mounts"
            | "remount"
            | "rotate"
            | "rotate/config"
            | "rotate/keyring"
            | "rotate/keyring/config"
            | "seal"
            | "step-down"
            | "version-history",
            _,
        ) => Err(Failure::unsupported_operation()),
        _ => named(call, rest).await,
    }
}

/// What lies below one of the areas.
async fn named(call: &mut VaultCall, rest: &str) -> Outcome {
    if let Some(outcome) = rotate::answer(call, rest).await {
        return outcome;
    }
    if let Some(outcome) = root_token::answer(call, rest).await {
        return outcome;
    }
    if let Some(path) = rest.strip_prefix("mounts/") {
        return mounts::answer(call, mounts::Family::Engines, path).await;
    }
    if let Some(asked) = Leases::parse(rest, call.verb) {
        return asked.answer(call).await;
    }
    if let Some(rest) = rest.strip_prefix("wrapping/") {
        return wrapping::answer(call, rest).await;
    }
    if let Some(path) = rest.strip_prefix("auth/") {
        return mounts::answer(call, mounts::Family::Logins, path).await;
    }
    if let Some(device) = rest.strip_prefix("audit/").filter(|device| !device.is_empty()) {
        return audit::device(call, device).await;
    }
    if let Some(device) = rest.strip_prefix("audit-hash/").filter(|device| is_name(device)) {
        return audit::hash(call, device).await;
    }
    if let Some(id) = rest.strip_prefix("remount/status/").filter(|id| is_name(id)) {
        return mounts::remount_status(call, id).await;
    }
    if let Some((accessor, name)) = rest.strip_prefix("locked-users/").and_then(|rest| rest.split_once("/unlock/"))
        && is_name(name)
    {
        return unlock(call, accessor, name).await;
    }
    Err(Failure::unsupported_path())
}

/// All locked names lie in the one namespace there is.
async fn locked_users(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Locked {
        by_namespace: [Namespace; 1],
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
        /// Null where nobody of the mount that was asked for is locked out.
        alias_identifiers: Option<Vec<String>>,
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let accessor = fields.given("mount_accessor")?.filter(|accessor| !accessor.is_empty());
    let found = call.caller.locked_users(accessor.as_ref().map(|accessor| accessor.as_str()), &fields).await?;
    let total = found.iter().map(|of| of.names.len()).sum();
    let of_mount = |of: LockedUsers| Accessor {
        mount_accessor: of.accessor,
        counts: of.names.len(),
        alias_identifiers: Some(of.names),
    };
    let mut mount_accessors: Vec<Accessor> = found.into_iter().map(of_mount).collect();
    if let (Some(asked), []) = (accessor, mount_accessors.as_slice()) {
        let none = Accessor { mount_accessor: asked.to_string(), counts: 0, alias_identifiers: None };
        mount_accessors.push(none);
    }
    let root = Namespace { namespace_id: "root", namespace_path: "", counts: total, mount_accessors };
    Ok(call.data(&Locked { by_namespace: [root], total }))
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
