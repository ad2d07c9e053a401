//! `sys/init` and `sys/unseal`, for whoever reaches the listener; `sys/rekey` and `sys/generate-root`, for who may give shares.
//! Bare objects all.

use axum::{body::Body as HttpBody, http::request::Parts, response::Response};
use coffer_api::{Code, Sensitive};
use coffer_core::{
    AskedSplit, Asker, Ceremony, Context, Error, InitSeal, NewShares, Rekey, RekeyEnd, RekeyProgress, RekeyStart,
    RootGeneration, RootOtp, RootProgress, Share, ShareBackup, Verification, VerificationProgress,
};
use serde::Serialize;

use super::{
    call::{Failure, Verb, bare, done, small_body},
    lenient::{Fields, LenientError},
    status,
};
use crate::{
    app::{App, Origin, token_of},
    error::{self, Success},
};

/// Whether a path below `/v1/` is one of these.
pub(super) fn is_seal(path: &str) -> bool {
    Route::of(path).is_some()
}

/// Answers a request.
pub(super) async fn answer(
    app: &App,
    origin: Origin,
    verb: Verb,
    path: &str,
    parts: Box<Parts>,
    body: HttpBody,
) -> Result<Response, Error> {
    let cx = app.context(origin, &parts);
    match Route::of(path) {
        Some(Route::Init) => init(app, cx, verb, &parts, body).await,
        Some(Route::Unseal) => unseal(app, cx, verb, &parts, body).await,
        Some(Route::Given(ceremony, step)) => {
            let token = token_of(&parts.headers);
            let asker = app.core().asker(cx, token.as_ref().map(|token| token.expose().as_str()), ceremony).await?;
            let answered = match given(app, &asker, ceremony, step, verb, &parts, body).await {
                Ok(response) => {
                    asker.answered();
                    Ok(response)
                }
                Err(Failure::Recorded(error)) => Err(error),
                Err(Failure::Request(error)) => Err(asker.refuse(verb.operation(), path, error).await),
                Err(Failure::MediaType) => {
                    Err(asker.refuse(verb.operation(), path, Error::invalid("wrong content type")).await)
                }
            };
            asker.finish().await;
            answered
        }
        None => Err(Error::not_found()),
    }
}

/// The new split that a request asks for, once nothing else is asked for that this server cannot do.
pub(super) fn asked_split(fields: &Fields<'_>) -> Result<AskedSplit, Failure> {
    if is_set(fields, "recovery_pgp_keys") {
        return Err(Failure::invalid("parameters recovery_pgp_keys not applicable to seal type shamir"));
    }
    for field in ["stored_shares", "recovery_shares", "recovery_threshold"] {
        if fields.integer(field)?.is_some_and(|number| number != 0) {
            return Err(Failure::invalid(format!("parameters {field} not applicable to seal type shamir")));
        }
    }
    let number = |field| -> Result<i64, LenientError> { Ok(fields.integer(field)?.unwrap_or(0)) };
    Ok(AskedSplit { shares: number("secret_shares")?, threshold: number("secret_threshold")? })
}

/// How a rekey is begun.
pub(super) fn rekey_start(fields: &Fields<'_>) -> Result<RekeyStart, Failure> {
    let verification = match fields.boolean("require_verification")? {
        Some(true) => Verification::Required,
        Some(false) | None => Verification::Unneeded,
    };
    let backup = match fields.boolean("backup")? {
        Some(true) => ShareBackup::Kept,
        Some(false) | None => ShareBackup::Untouched,
    };
    Ok(RekeyStart { split: asked_split(fields)?, verification, pgp_keys: pgp_keys(fields)?, backup })
}

/// The keys that shares are to be encrypted to. An empty one stays where it is: it is somebody's, and of nobody's use.
fn pgp_keys(fields: &Fields<'_>) -> Result<Vec<String>, Failure> {
    let Some(raw) = fields.raw("pgp_keys").filter(|raw| raw.get() != "null") else { return Ok(Vec::new()) };
    serde_json::from_str(raw.get()).map_err(|_| Failure::invalid("pgp_keys is a list of keys in base64"))
}

/// The round that a share is given to, and the share.
pub(super) fn given_share(fields: &Fields<'_>) -> Result<(String, Share), Failure> {
    let nonce = fields.text("nonce")?.map(|nonce| nonce.to_string()).unwrap_or_default();
    let key = fields.given("key")?;
    let key = key.ok_or_else(|| Failure::invalid("'key' must be specified in request body as JSON"))?;
    Ok((nonce, Share::parse(&key).map_err(Failure::Request)?))
}

/// New shares as both dialects of them have it.
#[derive(Serialize)]
pub(super) struct Keys {
    keys: Vec<Sensitive<String>>,
    keys_base64: Vec<Sensitive<String>>,
}

impl Keys {
    pub(super) fn of(shares: &NewShares) -> Self {
        Self { keys: shares.hex(), keys_base64: shares.base64() }
    }
}

#[derive(Clone, Copy)]
enum Route {
    Given(Ceremony, Step),
    Init,
    Unseal,
}

#[derive(Clone, Copy)]
enum Step {
    Start,
    Update,
    Verify,
}

impl Route {
    fn of(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("sys/")? {
            "init" => Self::Init,
            "unseal" => Self::Unseal,
            "rekey/init" => Self::Given(Ceremony::Rekey, Step::Start),
            "rekey/update" => Self::Given(Ceremony::Rekey, Step::Update),
            "rekey/verify" => Self::Given(Ceremony::Rekey, Step::Verify),
            "generate-root/attempt" => Self::Given(Ceremony::RootToken, Step::Start),
            "generate-root/update" => Self::Given(Ceremony::RootToken, Step::Update),
            _ => return None,
        })
    }
}

async fn init(app: &App, cx: Context, verb: Verb, parts: &Parts, body: HttpBody) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Made<'a> {
        #[serde(flatten)]
        keys: Keys,
        root_token: &'a Sensitive<String>,
    }
    let asked = async {
        writes(verb)?;
        let params = small_body(app, parts, body).await.map_err(Failure::Request)?;
        let fields = params.fields()?;
        let (split, pgp_keys) = (asked_split(&fields)?, pgp_keys(&fields)?);
        let root_token_pgp_key = fields.given("root_token_pgp_key")?.map(|key| key.to_string());
        Ok::<_, Failure>(InitSeal { split, pgp_keys, root_token_pgp_key })
    };
    match asked.await {
        Ok(asked) => {
            let made = app.core().init(cx, asked).await?;
            Ok(ok(&Made { keys: Keys::of(&made.shares), root_token: &made.root_token }))
        }
        Err(failure) => Err(app.core().refuse_at_seal(&cx, failure.into_error()).await),
    }
}

async fn unseal(app: &App, cx: Context, verb: Verb, parts: &Parts, body: HttpBody) -> Result<Response, Error> {
    let asked = async {
        writes(verb)?;
        let params = small_body(app, parts, body).await.map_err(Failure::Request)?;
        let fields = params.fields()?;
        let key = fields.given("key")?;
        match (fields.boolean("reset")?, key) {
            (Some(true), _) => Ok(None),
            (Some(false) | None, None) => {
                Err(Failure::invalid("'key' must be specified in request body as JSON, or 'reset' set to true"))
            }
            (Some(false) | None, Some(_)) if fields.boolean("migrate")? == Some(true) => {
                Err(Failure::invalid("can't perform a seal migration, no migration seal found"))
            }
            (Some(false) | None, Some(key)) => Share::parse(&key).map(Some).map_err(Failure::Request),
        }
    };
    let status = match asked.await {
        Ok(Some(share)) => app.core().unseal(cx, share).await?,
        Ok(None) => app.core().unseal_reset(cx).await?,
        Err(failure) => return Err(app.core().refuse_at_seal(&cx, failure.into_error()).await),
    };
    Ok(status::seal_status(&status))
}

async fn given(
    app: &App,
    asker: &Asker<'_>,
    ceremony: Ceremony,
    step: Step,
    verb: Verb,
    parts: &Parts,
    body: HttpBody,
) -> Result<Response, Failure> {
    let (name, root) = (Rekey::Rekey, RootGeneration::GenerateRoot);
    match (ceremony, step, verb) {
        (Ceremony::Rekey, Step::Start, Verb::Read) => Ok(rekey_shown(&asker.rekey_status(name).await?)),
        (Ceremony::Rekey, Step::Start, Verb::Write) => {
            let start = rekey_start(&small_body(app, parts, body).await.map_err(Failure::Request)?.fields()?)?;
            Ok(rekey_shown(&asker.rekey_start(name, start).await?))
        }
        (Ceremony::Rekey, Step::Start, Verb::Delete) => {
            asker.rekey_cancel(name).await?;
            Ok(done())
        }
        (Ceremony::Rekey, Step::Update, Verb::Write) => {
            let (nonce, share) = given_share(&small_body(app, parts, body).await.map_err(Failure::Request)?.fields()?)?;
            Ok(rekey_end_shown(&asker.rekey_share(name, &nonce, share).await?))
        }
        (Ceremony::Rekey, Step::Verify, Verb::Read) => Ok(verification_shown(&asker.rekey_verification(name).await?)),
        (Ceremony::Rekey, Step::Verify, Verb::Write) => {
            let (nonce, share) = given_share(&small_body(app, parts, body).await.map_err(Failure::Request)?.fields()?)?;
            Ok(verification_shown(&asker.rekey_verify(name, &nonce, share).await?))
        }
        (Ceremony::Rekey, Step::Verify, Verb::Delete) => {
            Ok(verification_shown(&asker.rekey_verification_restart(name).await?))
        }
        (Ceremony::RootToken, Step::Start, Verb::Read) => Ok(root_shown(&asker.root_status(root).await?, Told::Status)),
        (Ceremony::RootToken, Step::Start, Verb::Write) => {
            let otp = root_otp(&small_body(app, parts, body).await.map_err(Failure::Request)?.fields()?)?;
            Ok(root_shown(&asker.root_start(root, otp).await?, Told::Status))
        }
        (Ceremony::RootToken, Step::Start, Verb::Delete) => {
            asker.root_cancel(root).await?;
            Ok(done())
        }
        (Ceremony::RootToken, Step::Update, Verb::Write) => {
            let (nonce, share) = given_share(&small_body(app, parts, body).await.map_err(Failure::Request)?.fields()?)?;
            Ok(root_shown(&asker.root_share(root, &nonce, share).await?, Told::Update))
        }
        (Ceremony::Rekey | Ceremony::RootToken, Step::Start | Step::Update | Step::Verify, _) => {
            Err(Failure::Request(Error::new(Code::MethodNotAllowed, "")))
        }
    }
}

/// The pad that a request brings or wants made, or the key that the token is to be encrypted to.
pub(super) fn root_otp(fields: &Fields<'_>) -> Result<RootOtp, Failure> {
    Ok(match (fields.secret("otp")?, fields.given("pgp_key")?) {
        (Some(otp), _) => RootOtp::Given(otp),
        (None, Some(key)) => RootOtp::Encrypted(key.to_string()),
        (None, None) => RootOtp::Made,
    })
}

/// Whether a field holds anything: neither nothing, nor empty text, nor an empty list.
fn is_set(fields: &Fields<'_>, field: &str) -> bool {
    fields
        .raw(field)
        .is_some_and(|raw| !matches!(raw.get().replace(char::is_whitespace, "").as_str(), "null" | "\"\"" | "[]"))
}

fn writes(verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Write => Ok(()),
        Verb::Delete | Verb::List | Verb::Patch | Verb::Read | Verb::Scan => {
            Err(Failure::Request(Error::new(Code::MethodNotAllowed, "")))
        }
    }
}

fn ok(object: &impl Serialize) -> Response {
    bare(error::success(Success::Body), object)
}

fn rekey_shown(progress: &RekeyProgress) -> Response {
    #[derive(Serialize)]
    struct Shown<'a> {
        nonce: String,
        started: bool,
        t: u8,
        n: u8,
        progress: u8,
        required: u8,
        pgp_fingerprints: Option<&'a [String]>,
        backup: bool,
        verification_required: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        verification_nonce: Option<String>,
    }
    let round = progress.round.as_ref();
    ok(&Shown {
        nonce: round.map(|round| round.nonce.to_string()).unwrap_or_default(),
        started: round.is_some(),
        t: round.map_or(0, |round| round.split.threshold()),
        n: round.map_or(0, |round| round.split.shares()),
        progress: round.map_or(0, |round| round.progress),
        required: progress.required,
        pgp_fingerprints: round.and_then(|round| round.pgp_fingerprints.as_deref()),
        backup: round.is_some_and(|round| round.backup == ShareBackup::Kept),
        verification_required: round.is_some_and(|round| round.verification == Verification::Required),
        verification_nonce: round.and_then(|round| round.verification_nonce).map(|nonce| nonce.to_string()),
    })
}

fn rekey_end_shown(end: &RekeyEnd) -> Response {
    #[derive(Serialize)]
    struct Shown<'a> {
        nonce: String,
        complete: bool,
        #[serde(flatten)]
        keys: Keys,
        pgp_fingerprints: Option<&'a [String]>,
        backup: bool,
        verification_required: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        verification_nonce: Option<String>,
    }
    match end {
        RekeyEnd::More(progress) => rekey_shown(progress),
        RekeyEnd::Made { nonce, shares, verification_nonce, backup } => ok(&Shown {
            nonce: nonce.to_string(),
            complete: true,
            keys: Keys::of(shares),
            pgp_fingerprints: shares.fingerprints(),
            backup: *backup == ShareBackup::Kept,
            verification_required: verification_nonce.is_some(),
            verification_nonce: verification_nonce.map(|nonce| nonce.to_string()),
        }),
    }
}

fn verification_shown(progress: &VerificationProgress) -> Response {
    ok(&Verified::of(progress))
}

/// How far the giving back of new shares is, under either name.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Verified {
    Complete { nonce: String, complete: bool },
    UnderWay { nonce: String, started: bool, t: u8, n: u8, progress: u8 },
}

impl Verified {
    pub(super) fn of(progress: &VerificationProgress) -> Self {
        let nonce = progress.nonce.map(|nonce| nonce.to_string()).unwrap_or_default();
        match progress.complete {
            true => Self::Complete { nonce, complete: true },
            false => Self::UnderWay {
                nonce,
                started: progress.nonce.is_some(),
                t: progress.split.threshold(),
                n: progress.split.shares(),
                progress: progress.progress,
            },
        }
    }
}

/// Which reply it is: only a status tells how long a pad must be.
#[derive(Clone, Copy)]
enum Told {
    Status,
    Update,
}

fn root_shown(progress: &RootProgress, told: Told) -> Response {
    #[derive(Serialize)]
    struct Shown<'a> {
        nonce: String,
        started: bool,
        progress: u8,
        required: u8,
        complete: bool,
        encoded_token: &'a str,
        encoded_root_token: &'a str,
        pgp_fingerprint: &'a str,
        otp: &'a str,
        otp_length: usize,
    }
    let round = progress.round.as_ref();
    let encoded = round.and_then(|round| round.encoded_token.as_ref());
    let encoded_token = encoded.map(|token| token.expose().as_str()).unwrap_or_default();
    let otp = round.and_then(|round| round.otp.as_ref());
    ok(&Shown {
        nonce: round.map(|round| round.nonce.to_string()).unwrap_or_default(),
        started: round.is_some(),
        progress: round.map_or(0, |round| round.progress),
        required: progress.required,
        complete: encoded.is_some(),
        encoded_token,
        encoded_root_token: encoded_token,
        pgp_fingerprint: round.and_then(|round| round.pgp_fingerprint.as_deref()).unwrap_or_default(),
        otp: otp.map(|otp| otp.expose().as_str()).unwrap_or_default(),
        otp_length: match told {
            Told::Status => RootProgress::OTP_LENGTH,
            Told::Update => 0,
        },
    })
}
