//! Keys of the engine at `transit/`. Every call is decided as the request of transit that it stands for.

pub(super) mod life;
pub(super) mod moving;
pub(super) mod operations;
mod parameters;

use axum::Router;
use coffer_api::{
    Sensitive,
    keys::{Key, KeySource, KeyWrappedBy},
};
use coffer_core::{Caller, Error, HashAlgorithm, ImportSource, Input, KeyView, Mount, Operation, WrappedBy};
use zeroize::Zeroizing;

use super::call::{Call, Fields, Known, Logical};
use crate::app::App;

pub(super) fn routes() -> Router<App> {
    life::routes().merge(moving::routes()).merge(operations::routes())
}

/// What is asked of the engine, and how policies see it.
struct Asked<'c> {
    caller: &'c Caller,
    /// The path below the engine.
    below: String,
    what: What,
    known: Known<'c>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum What {
    /// Something that may be the first in the engine.
    Begin,
    /// Something that changes what is there, or uses it.
    Change,
    Read,
}

impl<'c> Asked<'c> {
    /// What may be the first in an engine: where none is mounted, it is.
    fn to_begin<P, Q, B: Fields>(call: &'c Call<P, Q, B>, below: String, logical: Logical) -> Self {
        Self { caller: &call.caller, below, what: What::Begin, known: call.body.known(logical) }
    }

    /// What changes something, or uses a key.
    fn to_change<P, Q, B: Fields>(call: &'c Call<P, Q, B>, below: String, logical: Logical) -> Self {
        Self { caller: &call.caller, below, what: What::Change, known: call.body.known(logical) }
    }

    /// What reads: without parameters, as in transit.
    fn to_read<P, Q, B>(call: &'c Call<P, Q, B>, below: String) -> Self {
        Self { caller: &call.caller, below, what: What::Read, known: Known::none() }
    }

    /// Does it, once the request is known to mean something; where it does not, that is on record.
    async fn run<P, T>(
        self,
        parsed: Result<P, Error>,
        run: impl AsyncFnOnce(&Mount, P, &Known<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let Self { caller, below, what, known } = &self;
        let operation = match what {
            What::Begin | What::Change => Operation::Update,
            What::Read => Operation::Read,
        };
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                return Err(caller.refuse_with(operation, &format!("transit/{below}"), known, error).await);
            }
        };
        let mount = match what {
            What::Begin => caller.key_engine_for(below, known).await?,
            What::Change | What::Read => caller.key_engine(operation, below).await?,
        };
        run(&mount, parsed, known).await
    }
}

fn shown(key: Result<KeyView, Error>) -> Result<Key, Error> {
    key.map(|key| Key::from(&key))
}

/// A value on its way out, without a copy of it.
fn sensitive(mut text: Zeroizing<String>) -> Sensitive<String> {
    Sensitive::new(std::mem::take(&mut text))
}

/// What a key is made of; the hash is that of OAEP.
fn imported(source: &KeySource, hash: HashAlgorithm) -> ImportSource<'_> {
    match source {
        KeySource::PublicKey(pem) => ImportSource::Public { pem },
        KeySource::Wrapped(wrapped) => ImportSource::Wrapped {
            ciphertext: Input::Base64(&wrapped.ciphertext),
            hash,
            by: match &wrapped.by {
                None => WrappedBy::Store,
                Some(KeyWrappedBy::ImportKey(id)) => WrappedBy::Once(*id),
                Some(KeyWrappedBy::Key(name)) => WrappedBy::Key(name),
            },
        },
    }
}

/// The hash of OAEP that a key comes with.
fn oaep(source: &KeySource) -> Result<HashAlgorithm, Error> {
    match source {
        KeySource::PublicKey(_) => Ok(HashAlgorithm::Sha2_256),
        KeySource::Wrapped(wrapped) => hash_or(wrapped.hash.as_deref(), HashAlgorithm::Sha2_256),
    }
}

/// A hash by its name, if one was sent.
fn hash(name: Option<&str>) -> Result<Option<HashAlgorithm>, Error> {
    name.map(|name| HashAlgorithm::parse(name).ok_or_else(|| no_such("hash", name))).transpose()
}

fn hash_or(name: Option<&str>, default: HashAlgorithm) -> Result<HashAlgorithm, Error> {
    Ok(hash(name)?.unwrap_or(default))
}

fn no_such(what: &str, name: &str) -> Error {
    let shown: String = name.chars().take(64).collect();
    Error::invalid(format!("no {what} is called {shown:?}"))
}
