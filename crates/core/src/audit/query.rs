//! Questions to the log: which records match, within bounded work per request.

use coffer_api::{
    Code,
    audit::{AuditEntry, AuditPage, AuditQuery},
};
use serde::Deserialize;

use crate::{Error, active::Active, time::parse_rfc3339, tlog};

/// Entries looked at for one page.
const BUDGET: u64 = 50_000;
/// Entries read at once.
const PAGE: usize = 1000;

/// A query, parsed.
pub(crate) struct Filter {
    since_ns: Option<i128>,
    until_ns: Option<i128>,
    actor: Option<String>,
    action: Option<String>,
    path: Option<String>,
    outcome: Option<String>,
    after: Option<u64>,
    limit: usize,
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
    pub(crate) fn parse(query: &AuditQuery) -> Result<Self, Error> {
        let time = |text: &Option<String>| {
            text.as_deref().map(parse_rfc3339).transpose().map(|ms| ms.map(|ms| i128::from(ms) * 1_000_000))
        };
        let after = query.after.as_deref().map(str::parse).transpose();
        let after = after.map_err(|_| Error::invalid("after is not a cursor of this log"))?;
        Ok(Self {
            since_ns: time(&query.since)?,
            until_ns: time(&query.until)?,
            actor: query.actor.clone(),
            action: query.action.clone(),
            path: query.path.clone(),
            outcome: query.outcome.clone(),
            after,
            limit: usize::try_from(query.limit.unwrap_or(100).clamp(1, 1000)).unwrap_or(1000),
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
            && is(&self.path, facts.res.path.as_deref().unwrap_or_default())
    }
}

/// One page of matching entries, oldest first, after the cursor. Blocks.
pub(crate) fn query(active: &Active, filter: &Filter) -> Result<AuditPage, Error> {
    let size = active.log.head().size;
    let mut next = filter.after.map_or(0, |after| after + 1);
    let end = size.min(next.saturating_add(BUDGET));
    let mut entries = Vec::new();
    while next < end {
        let read = active.log.read(next, PAGE).map_err(unreadable)?;
        let Some((last, _)) = read.last() else { break };
        let last = *last;
        for (index, entry) in read {
            let record = tlog::payload(&entry);
            let Ok(facts) = serde_json::from_slice::<Facts<'_>>(record) else { continue };
            if filter.matches(&facts) {
                let entry = serde_json::from_slice(record).map_err(Error::internal)?;
                entries.push(AuditEntry { index, entry });
                if entries.len() >= filter.limit {
                    let next = (index + 1 < size).then(|| index.to_string());
                    return Ok(AuditPage { entries, next, size });
                }
            }
        }
        next = last + 1;
    }
    let cursor = (next < size).then(|| next.saturating_sub(1).to_string());
    Ok(AuditPage { entries, next: cursor, size })
}

pub(crate) fn unreadable(error: tlog::ReadError) -> Error {
    match &error {
        tlog::ReadError::Range { size, .. } => Error::new(Code::NotFound, format!("the log has {size} entries")),
        _ => Error::new(Code::Integrity, "the audit log cannot be read; run `coffer audit verify` on it")
            .caused_by(error),
    }
}
