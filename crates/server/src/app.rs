//! What every request meets first: its id, its time limit, its place among the dialects.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::OriginalUri,
    http::{HeaderMap, HeaderValue, Method, Request, Uri, header, request::Parts},
    response::Response,
};
use coffer_api::{Code, Sensitive};
use coffer_core::{Context, Core, Error};
use futures_util::FutureExt;
use tokio::time::error::Elapsed;
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    arriving::Arriving,
    body::Bodies,
    config::Sanitized,
    error,
    in_flight::InFlight,
    listener::{Answer, Peer},
    native,
    request_id::RequestIds,
    vault,
};

/// What requests share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Shared>);

struct Shared {
    core: Arc<Core>,
    ids: RequestIds,
    bodies: Bodies,
    own_uid: u32,
    timeout: Duration,
    sanitized: Arc<Sanitized>,
    in_flight: InFlight,
}

/// The listener's side: the application with its routes.
#[derive(Clone)]
pub(crate) struct Server {
    app: App,
    native: Router,
}

/// Where a request came from, and its id.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) id: Uuid,
    pub(crate) peer: Peer,
}

impl App {
    /// `timeout` bounds the wait for an answer.
    pub(crate) fn new(core: Arc<Core>, bodies: Bodies, timeout: Duration, sanitized: Arc<Sanitized>) -> Self {
        let own_uid = rustix::process::geteuid().as_raw();
        let in_flight = InFlight::default();
        Self(Arc::new(Shared { core, ids: RequestIds::new(), bodies, own_uid, timeout, sanitized, in_flight }))
    }

    /// The configuration, for who may read it.
    pub(crate) fn sanitized(&self) -> &Arc<Sanitized> {
        &self.0.sanitized
    }

    /// What is being answered.
    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.0.core
    }

    pub(crate) fn bodies(&self) -> &Bodies {
        &self.0.bodies
    }

    /// The facts of a request.
    pub(crate) fn context(&self, origin: Origin, parts: &Parts) -> Context {
        // An alias was turned into what it stands for by now.
        let dialect = match asked_uri(parts).path().starts_with("/v1/") {
            true => coffer_core::Dialect::Vault,
            false => coffer_core::Dialect::Native,
        };
        let (remote, local_uid) = match origin.peer {
            Peer::Network(remote) => (Some(remote), None),
            Peer::Local { uid } => (None, Some(uid).filter(|uid| *uid == self.0.own_uid)),
        };
        Context {
            request_id: origin.id,
            remote,
            local_uid,
            method: method_name(&parts.method),
            path: asked_uri(parts).path().to_owned(),
            user_agent: text_header(&parts.headers, &header::USER_AGENT)
                // It is ASCII by now, so that every byte is a character.
                .map(|text| text.get(..256).unwrap_or(text).to_owned()),
            dialect,
            headers: self.core().logged_headers(|name| {
                let values: Vec<&str> =
                    parts.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
                (!values.is_empty()).then(|| values.join(", "))
            }),
            wrap_ttl: None,
        }
    }
}

impl Server {
    pub(crate) fn new(app: App) -> Self {
        Self { native: native::routes(app.clone()), app }
    }

    async fn dispatch(self, dialect: Dialect, origin: Origin, request: Request<Body>) -> Response {
        match dialect {
            Dialect::Native => self.native(origin, request).await,
            Dialect::NativeAlias => self.native(origin, native::unalias(request)).await,
            Dialect::Vault => vault::answer(&self.app, origin, request).await,
        }
    }

    async fn native(self, origin: Origin, mut request: Request<Body>) -> Response {
        request.extensions_mut().insert(origin);
        let mut response = match self.native.oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if let Ok(id) = HeaderValue::try_from(origin.id.to_string()) {
            response.headers_mut().insert(error::REQUEST_ID, id);
        }
        response
    }
}

impl Answer for Server {
    async fn answer(&self, peer: Peer, request: Request<Arriving>) -> Response {
        let origin = Origin { id: self.app.0.ids.next(), peer };
        let _flight = self.app.0.in_flight.enter(origin, &request);
        let dialect = Dialect::of(self.app.core(), &request);
        let uri = request.uri().clone();
        let effect = Effect::of(request.method());
        let work = self.clone().dispatch(dialect, origin, request.map(Body::new));
        let outcome = guarded(effect, self.app.0.timeout, work).await;
        let failed = match outcome {
            Ok(Some(response)) => return response,
            // The panic hook has logged where and why.
            Ok(None) => Error::new(Code::Internal, "internal error"),
            Err(_) => Error::new(Code::Unavailable, "the request took too long; read what is there before you retry"),
        };
        dialect.failed(&failed, origin.id, &uri)
    }
}

/// Which of the server's languages a request is in: decided once, for its answer and for whatever comes instead of one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Dialect {
    Native,
    /// `/v1/secrets/…`.
    NativeAlias,
    Vault,
}

impl Dialect {
    fn of<B>(core: &Core, request: &Request<B>) -> Self {
        match request.uri().path().strip_prefix("/v1/") {
            None => Self::Native,
            Some(path) if vault::is_native_alias(core, path, request.headers()) => Self::NativeAlias,
            Some(_) => Self::Vault,
        }
    }

    fn failed(self, error: &Error, id: Uuid, uri: &Uri) -> Response {
        match self {
            Self::Native | Self::NativeAlias => error::native(error, id, uri),
            Self::Vault => error::vault(error, id, uri),
        }
    }
}

/// What may happen to a request half-way.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Effect {
    /// It must come to its end.
    Changes,
    /// It may be dropped.
    Reads,
}

impl Effect {
    fn of(method: &Method) -> Self {
        match method.as_str() {
            "GET" | "HEAD" | "LIST" | "SCAN" => Self::Reads,
            _ => Self::Changes,
        }
    }
}

/// Runs a request within a time limit; `None` where it panicked. A change runs as a task of its own, so that neither a
/// client that hangs up nor the limit stops it between its commit and its log entry.
async fn guarded<T: Send + 'static>(
    effect: Effect,
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Result<Option<T>, Elapsed> {
    match effect {
        Effect::Changes => tokio::time::timeout(limit, tokio::spawn(work)).await.map(Result::ok),
        Effect::Reads => tokio::time::timeout(limit, AssertUnwindSafe(work).catch_unwind()).await.map(Result::ok),
    }
}

/// The target as the client sent it: below `/api/v1` the router strips that prefix from the other one.
pub(crate) fn asked_uri(parts: &Parts) -> &Uri {
    parts.extensions.get::<OriginalUri>().map_or(&parts.uri, |asked| &asked.0)
}

/// The token a request carries: `X-Vault-Token`, else (also where that is empty) a bearer token; an empty one is none.
pub(crate) fn token_of(headers: &HeaderMap) -> Option<Sensitive<String>> {
    let token = match headers.get("x-vault-token").filter(|token| !token.is_empty()) {
        Some(token) => token.to_str().ok(),
        None => text_header(headers, &header::AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        }),
    };
    token.filter(|token| !token.is_empty()).map(Sensitive::from)
}

/// A header's value where it is text.
pub(crate) fn text_header<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "DELETE" => "DELETE",
        "GET" => "GET",
        "HEAD" => "HEAD",
        "LIST" => "LIST",
        "OPTIONS" => "OPTIONS",
        "PATCH" => "PATCH",
        "POST" => "POST",
        "PUT" => "PUT",
        "SCAN" => "SCAN",
        _ => "OTHER",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(headers: &[(&'static str, &'static str)]) -> Option<String> {
        let headers = headers
            .iter()
            .map(|(name, value)| (header::HeaderName::from_static(name), HeaderValue::from_static(value)));
        token_of(&headers.collect()).map(|token| token.expose().clone())
    }

    fn size<F>(_: impl FnOnce(Server, Dialect, Origin, Request<Body>) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn future_of_a_request_stays_small() {
        // It is moved several times before it runs; what is large and rare is boxed.
        let size = size(|server, dialect, origin, request| server.dispatch(dialect, origin, request));
        assert!(size <= 4 << 10, "{size} bytes");
    }

    #[test]
    fn what_ends_early_is_told_in_the_language_it_was_asked_in() {
        let error = Error::new(Code::Unavailable, "the request took too long");
        for (dialect, media_type) in [
            (Dialect::Native, "application/problem+json"),
            (Dialect::NativeAlias, "application/problem+json"),
            (Dialect::Vault, "application/json"),
        ] {
            let told = dialect.failed(&error, Uuid::nil(), &Uri::from_static("/v1/secrets/a:b/C"));
            assert_eq!(told.headers()[header::CONTENT_TYPE], media_type, "{dialect:?}");
        }
    }

    #[tokio::test]
    async fn change_outlives_the_client_and_a_read_does_not() {
        for (effect, finishes) in [(Effect::Changes, true), (Effect::Reads, false)] {
            let (go, gate) = tokio::sync::oneshot::channel::<()>();
            let (done, finished) = tokio::sync::oneshot::channel();
            let work = async {
                let _ = gate.await;
                let _ = done.send(());
            };
            let mut request = Box::pin(guarded(effect, Duration::from_secs(60), work));
            assert!((&mut request).now_or_never().is_none());
            drop(request);
            let _ = go.send(());
            assert_eq!(finished.await.is_ok(), finishes, "{effect:?}");
        }
    }

    #[tokio::test]
    async fn panic_and_time_limit_are_told_apart() {
        for effect in [Effect::Changes, Effect::Reads] {
            let limit = Duration::from_secs(60);
            assert_eq!(guarded(effect, limit, async { 7 }).await.unwrap(), Some(7));
            let panics = async {
                if Uuid::nil().is_nil() {
                    panic!("as the test wants")
                }
            };
            assert_eq!(guarded(effect, limit, panics).await.unwrap(), None);
            let never = std::future::pending::<()>();
            assert!(guarded(effect, Duration::from_millis(1), never).await.is_err());
        }
    }

    #[test]
    fn token_header_wins_over_bearer() {
        assert_eq!(token(&[("x-vault-token", "a"), ("authorization", "Bearer b")]).as_deref(), Some("a"));
        assert_eq!(token(&[("authorization", "bearer  b ")]).as_deref(), Some("b"));
        assert_eq!(token(&[("x-vault-token", ""), ("authorization", "Bearer b")]).as_deref(), Some("b"));
        assert_eq!(
            token(&[("x-vault-token", "bad token"), ("authorization", "Bearer b")]).as_deref(),
            Some("bad token")
        );
        for other in ["Basic eDp5", "Bearer", "Bearer ", "b"] {
            assert_eq!(token(&[("authorization", other)]), None, "{other}");
        }
    }
}
