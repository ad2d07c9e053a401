//! Response wrapping: who asks for it, the one place where a reply becomes what a wrapping token stands for, and
//! `sys/wrapping/…`.

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, request::Parts},
    response::Response,
};
use bytes::Bytes;
use coffer_api::{Code, Sensitive};
use coffer_core::{Context, Error, MountKind, NOT_VALID, Tells, Unwrapped, Wrap, WrapForm, Wrapped};
use serde::Serialize;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    call::{Failure, Outcome, VaultCall, Verb},
    cubbyhole::Object,
    envelope::{self, Envelope, WrapBlock},
    ignored,
    lenient::{self, GoDuration},
    router::authenticated,
};
use crate::{
    app::{App, Origin, text_header, token_of},
    error::{self, Success},
};

/// How long a wrapped reply may wait, where the client asks for one.
///
/// # Errors
/// [`Code::Invalid`] where the header means nothing, or asks for a form that there is none of.
pub(crate) fn asked(headers: &HeaderMap) -> Result<Option<Duration>, Error> {
    let Some(header) = headers.get("x-vault-wrap-ttl") else { return Ok(None) };
    let text = header.to_str().map_err(|_| unparsable("?"))?.trim();
    let duration: GoDuration = text.parse().map_err(|_| unparsable(text))?;
    let nanos = u64::try_from(duration.nanos())
        .map_err(|_| Error::invalid("error parsing X-Vault-Wrap-TTL header: requested wrap ttl cannot be negative"))?;
    Ok(Some(Duration::from_nanos(nanos)).filter(|ttl| !ttl.is_zero()))
}

/// How the wrapping token is to be handed out.
fn form(app: &App, headers: &HeaderMap) -> WrapForm {
    match headers.get("x-vault-wrap-format") {
        Some(format) if format.as_bytes() == b"jwt" => {
            WrapForm::Jwt { address: app.core().status().active_address.unwrap_or_default() }
        }
        Some(_) | None => WrapForm::Plain,
    }
}

/// A login's wish for wrapping, noted before the request is taken apart.
pub(crate) struct OfLogin {
    asked: Result<Option<Duration>, Error>,
    cx: Context,
    path: String,
    form: WrapForm,
}

impl OfLogin {
    pub(crate) fn new(app: &App, origin: Origin, parts: &Parts, path: &str) -> Self {
        let form = form(app, &parts.headers);
        Self { asked: asked(&parts.headers), cx: app.context(origin, parts), path: path.to_owned(), form }
    }

    /// Runs a login, and wraps its reply where that was asked for.
    pub(crate) async fn around(
        self,
        app: &App,
        login: impl Future<Output = Result<Response, Error>>,
    ) -> Result<Response, Error> {
        let ttl = match self.asked {
            Ok(Some(ttl)) => ttl,
            Ok(None) => return login.await,
            Err(refused) => return Err(app.core().refuse_anonymous(self.cx, refused).await),
        };
        let enclosed = match Enclosed::of(login.await?).await {
            Ok(enclosed) => enclosed,
            Err(plain) => return Ok(*plain),
        };
        let token = enclosed.token();
        let wrap = Wrap {
            creation_path: &self.path,
            ttl,
            payload: enclosed.payload,
            tells: enclosed.tells,
            token_accessor: token.as_deref(),
            form: self.form,
        };
        let wrapped = app.core().wrap_login(&self.cx, wrap).await?;
        Ok(reply(&wrapped, enclosed.carried.as_ref()))
    }
}

/// Wraps the reply of an authenticated request where that was asked for.
pub(crate) async fn enclose(app: &App, call: &mut VaultCall, response: Response) -> Result<Response, Error> {
    let Some(ttl) = call.caller.context().wrap_ttl else { return Ok(response) };
    let enclosed = match Enclosed::of(response).await {
        Ok(enclosed) => enclosed,
        Err(plain) => return Ok(*plain),
    };
    let token = enclosed.token();
    let wrap = Wrap {
        creation_path: &call.path,
        ttl,
        payload: enclosed.payload,
        tells: enclosed.tells,
        token_accessor: token.as_deref(),
        form: form(app, &call.parts.headers),
    };
    let wrapped = call.caller.wrap(wrap).await?;
    Ok(reply(&wrapped, enclosed.carried.as_ref()))
}

/// What a reply hands out, as its `wrapped_accessor`.
#[derive(Clone, Debug)]
pub(crate) enum Carried {
    /// Something that is no token (a secret-id).
    Other(String),
    /// A token.
    Token(String),
}

impl Carried {
    fn accessor(&self) -> &str {
        match self {
            Self::Other(accessor) | Self::Token(accessor) => accessor,
        }
    }
}

/// A reply about to be wrapped.
struct Enclosed {
    payload: Sensitive<String>,
    tells: Tells,
    carried: Option<Carried>,
}

impl Enclosed {
    /// The reply as a payload; as it is where it is none: an error, no body, no envelope.
    async fn of(response: Response) -> Result<Self, Box<Response>> {
        let (mut parts, body) = response.into_parts();
        let tells = match parts.status {
            status if status == error::absent_with_body() => Tells::Absence,
            status if status.is_success() => Tells::Result,
            _ => return Err(Box::new(Response::from_parts(parts, body))),
        };
        // A body of ours is one piece in memory already, and bounded by what was allowed in.
        let bytes: Bytes = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
        let carried = parts.extensions.remove::<Carried>();
        match std::str::from_utf8(&bytes) {
            Ok(text) if envelope::request_id_at(text).is_some() => {
                Ok(Self { payload: Sensitive::from(text), tells, carried })
            }
            Ok(_) | Err(_) => Err(Box::new(Response::from_parts(parts, Body::from(bytes)))),
        }
    }

    fn token(&self) -> Option<String> {
        match &self.carried {
            Some(Carried::Token(accessor)) => Some(accessor.clone()),
            Some(Carried::Other(_)) | None => None,
        }
    }
}

fn reply(wrapped: &Wrapped, carried: Option<&Carried>) -> Response {
    let block = WrapBlock {
        token: wrapped.token.expose(),
        accessor: &wrapped.accessor,
        ttl: wrapped.ttl,
        creation_time: &wrapped.creation_time,
        creation_path: &wrapped.creation_path,
        wrapped_accessor: carried.map(Carried::accessor),
    };
    error::respond(error::success(Success::Body), error::JSON, envelope::wrapped(&block))
}

/// `sys/wrapping/lookup`: whoever has a wrapping token may ask, with another token or without.
pub(crate) async fn lookup(app: &App, origin: Origin, parts: Box<Parts>, body: Body) -> Result<Response, Error> {
    #[derive(Serialize)]
    struct Found {
        creation_path: String,
        creation_time: String,
        creation_ttl: u64,
    }
    let cx = app.context(origin, &parts);
    let sent = match Verb::of(&parts.method) {
        Some(Verb::Write) => {
            let read = app.bodies().read_small(&parts.headers, body).await;
            read.and_then(|read| body_of(&parts, read.bytes))
        }
        Some(_) | None => lenient::Body::of_query(parts.uri.query()).map_err(invalid),
    };
    let sent = sent.and_then(|sent| {
        let warnings = ignored::warnings(MountKind::System, "wrapping/lookup", sent.fields().map_err(invalid)?.names());
        Ok((token_in(&sent)?, warnings))
    });
    let (asked, warnings) = match sent {
        Ok((sent, warnings)) => (sent.or_else(|| token_of(&parts.headers)), warnings),
        Err(error) => return Err(app.core().refuse_anonymous(cx, error).await),
    };
    let Some(token) = asked else {
        let empty = Error::new(Code::Denied, "error validating wrapping token: token is empty");
        return Err(app.core().refuse_anonymous(cx, empty).await);
    };
    let found = app.core().wrapping_lookup(&cx, token.expose()).await?;
    let found = Found {
        creation_path: found.creation_path,
        creation_time: found.creation_time,
        creation_ttl: found.creation_ttl,
    };
    Ok(Envelope::data(&found).with_warnings(warnings).reply(origin.id))
}

/// `sys/wrapping/unwrap` and `rewrap`: a token in the header that is good for nothing is the wrapping token, where the
/// body names none, and clients are told of that one.
pub(crate) async fn take(
    app: &App,
    origin: Origin,
    path: String,
    mut parts: Box<Parts>,
    body: Body,
) -> Result<Response, Error> {
    let bytes = match app.bodies().read_small(&parts.headers, body).await {
        Ok(read) => read.bytes,
        Err(error) => return Err(app.core().refuse_anonymous(app.context(origin, &parts), error).await),
    };
    let named = named(&parts, bytes.clone());
    let own = token_of(&parts.headers).filter(|_| matches!(named, Ok(None)));
    let by_header = own.is_some();
    if let Some(own) = own {
        let is_plain = |token: &Sensitive<String>| token.expose() == own.expose();
        let token = app.core().wrapping_token(&app.context(origin, &parts), own.clone()).await?;
        if !is_plain(&token) {
            put_token(&mut parts, &token);
        }
    }
    let body = Body::from(envelope::wiped(bytes));
    match authenticated(app, origin, Verb::Write, path, parts, body).await {
        Err(error) if by_header && error.code() == Code::Unauthenticated => Err(Error::invalid(NOT_VALID)),
        answered => answered,
    }
}

/// Puts a token in the place of the one that a request came with.
fn put_token(parts: &mut Parts, token: &Sensitive<String>) {
    let Ok(mut value) = HeaderValue::from_str(token.expose()) else { return };
    value.set_sensitive(true);
    parts.headers.insert(HeaderName::from_static("x-vault-token"), value);
}

/// Answers below `sys/wrapping/`, for a caller who is known.
pub(crate) async fn answer(call: &mut VaultCall, rest: &str) -> Outcome {
    match (rest, call.verb) {
        ("wrap", Verb::Write) => {
            if call.caller.context().wrap_ttl.is_none() {
                return Err(Failure::invalid("endpoint requires response wrapping to be used"));
            }
            let params = call.params().await?;
            let fields = params.fields()?;
            call.caller.wrapping_wrap(&fields).await?;
            Ok(call.data(&Object(&fields)))
        }
        ("unwrap", Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let token = fields.secret("token")?;
            let unwrapped = call.caller.wrapping_unwrap(token.as_ref(), &fields).await?;
            as_it_was(call.id, &unwrapped)
        }
        ("rewrap", Verb::Write) => {
            let params = call.params().await?;
            let fields = params.fields()?;
            let token = fields.secret("token")?;
            Ok(reply(&call.caller.wrapping_rewrap(token.as_ref(), &fields).await?, None))
        }
        ("wrap" | "unwrap" | "rewrap" | "lookup", _) => Err(Failure::unsupported_operation()),
        _ => Err(Failure::unsupported_path()),
    }
}

/// The reply as it was, under the id of this request.
fn as_it_was(id: Uuid, unwrapped: &Unwrapped) -> Outcome {
    let text = unwrapped.payload.expose();
    let at = envelope::request_id_at(text).ok_or_else(|| Error::internal("a wrapped reply is no envelope"))?;
    let mut body = Zeroizing::new(text.as_bytes().to_vec());
    let mut buffer = Uuid::encode_buffer();
    let fresh = id.hyphenated().encode_lower(&mut buffer);
    if let Some(place) = body.get_mut(at) {
        place.copy_from_slice(fresh.as_bytes());
    }
    let status = match unwrapped.tells {
        Tells::Result => error::success(Success::Body),
        Tells::Absence => error::absent_with_body(),
    };
    Ok(error::respond(status, error::JSON, envelope::wiped(body)))
}

/// The token that a write's body names.
fn named(parts: &Parts, body: Zeroizing<Vec<u8>>) -> Result<Option<Sensitive<String>>, Error> {
    token_in(&body_of(parts, body)?)
}

fn body_of(parts: &Parts, body: Zeroizing<Vec<u8>>) -> Result<lenient::Body, Error> {
    let declared = text_header(&parts.headers, &axum::http::header::CONTENT_TYPE);
    lenient::Body::of_write(body, declared).map_err(invalid)
}

fn token_in(body: &lenient::Body) -> Result<Option<Sensitive<String>>, Error> {
    body.fields().and_then(|fields| fields.secret("token")).map_err(invalid)
}

fn invalid(error: lenient::LenientError) -> Error {
    Error::invalid(error.to_string())
}

fn unparsable(text: &str) -> Error {
    let shown: String = text.chars().take(64).collect();
    Error::invalid(format!("error parsing X-Vault-Wrap-TTL header: time: invalid duration {shown:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ttl(text: &'static str) -> Result<Option<Duration>, String> {
        let headers = [("x-vault-wrap-ttl".parse().unwrap(), text.parse().unwrap())].into_iter().collect();
        asked(&headers).map_err(|error| error.public().to_owned())
    }

    #[test]
    fn wrap_ttl_is_seconds_or_a_go_duration() {
        for (text, seconds) in [("60", 60), ("5m", 300), ("1h30m", 5400), ("1d", 86_400), (" 60 ", 60)] {
            assert_eq!(ttl(text), Ok(Some(Duration::from_secs(seconds))), "{text}");
        }
        for none in ["", "0", "0s"] {
            assert_eq!(ttl(none), Ok(None), "{none:?}");
        }
        assert_eq!(
            ttl("bogus").unwrap_err(),
            "error parsing X-Vault-Wrap-TTL header: time: invalid duration \"bogus\""
        );
        for negative in ["-5", "-5s"] {
            assert!(ttl(negative).unwrap_err().ends_with("cannot be negative"), "{negative}");
        }
        for bad in ["1.5", "1e3", "1 h", "99999999999999999999", "\u{ff}"] {
            assert!(ttl(bad).is_err(), "{bad}");
        }
        assert_eq!(asked(&HeaderMap::new()).unwrap(), None);
    }
}
