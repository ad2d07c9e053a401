//! `sys/rotate/root/…`: a rekey under its name for callers with a token, in an envelope; the backup of shares under both its
//! names. `sys/rotate/recovery/…` as of a server that has none.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_core::{Asker, KeptShares, Operation, Rekey, RekeyEnd, RekeyProgress, ShareBackup, Verification};
use serde::Serialize;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
    seal::{Keys, Verified, given_share, rekey_start},
};

/// The answer, where the path below `sys/` is one of these.
pub(super) async fn answer(call: &mut VaultCall, rest: &str) -> Option<Outcome> {
    if let Some(step) = rest.strip_prefix("rotate/root/") {
        return Some(Box::pin(root(call, step)).await);
    }
    if let Some(step) = rest.strip_prefix("rotate/recovery/") {
        return Some(recovery(call, step).await);
    }
    match rest {
        "rekey/backup" => Some(backup(call).await),
        "rekey/recovery-key-backup" => Some(no_backup(call).await),
        _ if rest.starts_with("rekey-recovery-key/") => Some(Err(Failure::invalid("recovery rekeying not supported"))),
        _ => None,
    }
}

async fn root(call: &mut VaultCall, step: &str) -> Outcome {
    if step == "backup" {
        return backup(call).await;
    }
    let name = Rekey::RotateRoot;
    match (step, call.verb) {
        ("init", Verb::Read) => {
            let progress = Asker::of(&call.caller).rekey_status(name).await?;
            Ok(call.data(&Shown::of(&progress)))
        }
        ("init", Verb::Write) => {
            let start = {
                let params = call.params().await?;
                rekey_start(&params.fields()?)?
            };
            let progress = Asker::of(&call.caller).rekey_start(name, start).await?;
            Ok(call.data(&Shown::of(&progress)))
        }
        ("init", Verb::Delete) => {
            Asker::of(&call.caller).rekey_cancel(name).await?;
            Ok(done())
        }
        ("update", Verb::Write) => {
            let (nonce, share) = {
                let params = call.params().await?;
                given_share(&params.fields()?)?
            };
            let end = Asker::of(&call.caller).rekey_share(name, &nonce, share).await?;
            Ok(end_shown(call, &end))
        }
        ("verify", Verb::Read) => {
            let progress = Asker::of(&call.caller).rekey_verification(name).await?;
            Ok(call.data(&Verified::of(&progress)))
        }
        ("verify", Verb::Write) => {
            let (nonce, share) = {
                let params = call.params().await?;
                given_share(&params.fields()?)?
            };
            let progress = Asker::of(&call.caller).rekey_verify(name, &nonce, share).await?;
            Ok(call.data(&Verified::of(&progress)))
        }
        ("verify", Verb::Delete) => {
            let progress = Asker::of(&call.caller).rekey_verification_restart(name).await?;
            Ok(call.data(&Verified::of(&progress)))
        }
        ("init" | "update" | "verify", _) => Err(Failure::unsupported_operation()),
        _ => Err(Failure::unsupported_path()),
    }
}

/// There are no recovery keys: those are of seals that open by themselves.
async fn recovery(call: &mut VaultCall, step: &str) -> Outcome {
    match (step, call.verb) {
        ("init", Verb::Read) => Err(Failure::invalid("unable to look up config: recovery not supported")),
        ("init", Verb::Write) => Err(Failure::invalid("recovery keys not supported")),
        ("init", Verb::Delete) => nothing_to_delete(call).await,
        ("update" | "verify", Verb::Write) => {
            let params = call.params().await?;
            given_share(&params.fields()?)?;
            Err(Failure::invalid("recovery keys not supported"))
        }
        ("verify", Verb::Read | Verb::Delete) => Err(Failure::invalid("no rotation configuration found")),
        ("backup", _) => no_backup(call).await,
        ("init" | "update" | "verify", _) => Err(Failure::unsupported_operation()),
        _ => Err(Failure::unsupported_path()),
    }
}

/// What the last rekey with a backup told, in an envelope and, for clients from before there were any, beside it.
async fn backup(call: &mut VaultCall) -> Outcome {
    match call.verb {
        Verb::Read => {
            let kept = call.caller.kept_shares(&call.path).await?;
            Ok(call.envelope(Envelope::data(&Kept::of(&kept)).injected()))
        }
        Verb::Delete => {
            call.caller.delete_kept_shares(&call.path).await?;
            Ok(done())
        }
        Verb::List | Verb::Patch | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
    }
}

/// By the holders' fingerprints.
#[derive(Serialize)]
struct Kept<'a> {
    keys: BTreeMap<&'a str, Vec<String>>,
    keys_base64: BTreeMap<&'a str, Vec<String>>,
    nonce: String,
}

impl<'a> Kept<'a> {
    fn of(kept: &'a KeptShares) -> Self {
        let written = |write: fn(&Vec<u8>) -> String| {
            kept.shares.iter().map(|(holder, shares)| (holder.as_str(), shares.iter().map(write).collect())).collect()
        };
        Self {
            keys: written(|share| share.iter().map(|byte| format!("{byte:02x}")).collect()),
            keys_base64: written(|share| STANDARD.encode(share)),
            nonce: kept.nonce.to_string(),
        }
    }
}

/// Recovery keys there are none.
async fn no_backup(call: &mut VaultCall) -> Outcome {
    match call.verb {
        Verb::Read => Err(Failure::invalid("no backed-up keys found")),
        Verb::Delete => nothing_to_delete(call).await,
        Verb::List | Verb::Patch | Verb::Scan | Verb::Write => Err(Failure::unsupported_operation()),
    }
}

async fn nothing_to_delete(call: &mut VaultCall) -> Outcome {
    call.caller.allowed("rekey.cancel", &call.path, Operation::Delete).await?;
    Ok(done())
}

#[derive(Serialize)]
#[serde(untagged)]
enum Shown<'a> {
    Idle {
        n: u8,
        required: u8,
        started: bool,
        t: u8,
    },
    UnderWay {
        #[serde(skip_serializing_if = "Option::is_none")]
        backup: Option<bool>,
        n: u8,
        nonce: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        pgp_fingerprints: Option<&'a [String]>,
        progress: u8,
        required: u8,
        started: bool,
        t: u8,
        verification_nonce: String,
        verification_required: bool,
    },
}

impl<'a> Shown<'a> {
    fn of(progress: &'a RekeyProgress) -> Self {
        let required = progress.required;
        match &progress.round {
            None => Self::Idle { n: 0, required, started: false, t: 0 },
            Some(round) => Self::UnderWay {
                backup: round.pgp_fingerprints.is_some().then_some(round.backup == ShareBackup::Kept),
                pgp_fingerprints: round.pgp_fingerprints.as_deref(),
                n: round.split.shares(),
                nonce: round.nonce.to_string(),
                progress: round.progress,
                required,
                started: true,
                t: round.split.threshold(),
                verification_nonce: round.verification_nonce.map(|nonce| nonce.to_string()).unwrap_or_default(),
                verification_required: round.verification == Verification::Required,
            },
        }
    }
}

fn end_shown(call: &VaultCall, end: &RekeyEnd) -> axum::response::Response {
    #[derive(Serialize)]
    struct Made<'a> {
        backup: bool,
        complete: bool,
        #[serde(flatten)]
        keys: Keys,
        nonce: String,
        pgp_fingerprints: Option<&'a [String]>,
        verification_nonce: String,
        verification_required: bool,
    }
    match end {
        RekeyEnd::More(progress) => call.data(&Shown::of(progress)),
        RekeyEnd::Made { nonce, shares, verification_nonce, backup } => call.data(&Made {
            backup: *backup == ShareBackup::Kept,
            complete: true,
            keys: Keys::of(shares),
            nonce: nonce.to_string(),
            pgp_fingerprints: shares.fingerprints(),
            verification_nonce: verification_nonce.map(|nonce| nonce.to_string()).unwrap_or_default(),
            verification_required: verification_nonce.is_some(),
        }),
    }
}
