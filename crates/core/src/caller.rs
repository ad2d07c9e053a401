//! An authenticated request. Every operation of the core is a method here: it authorises the logical requests it
//! stands for, acts, records, and only then returns.

use std::sync::Arc;

use coffer_api::Code;
use serde_json::{Map, Value};

use crate::{
    Context, Error,
    active::Active,
    codec,
    commit::{Edit, Logged, Urgency},
    identity::{Entity, Group},
    policy::{self, Decision, Denial, Grant, Operation, ParameterFault, Parameters, Request, Subject},
    record::{Actor, Record},
    spelled::Logical,
    token::{Authority, Marker, TokenEntry, TokenState, UsesRow, expiry_row, uses_row},
};

/// An authenticated request.
pub struct Caller {
    pub(crate) active: Arc<Active>,
    pub(crate) cx: Arc<Context>,
    pub(crate) token: Arc<TokenState>,
    pub(crate) authority: Arc<Authority>,
    /// Uses left after this request, where they are limited.
    pub(crate) uses_left: Option<u64>,
    /// Parameters of a read, where its dialect has such.
    query: Option<Map<String, Value>>,
}

/// What an operation came to: whether its record is in the log already (a change carries it) or not (a read, or
/// a change that found nothing to do).
pub(crate) enum Done<T> {
    Logged(T, Logged),
    Unlogged(T),
}

impl Caller {
    /// Authenticates a token; a refusal is recorded.
    pub(crate) async fn authenticate(active: Arc<Active>, cx: Context, token: Option<&str>) -> Result<Self, Error> {
        active.lease.check()?;
        let found = match token {
            Some(token) => active.token_state(token).await?,
            None => None,
        };
        let Some(state) = found else { return Err(Box::pin(refuse(&active, &cx)).await) };
        let authority = active.authority_of(&state).await?;
        if authority.entity_disabled || !is_bound_here(&state, &cx) {
            return Err(Box::pin(refuse(&active, &cx)).await);
        }
        let mut caller = Self { active, cx: Arc::new(cx), token: state, authority, uses_left: None, query: None };
        if caller.token.entry.num_uses > 0 {
            Box::pin(caller.take_use()).await?;
        }
        Ok(caller)
    }

    /// The request's facts.
    pub fn context(&self) -> &Context {
        &self.cx
    }

    /// Whether one of its policies is `root`.
    pub fn is_root(&self) -> bool {
        self.authority.acl.is_root()
    }

    /// Whether its token stands for a wrapped response.
    pub fn is_wrapping(&self) -> bool {
        self.token.entry.wrapping
    }

    /// What the request asks its reads with: policies that constrain parameters see them from now on.
    pub fn read_with(&mut self, query: Map<String, Value>) {
        self.query = Some(query);
    }

    /// Asks the policies about one logical request, as it was sent.
    pub(crate) fn authorise<'p>(
        &self,
        path: impl Into<Logical<'p>>,
        operation: Operation,
        parameters: &dyn Parameters,
    ) -> Result<Grant, Error> {
        let path = path.into().sent();
        let parameters = match (&self.query, operation) {
            (Some(query), Operation::Read) => query,
            (Some(_) | None, _) => parameters,
        };
        let (acl, now) = (&self.authority.acl, self.active.clock.now());
        let usual = acl.has_built_in().then(|| self.active.mounts.usual(path)).flatten();
        let decide = |operation| {
            let request = Request { path, operation, parameters, wrap_ttl: self.cx.wrap_ttl, now };
            match acl.check(&request) {
                Decision::Allow(_)
                    if usual.as_deref().is_some_and(|usual| acl.withholds(path, usual, operation, now)) =>
                {
                    Err(Denial::DenyRule)
                }
                Decision::Allow(grant) => Ok(grant),
                Decision::Deny(denial) => Err(denial),
            }
        };
        let denial = match decide(operation) {
            Ok(grant) => return Ok(grant),
            Err(denial) => denial,
        };
        self.active.metrics.denied.add(1);
        if operation == Operation::Create {
            // Who may neither make nor change what lies there is not told which of the two it would have been.
            if let Err(denial) = decide(Operation::Update) {
                return Err(denied(path, Operation::Update, &denial));
            }
        }
        Err(denied(path, operation, &denial))
    }

    /// A record of this request.
    pub(crate) fn record(&self, class: &'static str, path: impl Into<String>) -> Record {
        Record::of_caller(class, path.into(), Arc::clone(self.token.actor()), Arc::clone(&self.cx))
    }

    /// Runs an operation and sees to its record: what is not in the log yet is logged now, success or not.
    pub(crate) async fn recorded<T>(
        &self,
        record: Record,
        work: impl Future<Output = Result<Done<T>, Error>>,
    ) -> Result<T, Error> {
        if record.urgency() == Urgency::Ordinary {
            self.active.space.check_read()?;
        }
        match work.await {
            Ok(done) => self.active.done(&record, done).await,
            Err(error) => Err(Box::pin(self.failed(record, error)).await),
        }
    }

    /// Logs the failure of an operation; where even that fails, that is the error.
    pub(crate) async fn failed(&self, mut record: Record, error: Error) -> Error {
        // Without room for a record there is none; between the two marks there is.
        let unlogged = error.code() == Code::DiskFull && self.active.space.check_read().is_err();
        if unlogged || error.code() == Code::AuditUnavailable {
            return error;
        }
        record.fail(&error);
        record.changes.clear();
        match self.active.log_read(&record).await {
            Ok(()) => error,
            Err(unlogged) => unlogged,
        }
    }

    /// Records a request that failed before it became an operation (it does not parse, say), and gives the error to
    /// answer: that of the policies, where they refuse the path anyway, else the one given.
    pub async fn refuse(&self, operation: Operation, path: &str, error: Error) -> Error {
        self.refuse_with(operation, path, &(), error).await
    }

    /// As [`Caller::refuse`], for a request whose parameters could be read.
    pub async fn refuse_with(
        &self,
        operation: Operation,
        path: &str,
        parameters: &dyn Parameters,
        error: Error,
    ) -> Error {
        let error = self.authorise(path, operation, parameters).err().unwrap_or(error);
        self.failed(self.record("request.refused", path), error).await
    }

    /// As [`Caller::refuse`], for a request that names no logical path yet.
    pub async fn refuse_unparsed(&self, error: Error) -> Error {
        self.failed(self.record("request.refused", ""), error).await
    }

    /// Authorises and records a request that has nothing to do.
    ///
    /// # Errors
    /// [`Code::Denied`] where the policies do not grant it.
    pub async fn allowed(&self, class: &'static str, path: &str, operation: Operation) -> Result<(), Error> {
        self.recorded(self.record(class, path), async {
            self.authorise(path, operation, &())?;
            Ok(Done::Unlogged(()))
        })
        .await
    }

    /// Commits a change of this request.
    pub(crate) async fn commit(&self, edit: Edit, record: Record) -> Result<Logged, Error> {
        self.active.commit(edit, record, Urgency::Ordinary).await
    }

    /// Takes one use of a use-limited token, durably, before the operation; the last one takes the token along. With it
    /// the sweep is told of the token, for where nobody comes to [`Caller::finish`].
    async fn take_use(&mut self) -> Result<(), Error> {
        let active = Arc::clone(&self.active);
        let row = uses_row(&self.token.accessor);
        let _guard = active.locks.lock(&[&row]).await;
        let Some(uses) = active.row::<UsesRow>(&row).await?.filter(|uses| uses.value.left > 0) else {
            return Err(refuse(&active, &self.cx).await);
        };
        let left = uses.value.left - 1;
        let mut edit = Edit::default();
        edit.put(row, codec::encode(&UsesRow { left })?, Some(coffer_storage::Expect::Revision(uses.revision)));
        if left == 0 {
            let due = active.clock.now().saturating_add(SPENT_MS);
            edit.put(expiry_row(due, &self.token.accessor), codec::encode(&Marker {})?, None);
        }
        active.commit_bookkeeping(edit).await?;
        self.uses_left = Some(left);
        Ok(())
    }

    /// The answer to the request is complete and about to leave: what waits for that is done now.
    pub fn answered(&self) {
        self.active.answered(self.cx.request_id);
    }

    /// After the last use of a use-limited token: revokes it. Call it when the operation is over; it goes on to its
    /// end even if the caller goes away. Where it is not called, or fails, the sweep does it minutes later.
    pub async fn finish(self) {
        if self.uses_left != Some(0) || self.token.is_revoked() {
            return;
        }
        let record = self.record("token.revoke", "auth/token/revoke-self").fact("reason", "uses exhausted");
        let revoked = tokio::spawn(async move {
            match self.active.revoke_tree(&self.token.accessor, record).await {
                Ok(logged) => logged.spend(),
                Err(error) => error.log_cause(&self.cx.request_id),
            }
        });
        if let Err(error) = revoked.await {
            tracing::error!(cause = %error, "the revocation of a used-up token ended early");
        }
    }
}

impl Active {
    /// What an operation came to, once its record is in the log.
    pub(crate) async fn done<T>(&self, record: &Record, done: Done<T>) -> Result<T, Error> {
        match done {
            Done::Logged(value, logged) => {
                logged.spend();
                Ok(value)
            }
            Done::Unlogged(value) => {
                self.log_read(record).await?;
                self.lease.check()?;
                Ok(value)
            }
        }
    }
}

/// The ids of a subject as text, for templates to borrow.
pub(crate) struct SubjectIds {
    entity: String,
    aliases: Vec<String>,
    groups: Vec<String>,
}

impl SubjectIds {
    pub(crate) fn new(entity: Option<&Entity>, groups: &[Arc<Group>]) -> Self {
        Self {
            entity: entity.map(|entity| entity.id.to_string()).unwrap_or_default(),
            aliases: entity.iter().flat_map(|entity| &entity.aliases).map(|alias| alias.id.to_string()).collect(),
            groups: groups.iter().map(|group| group.id.to_string()).collect(),
        }
    }
}

/// Whom templates speak of.
pub(crate) fn subject<'a>(entity: Option<&'a Entity>, groups: &'a [Arc<Group>], ids: &'a SubjectIds) -> Subject<'a> {
    let aliases = |entity: &'a Entity| {
        let pairs = entity.aliases.iter().zip(&ids.aliases);
        pairs.map(|(alias, id)| policy::Alias {
            mount_accessor: &alias.mount_accessor,
            id,
            name: &alias.name,
            metadata: alias.metadata.iter().collect(),
            custom_metadata: alias.custom_metadata.iter().collect(),
        })
    };
    let groups = groups.iter().zip(&ids.groups);
    Subject {
        entity: entity.map(|entity| policy::Entity {
            id: &ids.entity,
            name: &entity.name,
            metadata: entity.metadata.iter().collect(),
            aliases: aliases(entity).collect(),
        }),
        groups: groups
            .map(|(group, id)| policy::Group { id, name: &group.name, metadata: group.metadata.iter().collect() })
            .collect(),
    }
}

/// The error of a caller without a valid token, once its record is logged (or counted).
pub(crate) async fn refuse(active: &Arc<Active>, cx: &Context) -> Error {
    active.metrics.unauthenticated.add(1);
    let error = Error::new(Code::Unauthenticated, "permission denied");
    log_refusal(active, Record::of_request("auth.refused", String::new(), anonymous(), cx), error).await
}

/// Logs the refusal of somebody unknown, or only counts it in a flood.
pub(crate) async fn log_refusal(active: &Arc<Active>, mut record: Record, error: Error) -> Error {
    if !active.refusals.is_single() {
        return error;
    }
    record.fail(&error);
    match active.log_read(&record).await {
        Ok(()) => error,
        Err(unlogged) => unlogged,
    }
}

/// Who acts with a token.
pub(crate) fn actor_of(accessor: &str, entry: &TokenEntry) -> Actor {
    Actor {
        kind: if entry.entity.is_some() { "user" } else { "machine" },
        id: entry.entity.map(|id| id.to_string()),
        name: (!entry.display_name.is_empty()).then(|| entry.display_name.clone()),
        auth: Some(entry.path.clone()),
        accessor: (!accessor.is_empty()).then(|| accessor.to_owned()),
    }
}

/// Nobody known.
pub(crate) fn anonymous() -> Actor {
    Actor { kind: "anonymous", ..Actor::default() }
}

/// The error of an authenticated caller whose policies do not reach: names path, operation and what was missing,
/// all of which it sent itself.
pub(crate) fn denied(path: &str, operation: Operation, denial: &Denial) -> Error {
    let verb = operation.capability().name();
    let why = match denial {
        Denial::DenyRule => "a policy denies this path".to_owned(),
        Denial::Expired => "the policy's rule for this path has expired".to_owned(),
        Denial::MissingCapability(capability) => {
            format!("the policy for this path lacks the capability {}", capability.name())
        }
        Denial::MissingSudo => "this path needs the capability sudo as well".to_owned(),
        Denial::NoRule => format!("no policy grants {verb} on this path"),
        // Which parameter is required is the policy's to know.
        Denial::Parameter { fault: ParameterFault::Missing, .. } => {
            "a parameter that the policy requires is missing".to_owned()
        }
        Denial::Parameter { name, fault } => format!("the parameter {name:?} {fault}"),
        Denial::WrappingBounds => "the policy bounds the response wrapping TTL".to_owned(),
    };
    Error::new(Code::Denied, format!("permission denied: {verb} on {path}: {why}"))
}

fn is_bound_here(state: &TokenState, cx: &Context) -> bool {
    state.entry.bound_cidrs.is_empty()
        || cx.remote.is_some_and(|remote| crate::cidr::any_contains(&state.entry.bound_cidrs, remote.ip()))
}

/// How long after a token's last use the sweep ends it, in milliseconds: longer than any request lasts.
const SPENT_MS: i64 = 300_000;
