//! `sys/generate-root-token/…`: an attempt at a root token under its name for callers with a token, in an envelope. The
//! attempt is the one of `sys/generate-root`.

use coffer_core::{Asker, RootGeneration, RootProgress};
use serde::Serialize;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    lenient::Fields,
    seal::{given_share, root_otp},
};

/// The answer, where the path below `sys/` is one of these.
pub(super) async fn answer(call: &mut VaultCall, rest: &str) -> Option<Outcome> {
    match rest {
        "generate-root-token/attempt" => Some(Box::pin(attempt(call)).await),
        "generate-root-token/update" => Some(Box::pin(update(call)).await),
        _ => None,
    }
}

async fn attempt(call: &mut VaultCall) -> Outcome {
    let name = RootGeneration::GenerateRootToken;
    match call.verb {
        Verb::Read => {
            let progress = Asker::of(&call.caller).root_status(name).await?;
            Ok(call.data(&Attempt::of(&progress)))
        }
        Verb::Write => {
            let otp = {
                let params = call.params().await?;
                root_otp(&params.fields()?)?
            };
            let progress = Asker::of(&call.caller).root_start(name, otp).await?;
            Ok(call.data(&Attempt::of(&progress)))
        }
        Verb::Delete => {
            Asker::of(&call.caller).root_cancel(name).await?;
            Ok(done())
        }
        Verb::List | Verb::Scan => Err(Failure::unsupported_path()),
        Verb::Patch => Err(Failure::unsupported_operation()),
    }
}

async fn update(call: &mut VaultCall) -> Outcome {
    match call.verb {
        Verb::Write => {
            let (nonce, share) = {
                let params = call.params().await?;
                let fields = params.fields()?;
                for field in ["nonce", "key"] {
                    if is_missing(&fields, field)? {
                        return Err(Failure::invalid(format!("{field} is required")));
                    }
                }
                given_share(&fields)?
            };
            let progress = Asker::of(&call.caller).root_share(RootGeneration::GenerateRootToken, &nonce, share).await?;
            Ok(call.data(&Update::of(&progress)))
        }
        Verb::List | Verb::Scan => Err(Failure::unsupported_path()),
        Verb::Delete | Verb::Patch | Verb::Read => Err(Failure::unsupported_operation()),
    }
}

fn is_missing(fields: &Fields<'_>, field: &'static str) -> Result<bool, Failure> {
    Ok(fields.text(field)?.is_none_or(|text| text.is_empty()))
}

/// What a status tells: of an attempt under way two keys more.
#[derive(Serialize)]
struct Attempt<'a> {
    complete: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    otp: &'a str,
    otp_length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgp_fingerprint: Option<&'a str>,
    progress: u8,
    required: u8,
    started: bool,
}

impl<'a> Attempt<'a> {
    fn of(progress: &'a RootProgress) -> Self {
        let round = progress.round.as_ref();
        let otp = round.and_then(|round| round.otp.as_ref());
        Self {
            complete: false,
            nonce: round.map(|round| round.nonce.to_string()),
            otp: otp.map(|otp| otp.expose().as_str()).unwrap_or_default(),
            otp_length: RootProgress::OTP_LENGTH,
            pgp_fingerprint: round.map(|round| round.pgp_fingerprint.as_deref().unwrap_or_default()),
            progress: round.map_or(0, |round| round.progress),
            required: progress.required,
            started: round.is_some(),
        }
    }
}

/// What a share is answered with.
#[derive(Serialize)]
struct Update<'a> {
    complete: bool,
    encoded_token: &'a str,
    nonce: String,
    pgp_fingerprint: &'a str,
    progress: u8,
    required: u8,
    started: bool,
}

impl<'a> Update<'a> {
    fn of(progress: &'a RootProgress) -> Self {
        let round = progress.round.as_ref();
        let encoded = round.and_then(|round| round.encoded_token.as_ref());
        Self {
            complete: encoded.is_some(),
            encoded_token: encoded.map(|token| token.expose().as_str()).unwrap_or_default(),
            nonce: round.map(|round| round.nonce.to_string()).unwrap_or_default(),
            pgp_fingerprint: round.and_then(|round| round.pgp_fingerprint.as_deref()).unwrap_or_default(),
            progress: round.map_or(0, |round| round.progress),
            required: progress.required,
            started: round.is_some(),
        }
    }
}
