//! A place for one connection: made when first needed, shared by its users, made again after a loss.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::session::{Session, Tables};
use super::url::Database;
use crate::error::Error;
use crate::stats::Counters;

/// One connection, or the place for it.
pub(super) struct Slot {
    database: Arc<Database>,
    counters: Arc<Counters>,
    state: Mutex<State>,
    /// Held while connecting, so that all who need the connection wait for one attempt.
    connecting: tokio::sync::Mutex<()>,
}

enum State {
    Closed,
    /// Not connected; `retry` says when the next attempt may be made and why the last one failed.
    Empty {
        retry: Option<Retry>,
    },
    Open(Arc<Session>),
}

#[derive(Clone)]
struct Retry {
    at: Instant,
    pause: Duration,
    error: Error,
}

impl Slot {
    /// An empty place.
    pub(super) fn new(database: Arc<Database>, counters: Arc<Counters>) -> Slot {
        let state = Mutex::new(State::Empty { retry: None });
        Slot { database, counters, state, connecting: tokio::sync::Mutex::new(()) }
    }

    /// A place with a connection in it.
    pub(super) fn with(session: Session, database: Arc<Database>, counters: Arc<Counters>) -> Slot {
        let slot = Slot::new(database, counters);
        *slot.state.lock() = State::Open(Arc::new(session));
        slot
    }

    /// The connection, made if need be. Fails at once within the pause after a failed attempt.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Error> {
        if let Some(known) = self.known() {
            return known;
        }
        let _connecting = self.connecting.lock().await;
        if let Some(known) = self.known() {
            return known;
        }
        let made = Session::connect(&self.database, Tables::Expect).await.map(Arc::new);
        let mut state = self.state.lock();
        match (&*state, made) {
            (State::Closed, _) => Err(Error::closed()),
            (State::Empty { .. } | State::Open(_), Ok(session)) => {
                *state = State::Open(Arc::clone(&session));
                Ok(session)
            }
            (State::Empty { retry: Some(last) }, Err(error)) => {
                let pause = last.pause.saturating_mul(2).min(LONGEST_PAUSE);
                *state =
                    State::Empty { retry: Some(Retry { at: Instant::now() + pause, pause, error: error.clone() }) };
                Err(error)
            }
            (State::Empty { retry: None } | State::Open(_), Err(error)) => {
                let pause = FIRST_PAUSE;
                *state =
                    State::Empty { retry: Some(Retry { at: Instant::now() + pause, pause, error: error.clone() }) };
                Err(error)
            }
        }
    }

    /// Gives up `session`, unless another has taken its place already.
    pub(super) fn discard(&self, session: &Arc<Session>) {
        let mut state = self.state.lock();
        if matches!(&*state, State::Open(current) if Arc::ptr_eq(current, session)) {
            self.counters.losses.add(1);
            *state = State::Empty { retry: None };
        }
    }

    /// Ends the connection and makes no other.
    pub(super) async fn close(&self) {
        let last = std::mem::replace(&mut *self.state.lock(), State::Closed);
        if let State::Open(session) = last {
            Session::close(session).await;
        }
    }

    /// The answer, where none has to be waited for.
    fn known(&self) -> Option<Result<Arc<Session>, Error>> {
        let mut state = self.state.lock();
        match &*state {
            State::Closed => Some(Err(Error::closed())),
            State::Empty { retry: Some(retry) } if Instant::now() < retry.at => Some(Err(retry.error.clone())),
            State::Empty { .. } => None,
            State::Open(session) if session.client.is_closed() => {
                self.counters.losses.add(1);
                *state = State::Empty { retry: None };
                None
            }
            State::Open(session) => Some(Ok(Arc::clone(session))),
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
