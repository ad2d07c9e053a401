//! Requests of web pages from elsewhere, which browsers let through only where the server says so.

use axum::{
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use coffer_core::Core;

use super::{call::done, envelope};
use crate::{app::text_header, error};

/// What a request of a web page is to be answered with.
pub(super) enum Page {
    /// It is none, or nobody set which pages may call.
    No,
    /// It may call, and is told so.
    May { origin: String },
    /// The answer, which is not the request's own.
    Answered(Response),
}

/// Headers that a page may send wherever it may call.
pub(super) const HEADERS: [&str; 10] = [
    "Content-Type",
    "Authorization",
    "X-Vault-Token",
    "X-Vault-MFA",
    "X-Vault-No-Request-Forwarding",
    "X-Vault-Wrap-Format",
    "X-Vault-Wrap-TTL",
    "X-Requested-With",
    "X-Vault-AWS-IAM-Server-ID",
    "X-Vault-Policy-Override",
];

impl Page {
    pub(super) fn of(core: &Core, method: &Method, headers: &HeaderMap) -> Self {
        let Some(origin) = text_header(headers, &header::ORIGIN) else { return Self::No };
        let Some(cors) = core.cors() else { return Self::No };
        if !cors.allows(origin) {
            let body = envelope::errors(Some("origin not allowed"));
            return Self::Answered(error::respond(StatusCode::FORBIDDEN, error::JSON, body));
        }
        if *method != Method::OPTIONS {
            return Self::May { origin: origin.to_owned() };
        }
        let wanted = text_header(headers, &header::ACCESS_CONTROL_REQUEST_METHOD).unwrap_or_default();
        if !METHODS.split(',').any(|method| method == wanted) {
            let mut response = error::respond(StatusCode::METHOD_NOT_ALLOWED, error::JSON, Bytes::new());
            response.headers_mut().remove(header::CONTENT_TYPE);
            return Self::Answered(response);
        }
        let mut response = done();
        *response.status_mut() = StatusCode::OK;
        let mut allowed: Vec<&str> = HEADERS.to_vec();
        allowed.extend(cors.headers.iter().map(String::as_str));
        let told = response.headers_mut();
        told.remove(header::CONTENT_TYPE);
        told.remove(header::STRICT_TRANSPORT_SECURITY);
        told.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        told.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("300"));
        if let Ok(allowed) = HeaderValue::try_from(allowed.join(",")) {
            told.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
        Self::Answered(Self::May { origin: origin.to_owned() }.told(response))
    }

    /// The response with what the browser wants to see of it.
    pub(super) fn told(self, mut response: Response) -> Response {
        if let Self::May { origin } = self
            && let Ok(origin) = HeaderValue::try_from(origin)
        {
            response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        response
    }
}

const METHODS: &str = "DELETE,GET,OPTIONS,POST,PUT,LIST,SCAN";
