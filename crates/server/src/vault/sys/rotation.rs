//! `sys/key-status` and `sys/rotate/config`: the barrier's term.

use serde::Serialize;

use super::super::{
    call::{Failure, Outcome, VaultCall},
    envelope::Envelope,
    lenient::GoDuration,
};

/// `sys/key-status`.
pub(super) async fn key_status(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Status {
        encryptions: u64,
        install_time: String,
        term: u32,
    }
    let found = call.caller.key_status().await?;
    let status = Status { encryptions: found.seals, install_time: found.began, term: found.term };
    Ok(call.envelope(Envelope::data(&status).injected()))
}

/// `sys/rotate/config`.
pub(super) async fn config(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Config {
        enabled: bool,
        interval: String,
        max_operations: u64,
    }
    let rotation = call.caller.rotation(&call.path).await?;
    let nanos = i64::try_from(rotation.max_age).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
    let interval = GoDuration::from_nanos(nanos).to_string();
    Ok(call.data(&Config { enabled: true, interval, max_operations: rotation.max_seals }))
}

/// What a change of the configuration gets.
pub(super) fn fixed() -> Failure {
    Failure::invalid("rotation is set in the server's configuration: limits.term_max_age")
}
