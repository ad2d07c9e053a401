//! From the core's errors to answers, in both dialects. Status codes stand here and nowhere else.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Uri, header},
    response::Response,
};
use bytes::Bytes;
use coffer_api::{Code, Problem, operator::NodeState};
use coffer_core::Error;
use uuid::Uuid;

use crate::vault::envelope;

/// What a success is answered with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Success {
    /// Begun, and going on.
    Accepted,
    /// With a body.
    Body,
    /// Done, and nothing to say.
    Empty,
}

/// How `sys/health` speaks of a state, unless the client asks for another status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Health {
    Active,
    Sealed,
    Standby,
    Uninitialized,
}

/// The status of a success.
pub(crate) fn success(success: Success) -> StatusCode {
    match success {
        Success::Accepted => StatusCode::ACCEPTED,
        Success::Body => StatusCode::OK,
        Success::Empty => StatusCode::NO_CONTENT,
    }
}

/// Whether clients may send requests to a node in this state.
pub(crate) fn readiness(state: NodeState) -> StatusCode {
    match state {
        NodeState::Active => StatusCode::OK,
        NodeState::Sealed | NodeState::Standby | NodeState::Starting => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The status of `sys/health`.
pub(crate) fn health(health: Health) -> StatusCode {
    match health {
        Health::Active => StatusCode::OK,
        Health::Sealed => StatusCode::SERVICE_UNAVAILABLE,
        Health::Standby => StatusCode::TOO_MANY_REQUESTS,
        Health::Uninitialized => StatusCode::NOT_IMPLEMENTED,
    }
}

/// A status that a client asked `sys/health` for; `None` where it is no status of a final answer.
pub(crate) fn requested(code: i64) -> Option<StatusCode> {
    let code = u16::try_from(code).ok().filter(|code| (200..600).contains(code))?;
    StatusCode::from_u16(code).ok()
}

/// A request that cannot be parsed, where its answer has no message.
pub(crate) fn malformed() -> StatusCode {
    StatusCode::BAD_REQUEST
}

/// A list of items of which some failed, and the server is at fault.
pub(crate) fn failed_items() -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}

/// Work that goes on in the background.
pub(crate) fn accepted() -> StatusCode {
    StatusCode::ACCEPTED
}

/// A read of the Vault dialect that found only what is deleted or destroyed: absent, yet with a body.
pub(crate) fn absent_with_body() -> StatusCode {
    StatusCode::NOT_FOUND
}

/// The native answer to an error; the cause goes to the log.
pub(crate) fn native(error: &Error, request_id: Uuid, target: &Uri) -> Response {
    error.log_cause(&request_id);
    let status = native_status(error);
    let problem = problem(error, request_id);
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    finish(status, PROBLEM, Bytes::from(body), error, request_id, target)
}

/// The body of the native answer to an error.
pub(crate) fn problem(error: &Error, request_id: Uuid) -> Problem {
    let code = error.code();
    let title = title(code);
    let public = match code {
        // The core's words are those that Vault's clients look for.
        Code::Sealed => "this server is sealed",
        Code::AuditUnavailable
        | Code::Conflict
        | Code::Denied
        | Code::DiskFull
        | Code::Integrity
        | Code::Internal
        | Code::Invalid
        | Code::InvalidCredentials
        | Code::KeyState
        | Code::MethodNotAllowed
        | Code::NotFound
        | Code::RateLimited
        | Code::Standby
        | Code::TooLarge
        | Code::Unauthenticated
        | Code::Unavailable
        | Code::Unresolved
        | Code::Unsupported => error.public(),
    };
    Problem {
        code,
        detail: (public != title).then(|| public.to_owned()),
        request_id: request_id.to_string(),
        status: native_status(error).as_u16(),
        title: title.to_owned(),
    }
}

/// The Vault dialect's answer to an error; the cause goes to the log.
pub(crate) fn vault(error: &Error, request_id: Uuid, target: &Uri) -> Response {
    error.log_cause(&request_id);
    let body = envelope::errors(vault_message(error, request_id).as_deref());
    let mut response = finish(vault_status(error), JSON, body, error, request_id, target);
    // It belongs to the status 401, which this dialect does not have.
    response.headers_mut().remove(header::WWW_AUTHENTICATE);
    response
}

/// The Vault dialect's answer to a PATCH of another type than JSON merge patch.
pub(crate) fn vault_media_type(declared: &str) -> Response {
    let declared: String = declared.chars().take(100).filter(|c| !c.is_control()).collect();
    let message = format!("PATCH requires Content-Type of application/merge-patch+json, provided {declared}");
    respond(StatusCode::UNSUPPORTED_MEDIA_TYPE, JSON, envelope::errors(Some(&message)))
}

/// The Vault dialect's answer to a PATCH of what does not exist: absent, without a body.
pub(crate) fn vault_nothing_to_patch() -> Response {
    respond(StatusCode::NOT_FOUND, JSON, Bytes::new())
}

/// An answer with the headers that every answer has.
pub(crate) fn respond(status: StatusCode, content_type: HeaderValue, body: Bytes) -> Response {
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::CACHE_CONTROL, NO_STORE);
    headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn finish(
    status: StatusCode,
    content_type: HeaderValue,
    body: Bytes,
    error: &Error,
    request_id: Uuid,
    target: &Uri,
) -> Response {
    let mut response = respond(status, content_type, body);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::try_from(request_id.to_string()) {
        headers.insert(REQUEST_ID, id);
    }
    match error.code() {
        Code::Standby => {
            if let Some(address) = error.active_address()
                && let Some(target) = target.path_and_query()
                && let Ok(location) = HeaderValue::try_from(format!("{address}{target}"))
            {
                headers.insert(header::LOCATION, location);
            }
        }
        Code::RateLimited => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Code::Unauthenticated => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        Code::AuditUnavailable
        | Code::Conflict
        | Code::Denied
        | Code::DiskFull
        | Code::Integrity
        | Code::Internal
        | Code::Invalid
        | Code::InvalidCredentials
        | Code::KeyState
        | Code::MethodNotAllowed
        | Code::NotFound
        | Code::Sealed
        | Code::TooLarge
        | Code::Unavailable
        | Code::Unresolved
        | Code::Unsupported => {}
    }
    response
}

fn native_status(error: &Error) -> StatusCode {
    match error.code() {
        Code::Unauthenticated | Code::InvalidCredentials => StatusCode::UNAUTHORIZED,
        Code::Conflict | Code::KeyState | Code::Unresolved => StatusCode::CONFLICT,
        Code::DiskFull => StatusCode::INSUFFICIENT_STORAGE,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::AuditUnavailable
        | Code::Denied
        | Code::Integrity
        | Code::Internal
        | Code::Invalid
        | Code::NotFound
        | Code::RateLimited
        | Code::Sealed
        | Code::Standby
        | Code::TooLarge
        | Code::Unavailable
        | Code::Unsupported => vault_status(error),
    }
}

fn vault_status(error: &Error) -> StatusCode {
    match error.code() {
        Code::AuditUnavailable | Code::DiskFull | Code::Sealed | Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Standby if error.active_address().is_some() => StatusCode::TEMPORARY_REDIRECT,
        Code::Standby => StatusCode::SERVICE_UNAVAILABLE,
        Code::Conflict
        | Code::Invalid
        | Code::InvalidCredentials
        | Code::KeyState
        | Code::Unresolved
        | Code::Unsupported => StatusCode::BAD_REQUEST,
        Code::Denied | Code::Unauthenticated => StatusCode::FORBIDDEN,
        Code::Integrity | Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
    }
}

/// The one text of an error body, or none: an empty list means "absent" to clients.
fn vault_message(error: &Error, request_id: Uuid) -> Option<String> {
    let words = error.vault_words();
    if words.is_empty() {
        return None;
    }
    match error.code() {
        Code::NotFound if words == title(Code::NotFound) => None,
        // Old clients look for these very words.
        Code::Unauthenticated => Some("permission denied".into()),
        Code::Sealed => Some("Vault is sealed".into()),
        Code::Integrity | Code::Internal => Some(format!("{words} (request id {request_id})")),
        Code::AuditUnavailable
        | Code::Conflict
        | Code::Denied
        | Code::DiskFull
        | Code::Invalid
        | Code::InvalidCredentials
        | Code::KeyState
        | Code::MethodNotAllowed
        | Code::NotFound
        | Code::RateLimited
        | Code::Standby
        | Code::TooLarge
        | Code::Unavailable
        | Code::Unresolved
        | Code::Unsupported => Some(words.to_owned()),
    }
}

fn title(code: Code) -> &'static str {
    match code {
        Code::AuditUnavailable => "the audit log cannot be written",
        Code::Conflict => "conflict",
        Code::Denied => "permission denied",
        Code::DiskFull => "disk full",
        Code::Integrity => "stored data failed its integrity check",
        Code::Internal => "internal error",
        Code::Invalid => "invalid request",
        Code::InvalidCredentials => "invalid credentials",
        Code::KeyState => "the key's state does not allow it",
        Code::MethodNotAllowed => "method not allowed",
        Code::NotFound => "not found",
        Code::RateLimited => "too many requests",
        Code::Sealed => "sealed",
        Code::Standby => "standby",
        Code::TooLarge => "too large",
        Code::Unauthenticated => "not logged in",
        Code::Unresolved => "a reference cannot be resolved",
        Code::Unavailable => "unavailable",
        Code::Unsupported => "unsupported",
    }
}

pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
/// The request's id, on native answers and on every error.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM: HeaderValue = HeaderValue::from_static("application/problem+json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(error: &Error) -> (Response, Response) {
        let uri = Uri::from_static("http://x/v1/secret/data/a?version=1");
        (native(error, Uuid::nil(), &uri), vault(error, Uuid::nil(), &uri))
    }

    #[test]
    fn standby_redirects_to_where_it_knows_the_active_node() {
        let (native, vault) = answered(&Error::standby(Some("https://other:8200".into())));
        for response in [native, vault] {
            assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
            assert_eq!(response.headers()[header::LOCATION], "https://other:8200/v1/secret/data/a?version=1");
        }
        let (native, vault) = answered(&Error::standby(None));
        for response in [native, vault] {
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert!(!response.headers().contains_key(header::LOCATION));
        }
    }

    #[test]
    fn unsure_is_never_absent() {
        for code in
            [Code::AuditUnavailable, Code::DiskFull, Code::Integrity, Code::Internal, Code::Sealed, Code::Unavailable]
        {
            let (native, vault) = answered(&Error::new(code, "x"));
            assert!(native.status().is_server_error() && vault.status().is_server_error(), "{code:?}");
        }
    }

    #[test]
    fn cause_stays_inside() {
        let error = Error::internal("hunter2 in /var/lib/coffer");
        let shown = serde_json::to_string(&problem(&error, Uuid::nil())).unwrap();
        assert_eq!(
            shown,
            format!(r#"{{"code":"internal","request_id":"{}","status":500,"title":"internal error"}}"#, Uuid::nil())
        );
        let message = vault_message(&error, Uuid::nil()).unwrap();
        assert_eq!(message, format!("internal error (request id {})", Uuid::nil()));
    }

    #[test]
    fn sealed_server_speaks_of_itself() {
        let sealed = problem(&Error::new(Code::Sealed, "Vault is sealed"), Uuid::nil());
        assert_eq!(sealed.detail.as_deref(), Some("this server is sealed"));
    }

    #[test]
    fn old_clients_find_their_words() {
        let message = |code, text: &'static str| vault_message(&Error::new(code, text), Uuid::nil());
        assert_eq!(message(Code::Sealed, "x").as_deref(), Some("Vault is sealed"));
        assert_eq!(message(Code::Unauthenticated, "x").as_deref(), Some("permission denied"));
        assert_eq!(message(Code::NotFound, "not found"), None);
        assert_eq!(message(Code::NotFound, "namespace not found").as_deref(), Some("namespace not found"));
        assert_eq!(message(Code::MethodNotAllowed, ""), None);
    }
}
