//! The requests that are being answered, for who asks what the server is at.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::{Method, Request};
use serde::Serialize;
use uuid::Uuid;

use crate::{app::Origin, listener::Peer};

/// All of them. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<HashMap<Uuid, Started>>>);

/// A request that is being answered, until this is dropped.
pub(crate) struct Flight {
    all: InFlight,
    id: Uuid,
}

/// What is told of one.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    client_remote_address: String,
    request_method: String,
    request_path: String,
    start_time: String,
}

struct Started {
    at: jiff::Timestamp,
    peer: Peer,
    method: Method,
    path: String,
}

impl InFlight {
    pub(crate) fn enter<B>(&self, origin: Origin, request: &Request<B>) -> Flight {
        let path: String = request.uri().path().chars().take(MAX_PATH).collect();
        let started = Started { at: jiff::Timestamp::now(), peer: origin.peer, method: request.method().clone(), path };
        self.held().insert(origin.id, started);
        Flight { all: self.clone(), id: origin.id }
    }

    /// Each change of the table is whole, whoever panicked.
    fn held(&self) -> MutexGuard<'_, HashMap<Uuid, Started>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// By their ids.
    pub(crate) fn shown(&self) -> HashMap<Uuid, Shown> {
        let of = |(id, started): (&Uuid, &Started)| {
            let shown = Shown {
                client_remote_address: match started.peer {
                    Peer::Network(remote) => remote.to_string(),
                    Peer::Local { .. } => "unix".to_owned(),
                },
                request_method: started.method.to_string(),
                request_path: started.path.clone(),
                start_time: started.at.to_string(),
            };
            (*id, shown)
        };
        self.held().iter().map(of).collect()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.all.held().remove(&self.id);
    }
}

/// Characters of a path that are kept.
const MAX_PATH: usize = 512;
