//! One call: request, at most one redirect, reply or error.

use std::sync::PoisonError;

use bytes::Bytes;
use coffer_api::{Code, Problem, Sensitive};
use hyper::{
    Method, Request,
    header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, USER_AGENT},
};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

use crate::{
    Address, Client, Error, Plan,
    address::Endpoint,
    error::RedirectError,
    route::Route,
    transport::{Body, Incoming, Opened, Reply},
};

/// A token ready to be sent: marked sensitive, so that no `Debug` shows it.
pub(crate) struct Credential(HeaderValue);

/// A request without its address.
pub(crate) struct Call {
    method: Method,
    route: Route,
    body: Option<Bytes>,
}

/// Which statuses carry the reply that was asked for.
#[derive(Clone, Copy)]
pub(crate) enum Accept {
    /// 2xx.
    Success,
    /// 2xx, or 503 with the same body (`/readyz`).
    SuccessOrUnavailable,
}

impl Credential {
    /// Checks and wraps a token.
    pub(crate) fn new(token: &Sensitive<String>) -> Result<Self, Error> {
        let token = token.expose();
        if token.is_empty() || !token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(Error::Token);
        }
        let mut value = HeaderValue::from_maybe_shared(wiped(Zeroizing::new(token.clone().into_bytes())))
            .map_err(|_| Error::Token)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Call {
    pub(crate) fn get(route: Route) -> Self {
        Self { method: Method::GET, route, body: None }
    }

    pub(crate) fn delete(route: Route) -> Self {
        Self { method: Method::DELETE, route, body: None }
    }

    pub(crate) fn post_empty(route: Route) -> Self {
        Self { method: Method::POST, route, body: None }
    }

    pub(crate) fn post(route: Route, body: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { method: Method::POST, route, body: Some(json(body)?) })
    }

    pub(crate) fn put(route: Route, body: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { method: Method::PUT, route, body: Some(json(body)?) })
    }

    pub(crate) fn patch(route: Route, body: &impl Serialize) -> Result<Self, Error> {
        Ok(Self { method: Method::PATCH, route, body: Some(json(body)?) })
    }
}

impl Client {
    /// Sends a call and reads its reply.
    pub(crate) async fn reply<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        self.reply_to(call, self.credential.as_ref(), Accept::Success).await
    }

    /// Sends a call whose reply says nothing.
    pub(crate) async fn done(&self, call: Call) -> Result<(), Error> {
        self.exchange(&call, self.credential.as_ref(), Accept::Success).await.map(|_| ())
    }

    /// As [`Self::reply`] without a token, with the time by the server's clock.
    pub(crate) async fn reply_dated<T: DeserializeOwned>(
        &self,
        call: Call,
        accept: Accept,
    ) -> Result<(T, Option<String>), Error> {
        let (address, reply) = self.exchange(&call, None, accept).await?;
        let value = read(address, &call, &reply)?;
        Ok((value, reply.date))
    }

    /// As [`Self::reply`], with another token or none, and other statuses.
    pub(crate) async fn reply_to<T: DeserializeOwned>(
        &self,
        call: Call,
        credential: Option<&Credential>,
        accept: Accept,
    ) -> Result<T, Error> {
        let (address, reply) = self.exchange(&call, credential, accept).await?;
        read(address, &call, &reply)
    }

    /// Sends a call whose reply is read piece by piece.
    pub(crate) async fn stream(&self, call: Call) -> Result<Incoming, Error> {
        let credential = self.credential.as_ref();
        self.send_or_plan(&call, credential)?;
        let mut address = self.address.clone();
        let mut opened = self.transport.open(&address, call.request(&address, credential)?).await?;
        if let Opened::Refused(reply) = &opened
            && reply.status == REDIRECT
        {
            address = next_address(&address, &call, reply.location.as_deref())
                .map_err(|reason| Error::Redirect { address: address.clone(), reason })?;
            opened = self.transport.open(&address, call.request(&address, credential)?).await?;
        }
        match opened {
            Opened::Success(incoming) => Ok(incoming),
            Opened::Refused(reply) if reply.status == REDIRECT => {
                Err(Error::Redirect { address, reason: RedirectError::Again })
            }
            Opened::Refused(reply) => Err(problem(address, &call, &reply)),
        }
    }

    /// [`Error::Planned`] where calls are not sent but written down.
    fn send_or_plan(&self, call: &Call, credential: Option<&Credential>) -> Result<(), Error> {
        let Some(plans) = &self.plans else { return Ok(()) };
        let plan = call.plan(&self.address, credential);
        plans.lock().unwrap_or_else(PoisonError::into_inner).push(plan);
        Err(Error::Planned)
    }

    async fn exchange(
        &self,
        call: &Call,
        credential: Option<&Credential>,
        accept: Accept,
    ) -> Result<(Address, Reply), Error> {
        self.send_or_plan(call, credential)?;
        let mut address = self.address.clone();
        let mut reply = self.transport.exchange(&address, call.request(&address, credential)?).await?;
        if reply.status == REDIRECT {
            address = next_address(&address, call, reply.location.as_deref())
                .map_err(|reason| Error::Redirect { address: address.clone(), reason })?;
            reply = self.transport.exchange(&address, call.request(&address, credential)?).await?;
            if reply.status == REDIRECT {
                return Err(Error::Redirect { address, reason: RedirectError::Again });
            }
        }
        match (reply.status, accept) {
            (200..=299, _) | (503, Accept::SuccessOrUnavailable) => Ok((address, reply)),
            (_, Accept::Success | Accept::SuccessOrUnavailable) => Err(problem(address, call, &reply)),
        }
    }
}

impl Call {
    fn plan(&self, address: &Address, credential: Option<&Credential>) -> Plan {
        let text = |body: &Bytes| String::from_utf8_lossy(body).into_owned();
        Plan {
            address: address.clone(),
            method: self.method.to_string(),
            path: self.route.as_str().to_owned(),
            body: self.body.as_ref().map(text),
            has_token: credential.is_some(),
        }
    }

    fn request(&self, address: &Address, credential: Option<&Credential>) -> Result<Request<Body>, Error> {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(self.route.as_str())
            .header(HOST, address.host())
            .header(USER_AGENT, concat!("coffer/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json");
        if let Some(Credential(value)) = credential {
            request = request.header(TOKEN, value.clone());
        }
        if self.body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request
            .body(Body::new(self.body.clone().unwrap_or_default()))
            .map_err(|_| Error::Name(self.route.as_str().chars().take(200).collect()))
    }
}

/// Only the address changes: a redirect elsewhere on the way could turn one request into another.
fn next_address(from: &Address, call: &Call, location: Option<&str>) -> Result<Address, RedirectError> {
    if matches!(from.endpoint(), Endpoint::Unix(_)) {
        return Err(RedirectError::Socket);
    }
    let (address, rest) = Address::of_url(location.ok_or(RedirectError::Missing)?)?;
    if from.is_encrypted() && !address.is_encrypted() {
        return Err(RedirectError::Plain);
    }
    if rest != call.route.as_str() {
        return Err(RedirectError::Path);
    }
    Ok(address)
}

fn read<T: DeserializeOwned>(address: Address, call: &Call, reply: &Reply) -> Result<T, Error> {
    match serde_json::from_slice(&reply.body) {
        Ok(value) => Ok(value),
        // A 503 with another body than the one asked for is a problem after all.
        Err(_) if reply.status >= 400 => Err(problem(address, call, reply)),
        Err(error) => Err(Error::Reply { address, line: error.line(), column: error.column() }),
    }
}

fn problem(address: Address, call: &Call, reply: &Reply) -> Error {
    let problem = match serde_json::from_slice::<Problem>(&reply.body) {
        Ok(problem) => Some(problem),
        Err(_) if call.route.as_str().starts_with("/v1/") => vault_problem(reply),
        Err(_) => None,
    };
    match problem {
        Some(problem) => {
            Error::Problem { problem: Box::new(problem), status: reply.status, retry_after: reply.retry_after }
        }
        None => Error::Status { address, status: reply.status },
    }
}

/// An error of the Vault dialect, which has a text and no code.
fn vault_problem(reply: &Reply) -> Option<Problem> {
    #[derive(serde::Deserialize)]
    struct Errors {
        errors: Vec<String>,
    }
    let text = serde_json::from_slice::<Errors>(&reply.body).ok()?.errors.into_iter().next()?;
    let code = match reply.status {
        400 => Code::Invalid,
        403 => Code::Denied,
        404 => Code::NotFound,
        405 => Code::MethodNotAllowed,
        413 => Code::TooLarge,
        429 => Code::RateLimited,
        503 if text.ends_with("sealed") => Code::Sealed,
        503 => Code::Unavailable,
        _ => Code::Internal,
    };
    Some(Problem { code, detail: Some(text.clone()), request_id: String::new(), status: reply.status, title: text })
}

fn json(body: &impl Serialize) -> Result<Bytes, Error> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_CAPACITY));
    serde_json::to_writer(&mut *bytes, body).map_err(Error::Request)?;
    Ok(wiped(bytes))
}

/// Bytes whose last owner wipes them.
fn wiped(bytes: Zeroizing<Vec<u8>>) -> Bytes {
    Bytes::from_owner(Wiped(bytes))
}

struct Wiped(Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

const REDIRECT: u16 = 307;

const BODY_CAPACITY: usize = 4096;

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
