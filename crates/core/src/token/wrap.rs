//! Response wrapping: a reply is stored, sealed, under a token that can be used once and does nothing but give it out.

use std::{sync::Arc, time::Duration};

use coffer_api::{Code, Sensitive};
use coffer_storage::{Expect, Revision};
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{
    TokenState, UsesRow,
    create::{Made, Wanted},
    expiry_row,
    manage::forget,
    token_row, uses_row,
    wrap_jwt::WrapForm,
};
use crate::{
    Caller, Context, Core, Error,
    active::{Active, Found},
    caller::{Done, anonymous, log_refusal},
    codec::{self, Persisted},
    commit::{Edit, Logged, Urgency},
    keys, policies,
    policy::{Operation, Parameters},
    record::Record,
    time::rfc3339,
};

/// Largest reply that can be wrapped, in bytes of JSON.
pub const MAX_WRAPPED: usize = (2 << 20) - (16 << 10);

/// What a wrapping token stands for, as it is stored.
#[derive(Deserialize, Serialize)]
struct WrappedRow {
    creation_path: String,
    created_ms: i64,
    /// Seconds.
    ttl: u64,
    tells: Tells,
    payload: Sensitive<String>,
}

impl Persisted for WrappedRow {}

/// What a reply that is wrapped tells.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Tells {
    /// What was asked for.
    #[default]
    Result,
    /// That it is not there, and more about it: of a version that is deleted, say.
    Absence,
}

/// A reply that was wrapped, given out.
#[derive(Debug)]
pub struct Unwrapped {
    /// The reply.
    pub payload: Sensitive<String>,
    /// What it tells.
    pub tells: Tells,
}

/// A reply to be wrapped.
pub struct Wrap<'a> {
    /// The path whose reply it is.
    pub creation_path: &'a str,
    /// How long it may wait: whole seconds, at least one. The system's longest lease does not bound it.
    pub ttl: Duration,
    /// The reply, at most [`MAX_WRAPPED`] bytes.
    pub payload: Sensitive<String>,
    /// What it tells.
    pub tells: Tells,
    /// The accessor of the token that the reply hands out, which is revoked where it cannot be wrapped.
    pub token_accessor: Option<&'a str>,
    /// How the wrapping token is handed out.
    pub form: WrapForm,
}

/// A reply that was wrapped.
#[derive(Debug)]
pub struct Wrapped {
    /// The wrapping token; shown once.
    pub token: Sensitive<String>,
    /// Its accessor.
    pub accessor: String,
    /// Seconds.
    pub ttl: u64,
    /// RFC 3339.
    pub creation_time: String,
    /// The path whose reply it is.
    pub creation_path: String,
}

/// What anybody with a wrapping token may know of what it wraps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct WrapInfo {
    /// The path whose reply it is.
    pub creation_path: String,
    /// RFC 3339.
    pub creation_time: String,
    /// Seconds.
    pub creation_ttl: u64,
}

impl Core {
    /// What a wrapping token wraps. Anybody may ask who has it; it stays good.
    ///
    /// # Errors
    /// [`Code::Invalid`] where it is none, was used or has expired.
    pub async fn wrapping_lookup(&self, cx: &Context, token: &str) -> Result<WrapInfo, Error> {
        let active = self.active()?;
        active.may_read()?;
        let mut record = Record::of_request("wrapping.lookup", "sys/wrapping/lookup".to_owned(), anonymous(), cx);
        match active.unused(token).await {
            Ok((state, found)) => {
                record = record.fact("accessor", state.accessor.clone());
                active.log_read(&record).await?;
                let row = found.value;
                Ok(WrapInfo {
                    creation_path: row.creation_path,
                    creation_time: rfc3339(row.created_ms),
                    creation_ttl: row.ttl,
                })
            }
            Err(error) => Err(log_refusal(&active, record, error).await),
        }
    }

    /// Wraps the reply of a login, whose caller has no token.
    ///
    /// # Errors
    /// As [`Caller::wrap`].
    pub async fn wrap_login(&self, cx: &Context, wrap: Wrap<'_>) -> Result<Wrapped, Error> {
        let active = self.active()?;
        let record = Record::of_request(CREATE, wrap.creation_path.to_owned(), anonymous(), cx);
        match active.wrap(record.clone(), wrap).await {
            Ok((wrapped, logged)) => {
                logged.spend();
                Ok(wrapped)
            }
            Err(error) if error.code() == Code::AuditUnavailable => Err(error),
            Err(error) => Err(log_refusal(&active, record, error).await),
        }
    }
}

impl Caller {
    /// Wraps the reply of an operation that was allowed, policies' bounds of wrapping included.
    ///
    /// # Errors
    /// [`Code::TooLarge`] beyond [`MAX_WRAPPED`]; a token that the reply hands out is revoked then.
    pub async fn wrap(&self, wrap: Wrap<'_>) -> Result<Wrapped, Error> {
        let record = self.record(CREATE, wrap.creation_path);
        self.recorded(record.clone(), async {
            let (wrapped, logged) = self.active.wrap(record, wrap).await?;
            Ok(Done::Logged(wrapped, logged))
        })
        .await
    }

    /// Lets the caller have data of its own wrapped; the wrapping itself comes with the reply.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `sys/wrapping/wrap`.
    pub async fn wrapping_wrap(&self, parameters: &dyn Parameters) -> Result<(), Error> {
        let path = "sys/wrapping/wrap";
        self.recorded(self.record("wrapping.wrap", path), async {
            self.authorise(path, Operation::Update, parameters)?;
            Ok(Done::Unlogged(()))
        })
        .await
    }

    /// The reply that a wrapping token wraps, which is at its end with that; the caller's own token where none is
    /// named. Of several who ask at once, one gets it.
    ///
    /// # Errors
    /// [`Code::Denied`] without update on `sys/wrapping/unwrap`; [`Code::Invalid`] where the token is none, was used
    /// or has expired.
    pub async fn wrapping_unwrap(
        &self,
        token: Option<&Sensitive<String>>,
        parameters: &dyn Parameters,
    ) -> Result<Unwrapped, Error> {
        self.take_wrapped("sys/wrapping/unwrap", Operation::Update, token, parameters).await
    }

    /// The reply that the caller's own token wraps, by the path that old clients read it from.
    ///
    /// # Errors
    /// As [`Caller::wrapping_unwrap`], on `cubbyhole/response` with read.
    pub async fn cubbyhole_response(&self) -> Result<Unwrapped, Error> {
        self.take_wrapped("cubbyhole/response", Operation::Read, None, &()).await
    }

    /// Moves what a wrapping token wraps under a new one, for as long again.
    ///
    /// # Errors
    /// As [`Caller::wrapping_unwrap`], on `sys/wrapping/rewrap`.
    pub async fn wrapping_rewrap(
        &self,
        token: Option<&Sensitive<String>>,
        parameters: &dyn Parameters,
    ) -> Result<Wrapped, Error> {
        let path = "sys/wrapping/rewrap";
        let record = self.record("wrapping.rewrap", path);
        self.recorded(record.clone(), async {
            self.authorise(path, Operation::Update, parameters)?;
            let mut taken = self.take(token).await?;
            let row = taken.row;
            let made = self.active.wrapping_token(&row.creation_path, row.ttl).await?;
            let record = record
                .fact("accessor", taken.accessor)
                .fact("new_accessor", made.grant.accessor.clone())
                .fact("creation_path", row.creation_path.clone());
            let wrapped = Active::store_wrapped(&made, row, &mut taken.edit)?;
            taken.edit.append(made.edit);
            let logged = self.commit(taken.edit, record).await.map_err(used_meanwhile)?;
            Ok(Done::Logged(wrapped, logged))
        })
        .await
    }

    async fn take_wrapped(
        &self,
        path: &str,
        operation: Operation,
        token: Option<&Sensitive<String>>,
        parameters: &dyn Parameters,
    ) -> Result<Unwrapped, Error> {
        let record = self.record("wrapping.unwrap", path);
        self.recorded(record.clone(), async {
            self.authorise(path, operation, parameters)?;
            let taken = self.take(token).await?;
            let record = record.fact("accessor", taken.accessor).fact("creation_path", taken.row.creation_path.clone());
            let logged = self.commit(taken.edit, record).await.map_err(used_meanwhile)?;
            let WrappedRow { payload, tells, .. } = taken.row;
            Ok(Done::Logged(Unwrapped { payload, tells }, logged))
        })
        .await
    }

    /// A wrapping token's end, with what it wraps; nothing is committed yet.
    async fn take(&self, token: Option<&Sensitive<String>>) -> Result<Taken, Error> {
        let active = &self.active;
        let state = match token {
            Some(token) => {
                let token = active.wrapping_token_in(token.expose()).await?;
                active.token_state(&token).await?.ok_or_else(not_valid)?
            }
            None => Arc::clone(&self.token),
        };
        if !state.entry.wrapping {
            return Err(not_valid());
        }
        // This request has taken its one use already.
        let own = state.accessor == self.token.accessor;
        let uses = uses_row(&state.accessor);
        let guard = active.locks.lock(&[&uses]).await;
        let left = active.row::<UsesRow>(&uses).await?.map(|uses| uses.value.left);
        if left.is_none_or(|left| left == 0 && !own) {
            return Err(not_valid());
        }
        let Found { value: row, revision } = active.wrapped(&state.accessor).await?.ok_or_else(not_valid)?;
        let mut edit = Edit::under(guard);
        end(&state, revision, &mut edit);
        Ok(Taken { accessor: state.accessor.clone(), row, edit })
    }
}

/// A wrapping token about to end.
struct Taken {
    accessor: String,
    row: WrappedRow,
    edit: Edit,
}

impl Active {
    /// A wrapping token that can still be used, and what it wraps.
    async fn unused(&self, token: &str) -> Result<(Arc<TokenState>, Found<WrappedRow>), Error> {
        let token = self.wrapping_token_in(token).await?;
        let state = self.token_state(&token).await?.filter(|state| state.entry.wrapping).ok_or_else(not_valid)?;
        let uses = self.row::<UsesRow>(&uses_row(&state.accessor)).await?;
        if uses.is_none_or(|uses| uses.value.left == 0) {
            return Err(not_valid());
        }
        let found = self.wrapped(&state.accessor).await?.ok_or_else(not_valid)?;
        Ok((state, found))
    }

    async fn wrapped(&self, accessor: &str) -> Result<Option<Found<WrappedRow>>, Error> {
        self.row(&wrapped_row(accessor)).await
    }

    async fn wrap(self: &Arc<Self>, record: Record, wrap: Wrap<'_>) -> Result<(Wrapped, Logged), Error> {
        let token = wrap.token_accessor.map(str::to_owned);
        let outcome = self.wrap_or_fail(record, wrap).await;
        // What nobody got is of no use to anybody.
        if let (Some(accessor), Err(error)) = (token, &outcome)
            && error.code() != Code::AuditUnavailable
        {
            let record = Record::system("token.revoke")
                .fact("accessor", accessor.clone())
                .fact("reason", "the reply with it could not be wrapped");
            match self.revoke_tree(&accessor, record).await {
                Ok(logged) => logged.spend(),
                Err(error) => tracing::error!(cause = ?error, "a token whose reply was not wrapped lives on unused"),
            }
        }
        outcome
    }

    async fn wrap_or_fail(self: &Arc<Self>, record: Record, wrap: Wrap<'_>) -> Result<(Wrapped, Logged), Error> {
        if wrap.payload.expose().len() > MAX_WRAPPED {
            return Err(Error::new(Code::TooLarge, format!("a reply of more than {MAX_WRAPPED} bytes is not wrapped")));
        }
        let made = self.wrapping_token(wrap.creation_path, wrap.ttl.as_secs()).await?;
        let mut record = record.fact("new_accessor", made.grant.accessor.clone());
        if let Some(accessor) = wrap.token_accessor {
            record = record.fact("wrapped_accessor", accessor);
        }
        let row = WrappedRow {
            creation_path: wrap.creation_path.to_owned(),
            created_ms: made.created_ms,
            ttl: made.grant.lease_duration.unsigned_abs(),
            tells: wrap.tells,
            payload: wrap.payload,
        };
        let mut edit = Edit::default();
        let mut wrapped = Self::store_wrapped(&made, row, &mut edit)?;
        if let WrapForm::Jwt { address } = &wrap.form {
            wrapped.token = self.wrapping_jwt(&wrapped, made.created_ms, wrap.token_accessor, address).await?;
        }
        edit.append(made.edit);
        let logged = self.commit(edit, record, Urgency::Ordinary).await?;
        Ok((wrapped, logged))
    }

    async fn wrapping_token(&self, creation_path: &str, ttl: u64) -> Result<Made, Error> {
        let ttl = ttl.max(1);
        let wanted = Wanted {
            policies: vec![policies::RESPONSE_WRAPPING.to_owned()],
            no_default_policy: true,
            display_name: "token".to_owned(),
            path: creation_path.to_owned(),
            ttl: Some(ttl),
            explicit_max_ttl: ttl,
            num_uses: 1,
            wrapping: true,
            tenure: self.tenure_at(creation_path),
            ..Wanted::default()
        };
        self.make_token(wanted, None).await
    }

    /// The stay of the login method that a reply comes from; `None` where it comes from none. What is wrapped goes with
    /// the method that gave it.
    fn tenure_at(&self, path: &str) -> Option<Uuid> {
        let by_login = path.starts_with("auth/") && !path.starts_with("auth/token/");
        // A method that went meanwhile is none that ever stands.
        by_login.then(|| self.mounts.resolve(path).map_or(Uuid::nil(), |mount| mount.tenure))
    }

    fn store_wrapped(made: &Made, mut row: WrappedRow, edit: &mut Edit) -> Result<Wrapped, Error> {
        row.created_ms = made.created_ms;
        let wrapped = Wrapped {
            token: made.grant.token.clone(),
            accessor: made.grant.accessor.clone(),
            ttl: row.ttl,
            creation_time: rfc3339(row.created_ms),
            creation_path: row.creation_path.clone(),
        };
        let expires = row.created_ms.saturating_add(super::create::milliseconds(row.ttl));
        let value: Zeroizing<Vec<u8>> = codec::encode(&row)?;
        edit.put_expiring(wrapped_row(&wrapped.accessor), value, Some(Expect::Absent), Some(expires));
        Ok(wrapped)
    }
}

/// The row of what a wrapping token stands for.
pub(crate) fn wrapped_row(accessor: &str) -> String {
    format!("{}{accessor}", keys::WRAPPED)
}

/// Adds the end of a wrapping token, which must find what it wraps as it was read: of two, one fails.
fn end(state: &TokenState, revision: Revision, edit: &mut Edit) {
    let accessor = &state.accessor;
    edit.delete(wrapped_row(accessor), Some(Expect::Revision(revision)));
    edit.delete(token_row(accessor), None);
    edit.delete(uses_row(accessor), None);
    if let Some(expires) = state.entry.expires_ms {
        edit.delete(expiry_row(expires, accessor), None);
    }
    forget(accessor, edit);
}

fn used_meanwhile(error: Error) -> Error {
    match error.code() {
        Code::Conflict => not_valid(),
        _ => error,
    }
}

/// What clients look for.
fn not_valid() -> Error {
    Error::invalid(NOT_VALID)
}

/// Why a wrapping token gives out nothing.
pub const NOT_VALID: &str = "wrapping token is not valid or does not exist";
/// The class of records of replies that were wrapped.
const CREATE: &str = "wrapping.create";
