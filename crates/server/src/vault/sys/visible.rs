//! `sys/internal/ui/…`: what clients and user interfaces ask before they know what they may.

use std::{collections::BTreeMap, sync::Arc};

use axum::response::Response;
use coffer_core::{Context, Error, Mount, ResultantAcl};
use serde::Serialize;

use super::{
    super::{
        call::{Failure, Outcome, VaultCall, Verb},
        envelope::Envelope,
    },
    is_name,
    mounts::{Entry, Family},
};
use crate::{
    app::{App, Origin},
    error::{self, Success},
};

/// The list of mounts, which a request without a token gets as well.
pub(crate) const UI_MOUNTS: &str = "sys/internal/ui/mounts";

/// Answers below `sys/internal/ui/` for somebody known.
pub(super) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    match (rest, call.verb) {
        ("mounts", Verb::Read) => mounts(call).await,
        ("namespaces", Verb::Read) => {
            call.caller.namespaces_visible().await?;
            Ok(call.data(&BTreeMap::<&str, &str>::new()))
        }
        ("resultant-acl", Verb::Read) => resultant_acl(call).await,
        ("mounts" | "namespaces" | "resultant-acl", _) => Err(Failure::unsupported_operation()),
        _ => match (rest.strip_prefix("mounts/").filter(|path| !path.is_empty()), call.verb) {
            (Some(path), Verb::Read) => preflight(call, path).await,
            (Some(path), _) if is_name(path) => Err(Failure::unsupported_operation()),
            (Some(_) | None, _) => Err(Failure::unsupported_path()),
        },
    }
}

/// What anybody may see of the mounts.
///
/// `warnings` tell what of the request is passed over.
///
/// # Errors
/// As the core's list.
pub(crate) async fn anonymous(
    app: &App,
    origin: Origin,
    cx: Context,
    warnings: Vec<String>,
) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Shown<'a> {
        description: &'a str,
        options: Option<&'a BTreeMap<String, String>>,
        #[serde(rename = "type")]
        kind: &'static str,
    }
    let mounts = app.core().mounts_shown_to_anybody(cx).await?;
    let shown = Both::of(&mounts, |mount| Shown {
        description: &mount.description,
        options: mount.options.as_ref(),
        kind: mount.kind.name(),
    });
    let body = Envelope::data(&shown).with_warnings(warnings).body(origin.id);
    Ok(error::respond(error::success(Success::Body), error::JSON, body))
}

async fn mounts(call: &mut VaultCall) -> Outcome {
    let mounts = call.caller.mounts_visible().await?;
    Ok(call.data(&Both::of(&mounts, Entry::of)))
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

async fn resultant_acl(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Root {
        root: bool,
    }
    #[derive(Serialize)]
    struct Rules<'a> {
        exact_paths: BTreeMap<&'a str, Granted<'a>>,
        glob_paths: BTreeMap<&'a str, Granted<'a>>,
        root: bool,
    }
    #[derive(Serialize)]
    struct Granted<'a> {
        capabilities: &'a [&'static str],
    }
    let granted = match call.caller.resultant_acl().await? {
        ResultantAcl::Root => return Ok(call.data(&Root { root: true })),
        ResultantAcl::Rules(granted) => granted,
    };
    let mut rules = Rules { exact_paths: BTreeMap::new(), glob_paths: BTreeMap::new(), root: false };
    for rule in &granted {
        let paths = if rule.exact { &mut rules.exact_paths } else { &mut rules.glob_paths };
        paths.insert(&rule.path, Granted { capabilities: &rule.capabilities });
    }
    Ok(call.data(&rules))
}

/// Mounts of both families, by path.
#[derive(Serialize)]
struct Both<'a, T> {
    auth: BTreeMap<&'a str, T>,
    secret: BTreeMap<&'a str, T>,
}

impl<'a, T> Both<'a, T> {
    fn of(mounts: &'a [Arc<Mount>], entry: impl Fn(&'a Mount) -> T) -> Self {
        let of =
            |family: Family| mounts.iter().filter_map(|mount| Some((family.shown(mount)?, entry(mount)))).collect();
        Self { auth: of(Family::Logins), secret: of(Family::Engines) }
    }
}
