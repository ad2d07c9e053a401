//! The server's life: bind, start the core, say what to do next, serve, drain, stop.

use std::{
    io::{self, Write},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use coffer_api::operator::NodeState;
use coffer_core::{AuditConfig, Core, Dev, FreeSpace, ShareGivers, StartError, Started};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    app::{App, Server as Requests},
    body::Bodies,
    config::{Config, Limits, ReadDurability},
    listener::{self, ConnectionLimits, LocalSocket, SocketError},
    tls::{Tls, TlsError},
};

/// A server that listens and has its core running.
pub struct Server {
    core: Arc<Core>,
    started: Started,
    address: SocketAddr,
    tcp: TcpListener,
    tls: Option<Arc<Tls>>,
    local: Option<LocalSocket>,
    limits: Limits,
    is_dev: bool,
}

/// Reads again what a running server took from files.
#[derive(Clone)]
pub struct Reloader(Option<Arc<Tls>>);

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The signals that stop the server cannot be watched.
    #[error("cannot watch for signals")]
    Signals(#[source] io::Error),
    /// The unix socket cannot be made.
    #[error(transparent)]
    Socket(#[from] SocketError),
    /// The core does not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Certificate and key cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Starts a server, tells the operator on stderr where it listens and what to type next, and serves until SIGTERM or
/// SIGINT; requests under way then have 30 seconds to finish. SIGHUP reads certificate and key again.
///
/// # Errors
/// Where the address is taken, or the core or the unix socket does not start.
pub async fn run(config: Config) -> Result<(), RunError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(RunError::Signals)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(RunError::Signals)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let server = Server::start(config).await?;
    // Nobody may be reading; that is no reason not to serve.
    let _ = io::stderr().write_all(server.greeting().as_bytes());
    let reloader = server.reloader();
    let stop = async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                Some(()) = hangup.recv() => reloader.reload_and_tell(),
            }
        }
        tracing::info!("stopping");
    };
    server.serve(stop).await;
    Ok(())
}

impl Server {
    /// Binds the addresses and starts the core. Requests wait in the system's queue until [`Server::serve`].
    ///
    /// # Errors
    /// As [`run`].
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let failed = |source| RunError::Bind { address: config.listen, source };
        let tcp = TcpListener::bind(config.listen).await.map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        let (core, started) = Core::start(core_config(&config, address)).await?;
        for warning in &started.warnings {
            tracing::warn!("{warning}");
        }
        let local = match config.data.as_deref().filter(|_| config.dev.is_none()) {
            Some(data) => Some(LocalSocket::bind(&data.join(SOCKET))?),
            None => None,
        };
        Ok(Self { core, started, address, tcp, tls, local, limits: config.limits, is_dev: config.dev.is_some() })
    }

    /// Where it listens; the actual port where the configuration asked for any.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the core did when it started.
    pub fn started(&self) -> &Started {
        &self.started
    }

    /// What reads certificate and key again while the server runs.
    pub fn reloader(&self) -> Reloader {
        Reloader(self.tls.clone())
    }

    /// Where it listens and what to type next, for people.
    pub fn greeting(&self) -> String {
        let url = format!("{}://{}", scheme(self.tls.is_some()), self.address);
        let mut text = format!("listening on {url}\n");
        let address = if self.address.port() == 8200 { String::new() } else { format!("  export COFFER_ADDR={url}\n") };
        if self.is_dev {
            let token = self.started.dev_root_token.as_deref().unwrap_or_default();
            text.push_str("development mode: everything is in memory and gone when the server stops\n");
            text.push_str(&format!("  export COFFER_ADDR={url}\n  export COFFER_TOKEN={token}\n"));
        } else if let Some(path) = &self.started.initial_token_path {
            text.push_str(&format!("first start: the initial token is in {}\nnext:\n{address}", path.display()));
            text.push_str("  coffer login --initial\n");
            text.push_str("  coffer secrets set GREETING=hello --project demo\n");
            text.push_str("  coffer secrets get GREETING --project demo\n");
        } else if self.core.status().state == NodeState::Sealed {
            let next = match self.core.status().initialized {
                true => "sealed: holders of shares unseal it, each with\n  coffer operator unseal\n",
                false => "the store is empty; next:\n  coffer operator init --shares 5 --threshold 3\n",
            };
            text.push_str(&address);
            text.push_str(next);
        }
        text
    }

    /// Serves until `stop` is ready, lets requests under way finish, and stops the core.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        let Self { core, tcp, tls, local, limits, .. } = self;
        let app = App::new(Arc::clone(&core), Bodies::new(limits.request_body_bytes, REQUEST_TIMEOUT), REQUEST_TIMEOUT);
        let connections = ConnectionLimits {
            connections: limits.max_connections,
            head: HEAD_TIMEOUT,
            handshake: HANDSHAKE_TIMEOUT,
            drain: DRAIN_TIMEOUT,
        };
        let (stopping, stopped) = watch::channel(false);
        let serving = listener::serve(tcp, tls, local, connections, Requests::new(app), stopped);
        tokio::pin!(serving);
        tokio::select! {
            () = &mut serving => {}
            () = stop => {
                stopping.send_replace(true);
                serving.await;
            }
        }
        core.shutdown().await;
    }
}

impl Reloader {
    /// Reads certificate and key again. Connections that stand go on as they are.
    ///
    /// # Errors
    /// Where they cannot be used; those in force then stay in force.
    pub fn reload(&self) -> Result<(), TlsError> {
        self.0.as_ref().map_or(Ok(()), |tls| tls.reload())
    }

    fn reload_and_tell(&self) {
        match (&self.0, self.reload()) {
            (None, _) => tracing::info!("SIGHUP: there is no certificate to read again"),
            (Some(_), Ok(())) => tracing::info!("SIGHUP: certificate and key were read again"),
            (Some(_), Err(error)) => {
                let cause = std::error::Error::source(&error).map(ToString::to_string);
                tracing::error!(%error, cause, "SIGHUP: certificate and key cannot be used; the former stay in force");
            }
        }
    }
}

/// The core's share of the configuration. In development mode it chooses its own directories.
fn core_config(config: &Config, address: SocketAddr) -> coffer_core::Config {
    let data = config.data.clone().unwrap_or_default();
    let limits = &config.limits;
    coffer_core::Config {
        storage: config.storage.expose().clone(),
        advertise: config
            .advertise
            .clone()
            .unwrap_or_else(|| format!("{}://{}", scheme(config.tls.is_some()), reachable(address))),
        seal: config.seal,
        share_givers: if config.insecure_anonymous_rekey { ShareGivers::Anybody } else { ShareGivers::Known },
        seal_key_file: config.seal_key_file.clone().unwrap_or_else(|| data.join("seal.key")),
        dev: config
            .dev
            .as_ref()
            .map(|dev| Dev { root_token: dev.root_token.as_ref().map(|token| token.expose().clone()) }),
        audit: AuditConfig {
            dir: config.audit_dir.clone().unwrap_or_else(|| data.join("audit")),
            read_durability: match config.read_durability {
                ReadDurability::Synced => coffer_core::ReadDurability::Synced,
                ReadDurability::Written => coffer_core::ReadDurability::Written,
            },
            scrub_every: config.scrub_every,
        },
        backup: config.backup.clone(),
        limits: coffer_core::Limits {
            cache_bytes: limits.cache_bytes,
            token_cache_bytes: limits.token_cache_bytes,
            default_lease_ttl: limits.default_lease_ttl,
            max_lease_ttl: limits.max_lease_ttl,
            term_max_age: limits.term_max_age,
            backup_growth: limits.backup_growth_bytes,
            free_for_changes: FreeSpace {
                percent: limits.min_free_percent_changes.into(),
                bytes: limits.min_free_bytes_changes,
            },
            free_for_reads: FreeSpace {
                percent: limits.min_free_percent_reads.into(),
                bytes: limits.min_free_bytes_reads,
            },
        },
        data,
    }
}

fn scheme(is_tls: bool) -> &'static str {
    if is_tls { "https" } else { "http" }
}

/// The address by which this machine reaches itself.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        std::net::IpAddr::V4(ip) if ip.is_unspecified() => std::net::Ipv4Addr::LOCALHOST.into(),
        std::net::IpAddr::V6(ip) if ip.is_unspecified() => std::net::Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The operator's way in, in the data directory.
const SOCKET: &str = "coffer.sock";
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(30);
