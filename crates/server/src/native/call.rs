//! One native request: authenticated first, then parsed strictly. Unknown query keys and body fields are refused, and
//! since the caller is known by then, the refusal is recorded.

use axum::{
    extract::{FromRequest, FromRequestParts, Path, Query, rejection::PathRejection},
    http::{Request, Uri, header, request::Parts},
    response::Response,
};
use coffer_api::{Code, Sensitive};
use coffer_core::{Caller, Context, Error, Loaded, Parameters, Unreadable};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value, error::Category};
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;

use crate::{
    app::{App, Origin, asked_uri, text_header, token_of},
    body::Read,
    error::{self, Success},
    vault::{envelope, wrapping},
};

/// An authenticated request with its parsed path, query and body.
pub(crate) struct Call<P = (), Q = NoQuery, B = NoBody> {
    pub(crate) caller: Caller,
    pub(crate) path: P,
    pub(crate) query: Q,
    pub(crate) body: B,
    pub(crate) reply: Reply,
}

/// Turns results into answers, with what an error needs: the request's id and where it went.
#[derive(Clone)]
pub(crate) struct Reply {
    pub(crate) id: Uuid,
    pub(crate) uri: Uri,
}

/// A request that needs no token: a login.
pub(crate) struct Anonymous<B> {
    pub(crate) cx: Context,
    pub(crate) token: Option<Sensitive<String>>,
    pub(crate) body: B,
    pub(crate) reply: Reply,
}

/// A request over the unix socket; the core sees to whose it is.
pub(crate) struct Local {
    pub(crate) cx: Context,
    pub(crate) reply: Reply,
}

/// No query keys.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NoQuery {}

/// A query that is not looked at.
pub(crate) struct AnyQuery;

impl<'de> serde::Deserialize<'de> for AnyQuery {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

/// A body that is not looked at.
pub(crate) struct NoBody;

/// What a body is parsed into.
pub(crate) trait FromBody: Sized + Send {
    /// Reads and parses what a known caller sent.
    fn from_body(app: &App, parts: &Parts, body: axum::body::Body) -> impl Future<Output = Result<Self, Error>> + Send;

    /// The same from anybody, who may send less.
    fn from_small_body(
        app: &App,
        parts: &Parts,
        body: axum::body::Body,
    ) -> impl Future<Output = Result<Self, Error>> + Send;
}

/// A strict JSON body.
pub(crate) struct Json<T>(pub(crate) T);

/// A strict JSON body of many values, which may be large: it keeps its share of the memory for bodies as long as it is worked on.
pub(crate) struct Large<T> {
    pub(crate) value: T,
    _share: Option<OwnedSemaphorePermit>,
}

/// A strict JSON body, kept as it was sent for policies that look at parameters.
pub(crate) struct Sent<T> {
    pub(crate) value: T,
    read: Read,
}

/// As [`Sent`], where no body at all is one without fields.
pub(crate) struct MaybeSent<T>(pub(crate) Sent<T>);

/// What a request brought, by the names that policies know it by.
pub(crate) struct Known<'a> {
    sent: &'a [u8],
    logical: Logical,
}

/// Turns the fields of a native body into those of the logical request that it stands for.
pub(crate) type Logical = fn(&mut Map<String, Value>);

/// A body whose fields policies look at.
pub(crate) trait Fields {
    /// Its fields, renamed where they are asked for.
    fn known(&self, logical: Logical) -> Known<'_>;
}

impl<P, Q, B> Call<P, Q, B> {
    /// Answers with a JSON body.
    pub(crate) async fn with<T: Serialize>(self, result: Result<T, Error>) -> Response {
        self.caller.finish().await;
        self.reply.json(result)
    }

    /// Answers without a body.
    pub(crate) async fn done(self, result: Result<(), Error>) -> Response {
        self.caller.finish().await;
        self.reply.done(result)
    }
}

impl Reply {
    pub(crate) fn json<T: Serialize>(&self, result: Result<T, Error>) -> Response {
        match result {
            Ok(value) => error::respond(error::success(Success::Body), error::JSON, envelope::bare(&value)),
            Err(error) => self.error(&error),
        }
    }

    pub(crate) fn done(&self, result: Result<(), Error>) -> Response {
        match result {
            Ok(()) => error::respond(error::success(Success::Empty), error::JSON, bytes::Bytes::new()),
            Err(error) => self.error(&error),
        }
    }

    pub(crate) fn error(&self, error: &Error) -> Response {
        error::native(error, self.id, &self.uri)
    }
}

impl<P, Q, B> FromRequest<App> for Call<P, Q, B>
where
    P: DeserializeOwned + Send + 'static,
    Q: DeserializeOwned + Send + 'static,
    B: FromBody + 'static,
{
    type Rejection = Response;

    async fn from_request(request: Request<axum::body::Body>, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let (reply, origin) = reply_of(&parts).map_err(|unreached| *unreached)?;
        let cx = app.context(origin, &parts);
        let token = token_of(&parts.headers);
        let caller = app.core().caller(cx, token.as_ref().map(|token| token.expose().as_str())).await;
        let caller = caller.map_err(|error| reply.error(&error))?;
        let parsed = async {
            unwrapped(&parts)?;
            let path = path_of::<P>(&mut parts, app).await?;
            let query = query_of::<Q>(&parts.uri)?;
            let body = B::from_body(app, &parts, body).await?;
            Ok((path, query, body))
        };
        match parsed.await {
            Ok((path, query, body)) => Ok(Self { caller, path, query, body, reply }),
            Err(error) => {
                let error = caller.refuse_unparsed(error).await;
                caller.finish().await;
                Err(reply.error(&error))
            }
        }
    }
}

impl<B: FromBody + 'static> FromRequest<App> for Anonymous<B> {
    type Rejection = Response;

    async fn from_request(request: Request<axum::body::Body>, app: &App) -> Result<Self, Response> {
        let (parts, body) = request.into_parts();
        let (reply, origin) = reply_of(&parts).map_err(|unreached| *unreached)?;
        let cx = app.context(origin, &parts);
        let token = token_of(&parts.headers);
        let parsed = async {
            unwrapped(&parts)?;
            query_of::<NoQuery>(&parts.uri)?;
            B::from_small_body(app, &parts, body).await
        };
        match parsed.await {
            Ok(body) => Ok(Self { cx, token, body, reply }),
            Err(error) => Err(reply.error(&app.core().refuse_anonymous(cx, error).await)),
        }
    }
}

impl FromRequestParts<App> for Local {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let (reply, origin) = reply_of(parts).map_err(|unreached| *unreached)?;
        let cx = app.context(origin, parts);
        match unwrapped(parts) {
            Ok(()) => Ok(Self { cx, reply }),
            Err(error) => Err(reply.error(&app.core().refuse_anonymous(cx, error).await)),
        }
    }
}

impl FromBody for NoBody {
    async fn from_body(_: &App, _: &Parts, _: axum::body::Body) -> Result<Self, Error> {
        Ok(Self)
    }

    async fn from_small_body(_: &App, _: &Parts, _: axum::body::Body) -> Result<Self, Error> {
        Ok(Self)
    }
}

impl<T: DeserializeOwned + Send> FromBody for Json<T> {
    async fn from_body(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Self, Error> {
        let read = app.bodies().read(&parts.headers, body).await?;
        parse_json(parts, &read.bytes).map(Self)
    }

    async fn from_small_body(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Self, Error> {
        let read = app.bodies().read_small(&parts.headers, body).await?;
        parse_json(parts, &read.bytes).map(Self)
    }
}

impl<T: DeserializeOwned + Send> FromBody for Large<T> {
    async fn from_body(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Self, Error> {
        let read = app.bodies().read_values(&parts.headers, body).await?;
        let value = parse_json(parts, &read.bytes)?;
        Ok(Self { value, _share: read.share })
    }

    async fn from_small_body(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Self, Error> {
        let read = app.bodies().read_small(&parts.headers, body).await?;
        let value = parse_json(parts, &read.bytes)?;
        Ok(Self { value, _share: read.share })
    }
}

impl<T: DeserializeOwned + Send> FromBody for Sent<T> {
    async fn from_body(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Self, Error> {
        let read = app.bodies().read(&parts.headers, body).await?;
        Ok(Self { value: parse_json(parts, &read.bytes)?, read })
    }

    async fn from_small_body(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Self, Error> {
        let read = app.bodies().read_small(&parts.headers, body).await?;
        Ok(Self { value: parse_json(parts, &read.bytes)?, read })
    }
}

impl<T: DeserializeOwned + Default + Send> FromBody for MaybeSent<T> {
    async fn from_body(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Self, Error> {
        let read = app.bodies().read(&parts.headers, body).await?;
        let value = if read.bytes.is_empty() { T::default() } else { parse_json(parts, &read.bytes)? };
        Ok(Self(Sent { value, read }))
    }

    async fn from_small_body(app: &App, parts: &Parts, body: axum::body::Body) -> Result<Self, Error> {
        Self::from_body(app, parts, body).await
    }
}

impl<T> Fields for Sent<T> {
    fn known(&self, logical: Logical) -> Known<'_> {
        // No body stands for one without fields, where that is taken.
        let sent = if self.read.bytes.is_empty() { b"{}" } else { self.read.bytes.as_slice() };
        Known { sent, logical }
    }
}

impl Fields for NoBody {
    fn known(&self, logical: Logical) -> Known<'_> {
        Known { sent: b"{}", logical }
    }
}

impl Known<'_> {
    /// Nothing.
    pub(crate) fn none() -> Self {
        NoBody.known(|_| {})
    }
}

impl Parameters for Known<'_> {
    fn load(&self) -> Loaded {
        // It was read as a body before, strictly.
        let fields = serde_json::from_slice::<Map<String, Value>>(self.sent);
        let mut fields = fields.map_err(|_| Unreadable("body".to_owned()))?;
        // What is null was not sent.
        fields.retain(|_, value| !value.is_null());
        (self.logical)(&mut fields);
        Ok(Some(fields).filter(|fields| !fields.is_empty()))
    }
}

/// Whoever asks for a wrapped answer must not get a plain one.
///
/// # Errors
/// [`Code::Invalid`] where one is asked for: the native API has none.
fn unwrapped(parts: &Parts) -> Result<(), Error> {
    match wrapping::asked(&parts.headers) {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(_) => Err(Error::invalid(
            "X-Vault-Wrap-TTL: this API wraps no answers; ask for the same below /v1/, or leave the header out",
        )),
    }
}

/// Path, id and place of a native request.
fn reply_of(parts: &Parts) -> Result<(Reply, Origin), Box<Response>> {
    let uri = asked_uri(parts).clone();
    match parts.extensions.get::<Origin>() {
        Some(origin) => Ok((Reply { id: origin.id, uri }, *origin)),
        None => {
            let unreached = Error::internal("a request came in without its origin");
            Err(Box::new(error::native(&unreached, Uuid::nil(), &uri)))
        }
    }
}

/// Parses a body as strict JSON.
pub(crate) fn parse_json<T: DeserializeOwned>(parts: &Parts, bytes: &[u8]) -> Result<T, Error> {
    let declared = text_header(&parts.headers, &header::CONTENT_TYPE).unwrap_or("application/json");
    let media_type = declared.split(';').next().unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case("application/json") {
        return Err(Error::invalid("the body must be JSON: send Content-Type: application/json"));
    }
    serde_json::from_slice(bytes).map_err(|error| Error::invalid(fault_of_body::<T>(bytes, &error)))
}

/// What is wrong with a body, and in which of its fields. Where it is no JSON at all, its place in the text.
fn fault_of_body<T: DeserializeOwned>(bytes: &[u8], error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof | Category::Io | Category::Syntax => format!("body: {}", described(&error.to_string())),
        Category::Data => {
            let text = error.to_string();
            let what = described(without_place(&text));
            // Read again for the way to the field, which costs only who sends what is wrong.
            let mut reader = serde_json::Deserializer::from_slice(bytes);
            match serde_path_to_error::deserialize::<_, T>(&mut reader).map_err(|error| error.path().to_string()) {
                Err(path) if path != "." => format!("body: {}: {what}", path.chars().take(100).collect::<String>()),
                Ok(_) | Err(_) => format!("body: {what}"),
            }
        }
    }
}

/// A reader's message without the places that it ends in.
fn without_place(message: &str) -> &str {
    let is_place = |tail: &str| tail.bytes().all(|b| b.is_ascii_digit() || b" column".contains(&b));
    let mut kept = message;
    while let Some((head, tail)) = kept.rsplit_once(" at line ")
        && is_place(tail)
    {
        kept = head;
    }
    kept
}

/// Parses a query strictly.
pub(crate) fn query_of<Q: DeserializeOwned>(uri: &Uri) -> Result<Q, Error> {
    let parsed = Query::<Q>::try_from_uri(uri);
    parsed.map(|Query(query)| query).map_err(|error| {
        let text = std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string);
        Error::invalid(format!("query: {}", described(&text)))
    })
}

async fn path_of<P: DeserializeOwned + Send + 'static>(parts: &mut Parts, app: &App) -> Result<P, Error> {
    Path::<P>::from_request_parts(parts, app).await.map(|Path(path)| path).map_err(|rejection| {
        // A target that is no path at all (`OPTIONS *`) is matched by no route.
        if matches!(rejection, PathRejection::MissingPathParams(_)) {
            return Error::new(Code::NotFound, NO_PATH);
        }
        let text = rejection.body_text();
        let text = text.strip_prefix("Invalid URL: ").unwrap_or(&text);
        Error::new(Code::Invalid, format!("path: {}", described(text)))
    })
}

/// A deserialiser's message without the value that it met, which may be a secret at the wrong place.
fn described(message: &str) -> String {
    let kept = match message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: ")) {
        Some(rest) => match rest.rsplit_once(", expected ") {
            Some((_, expected)) => format!("wrong type, expected {expected}"),
            None => "wrong type".to_owned(),
        },
        None => message.to_owned(),
    };
    kept.chars().take(300).collect()
}

/// What a request for an unknown path is told.
pub(crate) const NO_PATH: &str = "no such path in this API";

#[cfg(test)]
mod tests {
    use coffer_api::{secrets::SecretSet, token::TokenCreate};

    use super::*;

    fn refused<T: DeserializeOwned>(text: &str) -> String {
        let (parts, ()) = Request::new(()).into_parts();
        match parse_json::<T>(&parts, text.as_bytes()) {
            Err(error) => error.public().to_owned(),
            Ok(_) => panic!("{text} was taken"),
        }
    }

    #[test]
    fn unknown_missing_and_repeated_fields_are_refused_by_name() {
        assert!(refused::<SecretSet>(r#"{"value":"x","extra":1}"#).contains("unknown field `extra`"));
        assert!(refused::<SecretSet>("{}").contains("missing field `value`"));
        assert!(refused::<SecretSet>(r#"{"value":"x","value":"y"}"#).contains("duplicate field `value`"));
        for text in ["", "null", "[]", r#"{"value":"x"} "#.trim_end_matches(' '), r#"{"value":"x"}{}"#] {
            let (parts, ()) = Request::new(()).into_parts();
            let taken = parse_json::<SecretSet>(&parts, text.as_bytes()).is_ok();
            assert_eq!(taken, text == r#"{"value":"x"}"#, "{text}");
        }
    }

    #[test]
    fn refusal_never_repeats_the_value() {
        for message in [
            refused::<SecretSet>(r#"{"value":"hunter2","options":"hunter2"}"#),
            refused::<SecretSet>(r#"{"value":"hunter2","options":{"cas":"hunter2, expected x"}}"#),
            refused::<SecretSet>(r#"{"value":"hunter2"#),
            refused::<TokenCreate>(r#"{"ttl":"hunter2"}"#),
            refused::<SecretSet>(r#""hunter2""#),
        ] {
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn fault_is_told_with_its_field_and_without_the_readers_columns() {
        for (text, told) in [
            (r#"{"value":5}"#, "body: value: wrong type, expected a string"),
            (r#"{"value":"x","options":{"cas":"y"}}"#, "body: options.cas: wrong type, expected u64"),
            (r#"{"value":"x","options":{"x":1}}"#, "body: options.x: unknown field `x`, expected `cas` or `shred`"),
            ("{}", "body: missing field `value`"),
        ] {
            assert_eq!(refused::<SecretSet>(text), told);
        }
        let broken = refused::<SecretSet>(r#"{"value":}"#);
        assert_eq!(broken, "body: expected value at line 1 column 10", "a place is all that there is");
        assert_eq!(without_place("a at line 1 column 2 at line 3 column 4"), "a");
        assert_eq!(without_place("a at line of x"), "a at line of x");
    }

    #[test]
    fn body_of_another_type_is_refused() {
        let (mut parts, ()) = Request::new(()).into_parts();
        for (declared, taken) in
            [("application/json", true), ("Application/JSON; charset=utf-8", true), ("text/plain", false), ("", false)]
        {
            parts.headers.insert(header::CONTENT_TYPE, declared.parse().unwrap());
            assert_eq!(parse_json::<SecretSet>(&parts, br#"{"value":"x"}"#).is_ok(), taken, "{declared}");
        }
    }

    #[test]
    fn query_keys_are_strict() {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Versioned {
            version: Option<u64>,
        }
        let parsed = |uri: &'static str| query_of::<Versioned>(&Uri::from_static(uri));
        assert_eq!(parsed("/a?version=3").ok().unwrap().version, Some(3));
        assert_eq!(parsed("/a").ok().unwrap().version, None);
        for bad in ["/a?version=x", "/a?version=", "/a?versions=1", "/a?version=1&version=2", "/a?version=-1"] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
        assert!(query_of::<NoQuery>(&Uri::from_static("/a?x=1")).is_err());
    }
}
