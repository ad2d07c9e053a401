//! The one route of the Vault dialect: who asks, for what, and which mount answers.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, Method, Request, request::Parts},
    response::Response,
};
use coffer_api::{Code, operator::NodeState};
use coffer_core::{Core, Error, MountKind};

use super::{
    approle,
    call::{Failure, Outcome, VaultCall, Verb, done},
    cors::Page,
    cubbyhole, help, identity, ignored, kv, kv1, lenient,
    lenient::decode_percent,
    seal, status, sys, token, transit, userpass, wrapping,
};
use crate::{
    app::{App, Origin, token_of},
    error,
    logical::logical_path,
};

/// Answers a request under `/v1/`.
pub(crate) async fn answer(app: &App, origin: Origin, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let namespace = parts.headers.get(&NAMESPACE).filter(|name| !name.is_empty()).cloned();
    let page = Page::of(app.core(), &parts.method, &parts.headers);
    let mut response = match page {
        Page::Answered(response) => response,
        // Boxed, as it is handed on and on.
        page => page.told(answer_anywhere(app, origin, Box::new(parts), body).await),
    };
    if let Some(namespace) = namespace {
        response.headers_mut().insert(NAMESPACE, namespace);
    }
    response
}

async fn answer_anywhere(app: &App, origin: Origin, parts: Box<Parts>, body: Body) -> Response {
    let uri = parts.uri.clone();
    if let Some(refused) = namespace_refused(&parts) {
        let refused = Box::pin(app.core().refuse_anonymous(app.context(origin, &parts), refused)).await;
        return error::vault(&refused, origin.id, &uri);
    }
    if let Some(response) = status::answer(app, origin, &parts) {
        return response;
    }
    let outcome = match split(&parts) {
        Ok(Split { verb, path }) => {
            if let Some(login) = userpass::Login::of(app.core(), verb, &path) {
                let wish = wrapping::OfLogin::new(app, origin, &parts, &path);
                Box::pin(wish.around(app, login.answer(app, origin, parts, body))).await
            } else if let Some(login) = approle::Login::parse(app.core(), verb, &path) {
                let wish = wrapping::OfLogin::new(app, origin, &parts, &path);
                Box::pin(wish.around(app, login.answer(app, origin, parts, body))).await
            } else if path == "sys/wrapping/lookup" && matches!(verb, Verb::Read | Verb::Write) {
                Box::pin(wrapping::lookup(app, origin, parts, body)).await
            } else if seal::is_seal(&path) {
                Box::pin(seal::answer(app, origin, verb, &path, parts, body)).await
            } else if is_for_anybody(verb, &path, &parts.headers) {
                let warnings = ignored::of_query(parts.uri.query(), MountKind::System, "internal/ui/mounts");
                Box::pin(sys::anonymous(app, origin, app.context(origin, &parts), warnings)).await
            } else if verb == Verb::Write && matches!(path.as_str(), "sys/wrapping/unwrap" | "sys/wrapping/rewrap") {
                Box::pin(wrapping::take(app, origin, path, parts, body)).await
            } else if verb == Verb::Write && path == "sys/seal" && app.core().status().state == NodeState::Sealed {
                // Done already, whoever asks; and nobody can be known.
                Ok(done())
            } else {
                authenticated(app, origin, verb, path, parts, body).await
            }
        }
        Err(refused) => Box::pin(refuse_unrouted(app, origin, &parts, refused)).await,
    };
    outcome.unwrap_or_else(|error| error::vault(&error, origin.id, &uri))
}

/// Whether a path below `/v1/` is the native API's alias: `secrets/…`, as long as no mount has that name. Whoever names
/// a namespace speaks this dialect, and is told in it that there is none.
pub(crate) fn is_native_alias(core: &Core, path: &str, headers: &HeaderMap) -> bool {
    path.starts_with("secrets/") && !core.has_mount("secrets/") && is_root_namespace(headers)
}

/// A request as the dialect sees it before anybody is known.
struct Split {
    verb: Verb,
    path: String,
}

fn split(parts: &Parts) -> Result<Split, Error> {
    let raw = parts.uri.path().strip_prefix("/v1/").unwrap_or_default();
    let verb = Verb::of(&parts.method).ok_or_else(|| method_not_allowed(parts))?;
    let verb = match parts.uri.query() {
        Some(query) if verb == Verb::Read => listing(query)?,
        Some(_) | None => verb,
    };
    let path = decode_percent(raw).ok_or_else(|| Error::invalid("the path is not percent-encoded UTF-8"))?;
    Ok(Split { verb, path: logical_path(path.into_owned(), verb.operation())? })
}

/// A GET's verb: `list=true` and `scan=true` make lists of it. Of several values the first counts; none at all is false.
fn listing(query: &str) -> Result<Verb, Error> {
    if help::is_asked_for(Some(query)) {
        return Ok(Verb::Read);
    }
    let flag = |name: &str| -> Result<bool, Error> {
        let mut pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        match pairs.find(|(key, _)| *key == name) {
            Some((_, value)) if !value.is_empty() => lenient::go_bool(value).ok_or_else(|| Error::invalid(NO_MESSAGE)),
            Some(_) | None => Ok(false),
        }
    };
    match (flag("list")?, flag("scan")?) {
        (true, true) => Err(Error::invalid(NO_MESSAGE)),
        (true, false) => Ok(Verb::List),
        (false, true) => Ok(Verb::Scan),
        (false, false) => Ok(Verb::Read),
    }
}

fn method_not_allowed(parts: &Parts) -> Error {
    if parts.method == Method::OPTIONS {
        return Error::invalid("cannot handle internal-only request operation");
    }
    Error::new(Code::MethodNotAllowed, NO_MESSAGE)
}

/// The one request that a caller without a token may make and one with a token gets more from.
fn is_for_anybody(verb: Verb, path: &str, headers: &HeaderMap) -> bool {
    verb == Verb::Read && path == sys::UI_MOUNTS && token_of(headers).is_none()
}

/// A request that is refused before its path means anything: who is known gets the reason, anybody else the usual
/// refusal.
async fn refuse_unrouted(app: &App, origin: Origin, parts: &Parts, refused: Error) -> Result<Response, Error> {
    let cx = app.context(origin, parts);
    if parts.method == Method::OPTIONS {
        // Whoever asks: browsers send no token along with it.
        return Err(app.core().refuse_anonymous(cx, refused).await);
    }
    let token = token_of(&parts.headers);
    let caller = app.core().caller(cx, token.as_ref().map(|t| t.expose().as_str())).await?;
    let error = caller.refuse_unparsed(refused).await;
    caller.finish().await;
    Err(error)
}

/// A request that asks for a token.
pub(crate) async fn authenticated(
    app: &App,
    origin: Origin,
    verb: Verb,
    path: String,
    mut parts: Box<Parts>,
    body: Body,
) -> Result<Response, Error> {
    match path.as_str() {
        "sys/config/state/sanitized" => drop(parts.extensions.insert(Arc::clone(app.sanitized()))),
        "sys/in-flight-req" => drop(parts.extensions.insert(app.in_flight().clone())),
        _ => {}
    }
    let token = token_of(&parts.headers);
    let mut cx = app.context(origin, &parts);
    cx.wrap_ttl = match wrapping::asked(&parts.headers) {
        Ok(asked) => asked,
        // Whoever asks: it is looked at before the token is.
        Err(refused) => return Err(Box::pin(app.core().refuse_anonymous(cx, refused)).await),
    };
    let caller = app.core().caller(cx, token.as_ref().map(|token| token.expose().as_str())).await?;
    if verb == Verb::Write && path == "sys/seal" {
        // The caller holds on to the keys that are to go, so it goes along.
        return Box::pin(app.core().seal(caller)).await.map(|()| done());
    }
    if verb == Verb::Write && path == "sys/step-down" {
        return Box::pin(app.core().step_down(caller)).await.map(|()| done());
    }
    let bodies = app.bodies().clone();
    let mut call = VaultCall::new(caller, origin.id, (verb, path), parts, body, bodies);
    let outcome = match call.see_query() {
        Err(failure) => Err(failure),
        Ok(()) => routed(&mut call).await,
    };
    let answered = match outcome {
        Ok(response) if call.caller.context().wrap_ttl.is_some() => {
            Box::pin(wrapping::enclose(app, &mut call, response)).await
        }
        Ok(response) => Ok(response),
        Err(Failure::Recorded(error)) => Err(error),
        Err(Failure::Request(error)) => Err(Box::pin(call.refuse(error)).await),
        Err(Failure::MediaType) => {
            let refused = Error::invalid("wrong content type");
            let error = Box::pin(call.refuse(refused)).await;
            match error.code() {
                Code::Invalid => Ok(error::vault_media_type(call.content_type().unwrap_or_default())),
                _ => Err(error),
            }
        }
    };
    if answered.is_ok() {
        call.caller.answered();
    }
    call.caller.finish().await;
    answered
}

/// What is boxed here and in [`kv`] is what a KV read does without: a request's future is moved about before it runs,
/// so it should be no larger than the hot path needs.
async fn routed(call: &mut VaultCall) -> Outcome {
    // A mount's own path is the mount, with or without its slash.
    let found = call.caller.resolve(&call.path).or_else(|| call.caller.resolve(&format!("{}/", call.path)));
    let Some(mount) = found else { return Err(no_route(&call.path)) };
    if matches!(call.verb, Verb::Read | Verb::Write) && help::is_asked_for(call.parts.uri.query()) {
        return Box::pin(help::answer(call, &mount)).await;
    }
    let rest = call.path.strip_prefix(mount.path.as_str()).unwrap_or_default().to_owned();
    let answered = match mount.kind {
        MountKind::Approle => Box::pin(approle::answer(call, &mount, &rest)).await,
        MountKind::KvV2 => kv::answer(call, &mount, &rest).await,
        MountKind::Generic | MountKind::KvV1 => Box::pin(kv1::answer(call, &mount, &rest)).await,
        MountKind::Identity => Box::pin(identity::answer(call, &rest)).await,
        MountKind::System => Box::pin(sys::answer(call, &rest)).await,
        MountKind::Token => Box::pin(token::answer(call, &rest)).await,
        MountKind::Userpass => Box::pin(userpass::answer(call, &mount, &rest)).await,
        MountKind::Cubbyhole => Box::pin(cubbyhole::answer(call, &rest)).await,
        MountKind::Transit => Box::pin(transit::answer(call, &mount, &rest)).await,
    }?;
    if !call.has_parameters() {
        return Ok(answered);
    }
    let warnings = ignored::of_call(call, &answered, mount.kind, &rest);
    if warnings.is_empty() {
        return Ok(answered);
    }
    Ok(Box::pin(ignored::told(answered, warnings)).await)
}

fn no_route(path: &str) -> Failure {
    let shown: String = path.chars().take(200).collect();
    Failure::Request(Error::new(Code::NotFound, format!("no handler for route {shown:?}. route entry not found.")))
}

/// Why a request for a namespace is refused, whoever asks: there is only the root one, and what concerns the whole
/// server is asked for without naming any.
fn namespace_refused(parts: &Parts) -> Option<Error> {
    parts.headers.get(&NAMESPACE).filter(|name| !name.is_empty())?;
    let path = parts.uri.path().strip_prefix("/v1/sys/").unwrap_or_default();
    let first = path.split('/').next().unwrap_or_default();
    if matches!(first, "generate-root" | "health" | "init" | "metrics" | "rekey") {
        return Some(Error::invalid("operation unavailable in namespaces"));
    }
    (!is_root_namespace(&parts.headers) && path != "seal-status")
        .then(|| Error::new(Code::NotFound, "namespace not found"))
}

/// Whether a request names no namespace, or the one there is.
fn is_root_namespace(headers: &HeaderMap) -> bool {
    let Some(name) = headers.get(&NAMESPACE).map(|name| name.as_bytes()) else { return true };
    let name = name.strip_prefix(b"/").unwrap_or(name);
    let name = name.strip_suffix(b"/").unwrap_or(name);
    matches!(name, b"" | b"root")
}

const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Errors of Go's that come as an empty list have no text to show.
const NO_MESSAGE: &str = "";

#[cfg(test)]
mod tests {
    use super::*;

    fn split_of(method: &str, uri: &str) -> Result<(Verb, String), String> {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        split(&request.into_parts().0).map(|s| (s.verb, s.path)).map_err(|error| error.public().to_owned())
    }

    #[test]
    fn verbs_and_list_flags_are_understood() {
        let split = |method: &str, uri: &str| split_of(method, uri).unwrap();
        assert_eq!(split("PUT", "/v1/secret/data/a"), (Verb::Write, "secret/data/a".into()));
        assert_eq!(split("LIST", "/v1/secret/metadata"), (Verb::List, "secret/metadata/".into()));
        assert_eq!(split("GET", "/v1/secret/metadata?list=T"), (Verb::List, "secret/metadata/".into()));
        assert_eq!(split("GET", "/v1/secret/metadata/?x=1&scan=1"), (Verb::Scan, "secret/metadata/".into()));
        assert_eq!(split("GET", "/v1/secret/data/a?list=false"), (Verb::Read, "secret/data/a".into()));
        assert_eq!(split("DELETE", "/v1/secret/data/a?list=true"), (Verb::Delete, "secret/data/a".into()));
        for read in ["/v1/a?list=", "/v1/a?list", "/v1/a?list=false&list=true", "/v1/a?help=0&list=true"] {
            assert_eq!(split("GET", read).0, Verb::Read, "{read}");
        }
        for bad in ["/v1/a?list=yes", "/v1/a?scan=yes", "/v1/a?list=true&scan=true"] {
            assert!(split_of("GET", bad).is_err(), "{bad}");
        }
        for method in ["HEAD", "TRACE", "OPTIONS", "BREW"] {
            assert!(split_of(method, "/v1/a").is_err(), "{method}");
        }
    }

    #[test]
    fn path_is_decoded_and_bad_ones_are_refused() {
        let path = |uri: &str| split_of("GET", uri).unwrap().1;
        assert_eq!(path("/v1/secret/data/%20sp%20ace/x"), "secret/data/ sp ace/x");
        assert_eq!(path("/v1/secret/data/uni%C3%A9"), "secret/data/unié");
        assert_eq!(path("/v1/secret/data/a.b/..c"), "secret/data/a.b/..c");
        for bad in [
            "/v1/a//b",
            "/v1//a",
            "/v1/a/../b",
            "/v1/a/./b",
            "/v1/..",
            "/v1/a/..",
            "/v1/a/%2e%2e/b",
            "/v1/a%2f%2fb",
            "/v1/a%00b",
            "/v1/a%ff",
            "/v1/a%2",
            "/v1/a%0Ab",
        ] {
            assert!(split_of("GET", bad).is_err(), "{bad}");
        }
        assert!(split_of("POST", "/v1/secret/data/").unwrap_err().contains("ending in '/'"));
        assert!(split_of("GET", &format!("/v1/{}", "a".repeat(4097))).is_err());
    }
}
