//! A server with a store in memory, and a client that speaks to it.

use std::{net::SocketAddr, path::PathBuf};

use bytes::Bytes;
use coffer_server::{
    Config, Overrides, Reloader, Server,
    config::{Dev, Host},
};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::Value;
use tokio::sync::oneshot;

/// A running server; stops when dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
    stop: Option<oneshot::Sender<()>>,
    serving: Option<tokio::task::JoinHandle<()>>,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) initial_token: Option<PathBuf>,
    pub(crate) greeting: String,
    pub(crate) reloader: Reloader,
}

/// A reply.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// The root token of development mode.
pub(crate) const ROOT: &str = "root-token-of-tests";

impl TestServer {
    /// In development mode: unsealed, with [`ROOT`].
    pub(crate) async fn dev() -> Self {
        Self::with(|overrides, _| overrides.dev = Some(Dev { root_token: Some(ROOT.into()) })).await
    }

    /// With a data directory of its own, and so a unix socket and an initial token.
    pub(crate) async fn with_data() -> Self {
        Self::with(|overrides, dir| {
            overrides.storage = Some("memory:".into());
            overrides.data = Some(dir.to_owned());
        })
        .await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Overrides, &std::path::Path)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut overrides = Overrides { listen: Some("127.0.0.1:0".parse().unwrap()), ..Overrides::default() };
        // The machine's disk is not what is tested.
        overrides.limits.min_free_bytes_changes = Some(0);
        overrides.limits.min_free_bytes_reads = Some(0);
        change(&mut overrides, dir.path());
        let host = Host { is_root: false, home: Some(dir.path().to_owned()), temp: dir.path().to_owned() };
        let config = Config::load(None, overrides, &host).unwrap();
        let server = Server::start(config).await.unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let (address, greeting) = (server.address(), server.greeting());
        let reloader = server.reloader();
        let initial_token = server.started().initial_token_path.clone();
        let serving = tokio::spawn(server.serve(async {
            let _ = stopped.await;
        }));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, client, stop: Some(stop), serving: Some(serving), dir, initial_token, greeting, reloader }
    }

    /// Stops and waits until it has stopped.
    pub(crate) async fn stop(mut self) {
        drop(self.stop.take());
        self.serving.take().unwrap().await.unwrap();
    }

    /// One request; `path` begins with a slash.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        let reply = self.client.request(request).await.unwrap();
        let (parts, body) = reply.into_parts();
        let body = body.collect().await.unwrap().to_bytes().to_vec();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// A request with a token and a body as it is.
    pub(crate) async fn raw(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Reply {
        self.send(self.request(method, path, token, body)).await
    }

    pub(crate) fn request(&self, method: &str, path: &str, token: Option<&str>, body: &str) -> Request<Full<Bytes>> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = Request::builder().method(method.clone()).uri(format!("http://{}{path}", self.address));
        if let Some(token) = token {
            request = request.header("x-vault-token", token);
        }
        if method == Method::PATCH && path.starts_with("/v1/") {
            request = request.header("content-type", "application/merge-patch+json");
        } else if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap()
    }

    /// A request as root with a JSON body (`Null`: none).
    pub(crate) async fn root(&self, method: &str, path: &str, body: Value) -> Reply {
        self.as_token(ROOT, method, path, body).await
    }

    /// The same with another token.
    pub(crate) async fn as_token(&self, token: &str, method: &str, path: &str, body: Value) -> Reply {
        self.raw(method, path, Some(token), &text(&body)).await
    }

    /// A token with one policy of this text, without the default one.
    pub(crate) async fn token_with(&self, root: &str, policy: &str) -> String {
        let name = format!("p{:016x}", fingerprint(policy));
        let path = format!("/v1/sys/policies/acl/{name}");
        self.as_token(root, "PUT", &path, serde_json::json!({"policy": policy})).await.is(204);
        let body = serde_json::json!({"policies": [name], "no_default_policy": true});
        let reply = self.as_token(root, "POST", "/v1/auth/token/create", body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    /// Entries in the log, as the status says.
    pub(crate) async fn log_size(&self) -> u64 {
        self.raw("GET", "/readyz", None, "").await.json()["log_size"].as_u64().unwrap()
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Checks the status, showing the body where it is another.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.text());
        self
    }

    /// Checks that the status is one of these.
    #[track_caller]
    pub(crate) fn one_of(self, statuses: &[u16]) -> Self {
        assert!(statuses.contains(&self.status), "{}: {}", self.status, self.text());
        self
    }

    /// `data` of an enveloped reply.
    #[track_caller]
    pub(crate) fn data(self) -> Value {
        self.is(200).json()["data"].take()
    }

    /// `errors` of a refusal.
    #[track_caller]
    pub(crate) fn errors(self, status: u16) -> Value {
        self.is(status).json()["errors"].take()
    }
}

pub(crate) fn text(body: &Value) -> String {
    if body.is_null() { String::new() } else { body.to_string() }
}

fn fingerprint(text: &str) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}
