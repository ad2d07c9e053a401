//! `sys/audit` and `sys/audit-hash`: the log, as audit devices are asked about.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_core::AUDIT_DEVICE;
use serde::Serialize;

use super::super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
};

/// `sys/audit`: the one device there is.
pub(super) async fn list(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct Device {
        description: &'static str,
        local: bool,
        options: BTreeMap<&'static str, &'static str>,
        path: &'static str,
        #[serde(rename = "type")]
        kind: &'static str,
    }
    call.caller.audit_device_list().await?;
    let log = Device {
        description: "the log of every request, provable by its signed checkpoints",
        local: false,
        options: BTreeMap::new(),
        path: AUDIT_DEVICE,
        kind: "log",
    };
    Ok(call.envelope(Envelope::data(&BTreeMap::from([(AUDIT_DEVICE, log)])).injected()))
}

/// `sys/audit/<device>`: devices neither come nor go.
pub(super) async fn device(call: &mut VaultCall, device: &str) -> Outcome {
    match call.verb {
        Verb::Write => Err(Failure::invalid(
            "cannot enable audit device via API; the audit log is always on, and set in the configuration ([audit])",
        )),
        Verb::Delete => {
            call.caller.audit_device_disable(device).await?;
            Ok(done())
        }
        Verb::List | Verb::Patch | Verb::Read | Verb::Scan => Err(Failure::unsupported_operation()),
    }
}

/// `sys/audit-hash/<device>`: in the form of the dialect, and as the log writes it.
pub(super) async fn hash(call: &mut VaultCall, device: &str) -> Outcome {
    #[derive(Serialize)]
    struct Hash {
        hash: String,
        hmac: String,
        hmac_kid: u32,
    }
    if call.verb != Verb::Write {
        return Err(Failure::unsupported_operation());
    }
    let params = call.params().await?;
    let fields = params.fields()?;
    let input = fields.given("input")?;
    let input = input.ok_or_else(|| Failure::invalid("the \"input\" parameter is empty"))?;
    let found = call.caller.audit_hash(device, input.as_bytes(), &fields).await?;
    let hex: String = found.hmac.iter().map(|byte| format!("{byte:02x}")).collect();
    let hash =
        Hash { hash: format!("hmac-sha256:{hex}"), hmac: URL_SAFE_NO_PAD.encode(found.hmac), hmac_kid: found.key };
    Ok(call.envelope(Envelope::data(&hash).injected()))
}
