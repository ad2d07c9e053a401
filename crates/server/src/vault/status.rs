//! What anybody may ask, sealed or not: `sys/health`, `sys/seal-status`, `sys/leader`, `sys/init`.

use axum::{
    http::{Method, StatusCode, request::Parts},
    response::Response,
};
use bytes::Bytes;
use coffer_api::{
    Code,
    operator::{NodeState, Status},
};
use coffer_core::Error;
use serde::Serialize;

use super::{
    call::bare,
    envelope,
    lenient::{Body, Fields, LenientError},
};
use crate::{
    app::{App, Origin},
    error::{self, Health, Success},
};

/// The release of the original whose behaviour this dialect has; clients compare it as a semantic version.
const VERSION: &str = "1.21.4";

/// The answer, where the request is one of these.
pub(crate) fn answer(app: &App, origin: Origin, parts: &Parts) -> Option<Response> {
    let path = parts.uri.path().strip_prefix("/v1/sys/")?;
    let ok = error::success(Success::Body);
    match (path, &parts.method) {
        ("health", &Method::GET) => Some(health(app, parts, Shape::Whole)),
        ("health", &Method::HEAD) => Some(health(app, parts, Shape::Head)),
        ("init", &Method::GET) => Some(bare(ok, &Init { initialized: app.core().status().initialized })),
        ("leader", &Method::GET) => Some(leader(app, origin, parts)),
        ("seal-status", &Method::GET) => Some(seal_status(&app.core().status())),
        _ => None,
    }
}

/// How far the unseal is.
pub(super) fn seal_status(status: &Status) -> Response {
    bare(error::success(Success::Body), &SealStatus::of(status))
}

/// With a body or without.
#[derive(Clone, Copy, Eq, PartialEq)]
enum Shape {
    Head,
    Whole,
}

fn health(app: &App, parts: &Parts, shape: Shape) -> Response {
    let status = app.core().status();
    let code = Body::of_query(parts.uri.query()).and_then(|query| health_code(&status, &query.fields()?));
    let Ok(code) = code else { return unparsable() };
    match shape {
        Shape::Head => error::respond(code, error::JSON, Bytes::new()),
        Shape::Whole => bare(code, &ShownHealth::of(&status, app.core().now_ms() / 1000)),
    }
}

/// A query that cannot be parsed: an empty list of errors, as clients know it.
fn unparsable() -> Response {
    error::respond(error::malformed(), error::JSON, envelope::errors(None))
}

fn health_code(status: &Status, query: &Fields<'_>) -> Result<StatusCode, LenientError> {
    let code = |field: &'static str, health: Health| -> Result<StatusCode, LenientError> {
        match query.integer(field)? {
            None => Ok(error::health(health)),
            Some(code) => error::requested(code).ok_or(LenientError::Field { field, message: "no HTTP status" }),
        }
    };
    // All are parsed, so that a bad one is an error in every state.
    let (active, standby) = (code("activecode", Health::Active)?, code("standbycode", Health::Standby)?);
    let (sealed, uninit) = (code("sealedcode", Health::Sealed)?, code("uninitcode", Health::Uninitialized)?);
    let standby_ok = query.boolean("standbyok")?.unwrap_or(false);
    Ok(match status.state {
        NodeState::Active => active,
        NodeState::Sealed if !status.initialized => uninit,
        NodeState::Sealed => sealed,
        NodeState::Standby | NodeState::Starting if standby_ok => active,
        NodeState::Standby | NodeState::Starting => standby,
    })
}

fn leader(app: &App, origin: Origin, parts: &Parts) -> Response {
    let status = app.core().status();
    let ha_enabled = status.storage == "postgresql";
    // Without high availability there is nobody else to ask for, sealed or not.
    if ha_enabled && status.state == NodeState::Sealed {
        return error::vault(&Error::new(Code::Sealed, "sealed"), origin.id, &parts.uri);
    }
    bare(
        error::success(Success::Body),
        &Leader {
            ha_enabled,
            is_self: status.state == NodeState::Active,
            active_time: "0001-01-01T00:00:00Z",
            leader_address: status.active_address.as_deref().unwrap_or_default(),
            leader_cluster_address: "",
            performance_standby: false,
            performance_standby_last_remote_wal: 0,
        },
    )
}

#[derive(Serialize)]
struct Init {
    initialized: bool,
}

#[derive(Serialize)]
struct Leader<'a> {
    ha_enabled: bool,
    is_self: bool,
    active_time: &'a str,
    leader_address: &'a str,
    leader_cluster_address: &'a str,
    performance_standby: bool,
    performance_standby_last_remote_wal: u64,
}

#[derive(Serialize)]
struct ShownHealth<'a> {
    initialized: bool,
    sealed: bool,
    standby: bool,
    performance_standby: bool,
    replication_performance_mode: &'a str,
    replication_dr_mode: &'a str,
    server_time_utc: i64,
    version: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<&'a str>,
}

impl<'a> ShownHealth<'a> {
    fn of(status: &'a Status, now: i64) -> Self {
        let sealed = status.state == NodeState::Sealed;
        let mode = if sealed { "unknown" } else { "disabled" };
        Self {
            initialized: status.initialized,
            sealed,
            standby: status.state != NodeState::Active,
            performance_standby: false,
            replication_performance_mode: mode,
            replication_dr_mode: mode,
            server_time_utc: now,
            version: VERSION,
            cluster_name: cluster_name(status),
            cluster_id: status.cluster_id.as_deref().filter(|_| !sealed),
        }
    }
}

#[derive(Serialize)]
struct SealStatus<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    initialized: bool,
    sealed: bool,
    t: u8,
    n: u8,
    progress: u8,
    nonce: &'a str,
    version: &'a str,
    build_date: &'a str,
    migration: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster_id: Option<&'a str>,
    recovery_seal: bool,
    storage_type: &'a str,
}

impl<'a> SealStatus<'a> {
    fn of(status: &'a Status) -> Self {
        let sealed = status.state == NodeState::Sealed;
        let shares = status.shares.as_ref();
        Self {
            kind: &status.seal,
            initialized: status.initialized,
            sealed,
            // One key file opens its seal. While shares are given, a node is sealed.
            t: shares.map_or(1, |shares| shares.threshold),
            n: shares.map_or(1, |shares| shares.shares),
            progress: shares.map_or(0, |shares| shares.given),
            nonce: shares.and_then(|shares| shares.nonce.as_deref()).unwrap_or_default(),
            version: VERSION,
            build_date: "",
            migration: status.seal_migration,
            cluster_name: cluster_name(status),
            cluster_id: status.cluster_id.as_deref().filter(|_| !sealed),
            recovery_seal: false,
            storage_type: &status.storage,
        }
    }
}

fn cluster_name(status: &Status) -> Option<String> {
    let id = status.cluster_id.as_deref().filter(|_| status.state != NodeState::Sealed)?;
    Some(format!("coffer-cluster-{}", id.split('-').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: NodeState, initialized: bool) -> Status {
        Status {
            active_address: None,
            clock_in_doubt: false,
            cluster_id: Some("f3a94196-f173-4e90-7338-ffa6ba2f6054".into()),
            initialized,
            log_size: None,
            node: "n".into(),
            seal: "file".into(),
            seal_migration: false,
            shares: None,
            state,
            storage: "memory".into(),
            version: "0.1.0".into(),
        }
    }

    fn code(state: NodeState, initialized: bool, query: &str) -> Option<u16> {
        let query = Body::of_query(Some(query)).unwrap();
        health_code(&status(state, initialized), &query.fields().unwrap()).ok().map(|code| code.as_u16())
    }

    #[test]
    fn health_has_a_status_for_each_state_and_clients_may_choose_another() {
        use NodeState::{Active, Sealed, Standby, Starting};
        assert_eq!(code(Active, true, ""), Some(200));
        assert_eq!(code(Standby, true, ""), Some(429));
        assert_eq!(code(Starting, true, ""), Some(429));
        assert_eq!(code(Sealed, true, ""), Some(503));
        assert_eq!(code(Sealed, false, ""), Some(501));
        assert_eq!(code(Active, true, "activecode=299"), Some(299));
        assert_eq!(code(Sealed, true, "sealedcode=200&removedcode=x&haunhealthy=1"), Some(200));
        assert_eq!(code(Standby, true, "standbyok=true"), Some(200));
        assert_eq!(code(Standby, true, "standbyok=true&activecode=204"), Some(204));
        for bad in
            ["activecode=abc", "sealedcode=abc", "activecode=99", "activecode=600", "activecode=101", "standbyok=x"]
        {
            assert_eq!(code(Active, true, bad), None, "{bad}");
        }
    }

    #[test]
    fn sealed_health_names_no_cluster() {
        let sealed = status(NodeState::Sealed, true);
        let shown = serde_json::to_value(ShownHealth::of(&sealed, 7)).unwrap();
        assert_eq!(
            shown,
            serde_json::json!({"initialized": true, "sealed": true, "standby": true, "performance_standby": false,
                "replication_performance_mode": "unknown", "replication_dr_mode": "unknown", "server_time_utc": 7,
                "version": VERSION})
        );
        let active = status(NodeState::Active, true);
        let shown = serde_json::to_value(ShownHealth::of(&active, 7)).unwrap();
        assert_eq!(shown["cluster_name"], "coffer-cluster-f3a94196");
    }
}
