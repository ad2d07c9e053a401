//! One request of the Vault dialect, authenticated: verb, logical path, parameters, and how it can fail.

use std::sync::{Arc, OnceLock};

use axum::{
    body::Body as HttpBody,
    http::{Method, StatusCode, header, request::Parts},
    response::Response,
};
use coffer_api::Code;
use coffer_core::{Caller, Error, ListPart, Loaded, Operation, Parameters, Unreadable};
use serde_json::Map;
use uuid::Uuid;

use super::{
    envelope::{self, Envelope},
    lenient::{Body, Fields, LenientError},
};
use crate::{
    app::{App, text_header},
    body::{Bodies, Read},
    error::{self, Success},
};

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verb {
    Delete,
    List,
    Patch,
    Read,
    Scan,
    Write,
}

/// An authenticated request.
pub(crate) struct VaultCall {
    pub(crate) caller: Caller,
    pub(crate) id: Uuid,
    pub(crate) verb: Verb,
    /// With its mount, without `/v1/`, decoded; a list's ends in `/`.
    pub(crate) path: String,
    pub(crate) parts: Box<Parts>,
    /// Until it is read.
    pub(crate) body: Option<HttpBody>,
    pub(crate) bodies: Bodies,
    /// The parameters, once they are read.
    sent: Option<Params>,
}

/// A request's parameters. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Params(Arc<Sent>);

/// Parameters, and the memory they hold.
struct Sent {
    body: Body,
    /// What was sent, once it was read.
    names: OnceLock<Vec<Sending>>,
    _share: Option<tokio::sync::OwnedSemaphorePermit>,
}

/// A name, and whether the value is `null`.
type Sending = (Box<str>, bool);

/// Which part of a list is wanted.
pub(crate) struct Paging {
    /// Names after this one.
    pub(crate) after: String,
    /// At most so many, from 1; absent where all are wanted.
    pub(crate) limit: Option<usize>,
}

/// Why there is no result.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The dialect could not make an operation of the request: to be recorded.
    Request(Error),
    /// The core refused or failed, and has recorded it.
    Recorded(Error),
    /// A PATCH of another type than JSON merge patch: to be recorded.
    MediaType,
}

/// A result, or why there is none.
pub(crate) type Outcome = Result<Response, Failure>;

impl Verb {
    /// The verb of a request; `None` where there is none for its method.
    pub(crate) fn of(method: &Method) -> Option<Self> {
        match method.as_str() {
            "DELETE" => Some(Self::Delete),
            "GET" => Some(Self::Read),
            "LIST" => Some(Self::List),
            "PATCH" => Some(Self::Patch),
            "POST" | "PUT" => Some(Self::Write),
            "SCAN" => Some(Self::Scan),
            _ => None,
        }
    }

    /// What it stands for in policies, where nothing says that a write creates.
    pub(crate) fn operation(self) -> Operation {
        match self {
            Self::Delete => Operation::Delete,
            Self::List => Operation::List,
            Self::Patch => Operation::Patch,
            Self::Read => Operation::Read,
            Self::Scan => Operation::Scan,
            Self::Write => Operation::Update,
        }
    }
}

impl VaultCall {
    /// A request by `caller`, with its body unread.
    pub(crate) fn new(
        caller: Caller,
        id: Uuid,
        asked: (Verb, String),
        parts: Box<Parts>,
        body: HttpBody,
        bodies: Bodies,
    ) -> Self {
        let (verb, path) = asked;
        Self { caller, id, verb, path, parts, body: Some(body), bodies, sent: None }
    }

    /// Records a request of which no operation could be made, and gives the error to answer.
    pub(crate) async fn refuse(&mut self, error: Error) -> Error {
        let Self { caller, verb, path, sent, .. } = self;
        let fields = sent.as_ref().and_then(|sent| sent.fields().ok()).unwrap_or_default();
        match verb {
            Verb::Write => caller.refuse_write(path, &fields, error).await,
            Verb::Delete | Verb::List | Verb::Patch | Verb::Read | Verb::Scan => {
                caller.refuse_with(verb.operation(), path, &fields, error).await
            }
        }
    }

    /// The parameters: a write's body, anything else's query.
    pub(crate) async fn params(&mut self) -> Result<Params, Failure> {
        match self.verb {
            Verb::Delete | Verb::List | Verb::Read | Verb::Scan => {
                Ok(Params::new(Body::of_query(self.parts.uri.query())?, None))
            }
            Verb::Patch => match media_type(self.content_type().unwrap_or_default())? {
                media if media == "application/merge-patch+json" => self.sent().await,
                _ => Err(Failure::MediaType),
            },
            Verb::Write => self.sent().await,
        }
    }

    /// Whether anything was sent beside the path: a body that was read, or a query where that counts.
    pub(crate) fn has_parameters(&self) -> bool {
        match self.verb {
            Verb::Patch | Verb::Write => self.sent.is_some(),
            Verb::Delete | Verb::List | Verb::Read | Verb::Scan => {
                self.parts.uri.query().is_some_and(|query| !query.is_empty())
            }
        }
    }

    /// A write's parameters, as far as they were read.
    pub(crate) fn sent_params(&self) -> Option<Params> {
        self.sent.clone()
    }

    /// The query's parameters, without the flag that made a list of a GET.
    pub(crate) fn query_params(&self) -> Option<Params> {
        let flag = match (self.verb, self.parts.method == Method::GET) {
            (Verb::List, true) => Some("list"),
            (Verb::Scan, true) => Some("scan"),
            (Verb::List | Verb::Scan, false) | (Verb::Delete | Verb::Patch | Verb::Read | Verb::Write, _) => None,
        };
        let query = self.parts.uri.query()?;
        let query = match flag {
            None => query.to_owned(),
            Some(flag) => {
                let is_flag = |pair: &&str| pair.split_once('=').map_or(*pair, |(name, _)| name) == flag;
                query.split('&').filter(|pair| !is_flag(pair)).collect::<Vec<_>>().join("&")
            }
        };
        Some(Params::new(Body::of_query(Some(&query)).ok()?, None))
    }

    /// Shows the policies what a read asks with; `help` is not for them.
    pub(crate) fn see_query(&mut self) -> Result<(), Failure> {
        if self.verb != Verb::Read || self.parts.uri.query().is_none_or(str::is_empty) {
            return Ok(());
        }
        let query = Body::of_query(self.parts.uri.query())?;
        let loaded = query.fields()?.load();
        let unreadable = |Unreadable(name)| Failure::invalid(format!("the parameter {name:?} cannot be read"));
        let mut query = loaded.map_err(unreadable)?.unwrap_or_default();
        query.remove("help");
        self.caller.read_with(query);
        Ok(())
    }

    /// A list's `after` and `limit`; 0 and less mean no limit.
    pub(crate) async fn page(&mut self) -> Result<Paging, Failure> {
        let params = self.params().await?;
        let fields = params.fields()?;
        let after = fields.text("after")?.map_or_else(String::new, |after| after.to_string());
        let limit = fields.integer("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|limit| *limit > 0);
        Ok(Paging { after, limit })
    }

    /// The declared type of the body.
    pub(crate) fn content_type(&self) -> Option<&str> {
        text_header(&self.parts.headers, &header::CONTENT_TYPE)
    }

    /// A reply with `data`.
    pub(crate) fn data(&self, data: &impl serde::Serialize) -> Response {
        self.envelope(Envelope::data(data))
    }

    /// A reply of names: absent where there are none.
    pub(crate) fn keys(&self, keys: Vec<String>) -> Outcome {
        #[derive(serde::Serialize)]
        struct Keys {
            keys: Vec<String>,
        }
        if keys.is_empty() {
            return Err(Failure::Recorded(Error::not_found()));
        }
        Ok(self.data(&Keys { keys }))
    }

    /// Any reply.
    pub(crate) fn envelope(&self, envelope: Envelope) -> Response {
        self.envelope_as(error::success(Success::Body), envelope)
    }

    /// Any reply, with a status of its own.
    pub(crate) fn envelope_as(&self, status: StatusCode, envelope: Envelope) -> Response {
        if self.caller.context().wrap_ttl.is_none() {
            return error::respond(status, error::JSON, envelope.body(self.id));
        }
        let carried = envelope.carried().cloned();
        let mut response = error::respond(status, error::JSON, envelope.without_injection().body(self.id));
        if let Some(carried) = carried {
            response.extensions_mut().insert(carried);
        }
        response
    }

    async fn sent(&mut self) -> Result<Params, Failure> {
        let body = self.body.take().unwrap_or_else(HttpBody::empty);
        let Read { bytes, share } = self.bodies.read(&self.parts.headers, body).await.map_err(Failure::Request)?;
        let params = Params::new(Body::of_write(bytes, self.content_type())?, share);
        self.sent = Some(params.clone());
        Ok(params)
    }
}

impl Paging {
    /// As the core takes it.
    pub(crate) fn part(&self) -> ListPart<'_> {
        ListPart { after: &self.after, limit: self.limit }
    }
}

impl Params {
    fn new(body: Body, share: Option<tokio::sync::OwnedSemaphorePermit>) -> Self {
        Self(Arc::new(Sent { body, names: OnceLock::new(), _share: share }))
    }

    /// The top level.
    pub(crate) fn fields(&self) -> Result<Fields<'_>, Failure> {
        let fields = self.0.body.fields()?;
        self.0.names.get_or_init(|| fields.names().map(|(name, is_null)| (name.into(), is_null)).collect());
        Ok(fields)
    }

    /// The names at the top level, and whether the value of each is `null`; none where it cannot be read.
    pub(crate) fn names(&self) -> impl Iterator<Item = (&str, bool)> {
        if self.0.names.get().is_none() {
            // Nobody asked for the fields yet; to ask is what keeps their names.
            drop(self.fields());
        }
        self.0.names.get().into_iter().flatten().map(|(name, is_null)| (name.as_ref(), *is_null))
    }
}

impl Parameters for Fields<'_> {
    fn load(&self) -> Loaded {
        let mut all = Map::new();
        for (key, raw) in self.iter() {
            let value = serde_json::from_str(raw.get()).map_err(|_| Unreadable(key.to_owned()))?;
            all.insert(key.to_owned(), value);
        }
        Ok(Some(all).filter(|all| !all.is_empty()))
    }
}

impl Failure {
    /// A parameter that is missing or means nothing.
    pub(crate) fn invalid(message: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Request(Error::invalid(message))
    }

    /// The error itself, where there is no caller to record it for.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Request(error) | Self::Recorded(error) => error,
            Self::MediaType => Error::invalid("wrong content type"),
        }
    }

    /// A path that its engine does not know.
    pub(crate) fn unsupported_path() -> Self {
        Self::Request(Error::new(Code::NotFound, "1 error occurred:\n\t* unsupported path\n\n"))
    }

    /// A path that does not know this operation.
    pub(crate) fn unsupported_operation() -> Self {
        Self::Request(Error::new(Code::MethodNotAllowed, "1 error occurred:\n\t* unsupported operation\n\n"))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Recorded(error)
    }
}

impl From<LenientError> for Failure {
    fn from(error: LenientError) -> Self {
        Self::Request(error.into())
    }
}

impl From<LenientError> for Error {
    fn from(error: LenientError) -> Self {
        Self::invalid(error.to_string())
    }
}

/// The media type of a header in small letters, without its parameters.
fn media_type(declared: &str) -> Result<String, Failure> {
    let media = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut parts = media.splitn(2, '/');
    let is_token =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte));
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("", _) => Err(Failure::invalid("mime: no media type")),
        (kind, Some(sub)) if !is_token(kind) || sub.is_empty() => {
            Err(Failure::invalid("mime: expected slash after first token"))
        }
        (kind, None) if !is_token(kind) => Err(Failure::invalid("mime: expected slash after first token")),
        (_, Some(sub)) if !is_token(sub) => Err(Failure::invalid("mime: unexpected content after media subtype")),
        (_, _) => Ok(media),
    }
}

/// The body of a request whose sender nobody knows yet: it is small, whoever sends it.
pub(crate) async fn small_body(app: &App, parts: &Parts, body: HttpBody) -> Result<Body, Error> {
    let read = app.bodies().read_small(&parts.headers, body).await?;
    Ok(Body::of_write(read.bytes, text_header(&parts.headers, &header::CONTENT_TYPE))?)
}

/// Done, and nothing to say.
pub(crate) fn done() -> Response {
    error::respond(error::success(Success::Empty), error::JSON, bytes::Bytes::new())
}

/// A bare object, for the routes that have no envelope.
pub(crate) fn bare(status: StatusCode, object: &impl serde::Serialize) -> Response {
    error::respond(status, error::JSON, envelope::bare(object))
}
