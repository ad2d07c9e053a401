//! Questions to the log: which records match, within bounded work per request.

use coffer_api::{
    Code,
    audit::{AuditEntry, AuditPage, AuditQuery},
};
use serde::Deserialize;

use crate::{
    Error,
    active::Active,
    time::parse_rfc3339,
    tlog::{
        self,
        index::{Budget, Order, Query},
        summary::{Summary, TimeRange},
    },
};

/// Work for one page: summaries of 256 entries each, and bundles opened.
const BUDGET: Budget = Budget { summaries: 20_000, bundles: 200 };

/// A query, parsed.
pub(crate) struct Filter {
    query: Query,
    since_ns: Option<i128>,
    until_ns: Option<i128>,
    actor: Option<String>,
    action: Option<String>,
    /// Any of them; none where the path does not matter.
    paths: Vec<String>,
    outcome: Option<String>,
}

/// What of a record can be searched for; part of a term's hash.
#[derive(Clone, Copy)]
enum Term {
    Action,
    Actor,
    Outcome,
    Path,
}

/// What a filter looks at in a record.
#[derive(Deserialize)]
pub(crate) struct Facts<'a> {
    #[serde(borrow, default)]
    pub(crate) actor: ActorFacts<'a>,
    #[serde(borrow)]
    pub(crate) cls: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) out: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    pub(crate) res: ResourceFacts<'a>,
    #[serde(borrow, default)]
    pub(crate) src: SourceFacts<'a>,
    #[serde(borrow)]
    pub(crate) t: std::borrow::Cow<'a, str>,
}

#[derive(Default, Deserialize)]
pub(crate) struct ActorFacts<'a> {
    #[serde(borrow, default)]
    pub(crate) accessor: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) id: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) name: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow, default, rename = "type")]
    pub(crate) kind: Option<std::borrow::Cow<'a, str>>,
}

#[derive(Default, Deserialize)]
pub(crate) struct ResourceFacts<'a> {
    #[serde(borrow, default)]
    pub(crate) path: Option<std::borrow::Cow<'a, str>>,
    #[serde(default)]
    pub(crate) ver: Option<u64>,
}

#[derive(Default, Deserialize)]
pub(crate) struct SourceFacts<'a> {
    #[serde(borrow, default)]
    pub(crate) ip: Option<std::borrow::Cow<'a, str>>,
}

impl Filter {
    /// # Errors
    /// [`Code::Invalid`] where a time or the cursor is none.
    pub(crate) fn parse(question: &AuditQuery, order: Order) -> Result<Self, Error> {
        Self::with_paths(question, question.path.iter().cloned().collect(), order)
    }

    /// As [`Filter::parse`], for records about any of these paths instead of the question's own.
    ///
    /// # Errors
    /// [`Code::Invalid`] where a time or the cursor is none.
    pub(crate) fn with_paths(question: &AuditQuery, paths: Vec<String>, order: Order) -> Result<Self, Error> {
        let time = |text: &Option<String>| text.as_deref().map(parse_rfc3339).transpose();
        let (since, until) = (time(&question.since)?, time(&question.until)?);
        let cursor = question.after.as_deref().map(str::parse).transpose();
        let cursor = cursor.map_err(|_| Error::invalid("after is not a cursor of this log"))?;
        let cursor = match order {
            Order::Oldest => cursor.into_iter().chain(question.from).max(),
            Order::Newest => cursor,
        };
        let terms =
            [(Term::Actor, &question.actor), (Term::Action, &question.action), (Term::Outcome, &question.outcome)];
        let terms = terms.into_iter().filter_map(|(kind, value)| value.as_deref().map(|value| hash(kind, value)));
        let millis = |ms: Option<i64>| ms.and_then(|ms| u64::try_from(ms).ok());
        let nanos = |ms: Option<i64>| ms.map(|ms| i128::from(ms) * 1_000_000);
        Ok(Self {
            query: Query {
                order,
                cursor,
                terms: terms.collect(),
                any_of: paths.iter().map(|path| hash(Term::Path, path)).collect(),
                // A millisecond of an entry may hold more than one time.
                times: TimeRange { from_ms: millis(since), until_ms: millis(until).map(|until| until + 1) },
                limit: usize::try_from(question.limit.unwrap_or(100).clamp(1, 1000)).unwrap_or(1000),
                budget: BUDGET,
            },
            since_ns: nanos(since),
            until_ns: nanos(until),
            actor: question.actor.clone(),
            action: question.action.clone(),
            paths,
            outcome: question.outcome.clone(),
        })
    }

    fn matches(&self, facts: &Facts<'_>) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        let time: i128 = facts.t.parse().unwrap_or(0);
        let actor = self.actor.as_deref().is_none_or(|wanted| {
            let actor = &facts.actor;
            [&actor.accessor, &actor.id, &actor.name].into_iter().flatten().any(|known| known == wanted)
        });
        actor
            && self.since_ns.is_none_or(|since| time >= since)
            && self.until_ns.is_none_or(|until| time < until)
            && is(&self.action, &facts.cls)
            && is(&self.outcome, &facts.out)
            && (self.paths.is_empty() || self.paths.iter().any(|path| facts.res.path.as_deref() == Some(path)))
    }
}

/// One page of matching entries. Blocks.
pub(crate) fn query(active: &Active, filter: &Filter) -> Result<AuditPage, Error> {
    let size = active.log.head().size;
    let matches = |entry: &[u8]| {
        serde_json::from_slice::<Facts<'_>>(tlog::payload(entry)).is_ok_and(|facts| filter.matches(&facts))
    };
    let page = active.index.query(&filter.query, &matches).map_err(unreadable)?;
    let mut entries = Vec::with_capacity(page.entries.len());
    for (index, entry) in page.entries {
        let entry = serde_json::from_slice(tlog::payload(&entry)).map_err(Error::internal)?;
        entries.push(AuditEntry { index, entry });
    }
    Ok(AuditPage { entries, next: page.next.map(|next| next.to_string()), size })
}

/// What of an entry can be searched for.
pub(crate) fn summarise(entry: &[u8]) -> Option<Summary> {
    let facts: Facts<'_> = serde_json::from_slice(tlog::payload(entry)).ok()?;
    let time_ns: u64 = facts.t.parse().ok()?;
    let actor = [&facts.actor.accessor, &facts.actor.id, &facts.actor.name];
    let mut terms: Vec<u64> = actor.into_iter().flatten().map(|actor| hash(Term::Actor, actor)).collect();
    terms.push(hash(Term::Action, &facts.cls));
    terms.push(hash(Term::Outcome, &facts.out));
    terms.extend(facts.res.path.as_deref().map(|path| hash(Term::Path, path)));
    Some(Summary { time_ms: time_ns / 1_000_000, terms })
}

/// The hash is part of a file's format: it must not change from one run to the next.
fn hash(kind: Term, value: &str) -> u64 {
    let kind: &[u8] = match kind {
        Term::Action => b"action\0",
        Term::Actor => b"actor\0",
        Term::Outcome => b"outcome\0",
        Term::Path => b"path\0",
    };
    let digest = coffer_crypto::hash::sha256(&[kind, value.as_bytes()]);
    digest.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

pub(crate) fn unreadable(error: tlog::ReadError) -> Error {
    match &error {
        tlog::ReadError::Range { size, .. } => Error::new(Code::NotFound, format!("the log has {size} entries")),
        _ => Error::new(Code::Integrity, "the audit log cannot be read; run `coffer audit verify` on it")
            .caused_by(error),
    }
}
