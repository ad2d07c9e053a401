//! `sys/leases/…`, and the older paths for the same.

use coffer_core::LeaseInfo;
use serde::Serialize;

use super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
};
use crate::error::{self, Success};

/// What a path below `sys/` asks of leases.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Leases<'a> {
    Count,
    Irrevocable,
    List(&'a str),
    Lookup,
    /// With the id in the path, or in the body.
    Renew(Option<&'a str>),
    Revoke(Option<&'a str>),
    RevokePrefix(&'a str),
    Tidy,
}

impl<'a> Leases<'a> {
    /// What is asked for, where the path is one of these.
    pub(crate) fn parse(rest: &'a str, verb: Verb) -> Option<Self> {
        if rest == "leases" {
            return (verb != Verb::List).then_some(Self::Irrevocable);
        }
        let (rest, is_new) = rest.strip_prefix("leases/").map_or((rest, false), |rest| (rest, true));
        let (head, below) = rest.split_once('/').map_or((rest, None), |(head, below)| (head, Some(below)));
        let id = below.filter(|below| !below.is_empty() && !below.ends_with('/'));
        match (head, below) {
            ("count", None) if is_new => Some(Self::Count),
            ("lookup", None) if is_new => Some(Self::Lookup),
            ("lookup", Some(prefix)) if is_new => Some(Self::List(prefix)),
            ("tidy", None) if is_new => Some(Self::Tidy),
            ("renew", None) => Some(Self::Renew(None)),
            ("renew", Some(_)) => id.map(|id| Self::Renew(Some(id))),
            ("revoke", None) => Some(Self::Revoke(None)),
            ("revoke", Some(_)) => id.map(|id| Self::Revoke(Some(id))),
            ("revoke-prefix" | "revoke-force", Some(_)) => id.map(Self::RevokePrefix),
            _ => None,
        }
    }

    /// Answers it.
    pub(crate) async fn answer(self, call: &mut VaultCall) -> Outcome {
        let path = call.path.clone();
        match (self, call.verb) {
            (Self::Lookup, Verb::Write) => {
                let params = call.params().await?;
                let fields = params.fields()?;
                let id = given(None, &fields)?;
                let info = call.caller.lease_lookup(&id, &fields).await?;
                Ok(call.data(&ShownLease::of(&info)))
            }
            (Self::List(prefix), Verb::List) => {
                let page = call.page().await?;
                let names = call.caller.lease_list(prefix, page.part()).await?;
                call.keys(names)
            }
            (Self::Renew(id), Verb::Write) => {
                let params = call.params().await?;
                let fields = params.fields()?;
                let id = given(id, &fields)?;
                call.caller.lease_renew(&path, &id, &fields).await?;
                Ok(done())
            }
            (Self::Revoke(id), Verb::Write) => {
                let params = call.params().await?;
                let fields = params.fields()?;
                let id = given(id, &fields)?;
                call.caller.lease_revoke(&path, &id, &fields).await?;
                Ok(done())
            }
            (Self::RevokePrefix(prefix), Verb::Write) => {
                let params = call.params().await?;
                let fields = params.fields()?;
                let waits = fields.boolean("sync")?.unwrap_or(true);
                call.caller.lease_revoke_prefix(&path, prefix, &fields).await?;
                // It is done, also for those who would not wait.
                let status = error::success(if waits { Success::Empty } else { Success::Accepted });
                Ok(error::respond(status, error::JSON, bytes::Bytes::new()))
            }
            (Self::Count, Verb::Read) => {
                let (count, _) = irrevocable(call).await?;
                Ok(call.data(&Count { counts: Empty {}, lease_count: count }))
            }
            (Self::Irrevocable, Verb::Read) => {
                let (count, leases) = irrevocable(call).await?;
                Ok(call.data(&Irrevocable { lease_count: count, leases }))
            }
            (Self::Tidy, Verb::Write) => tidy(call).await,
            _ => Err(Failure::unsupported_operation()),
        }
    }
}

/// Sweeps expired tokens, in the background.
pub(crate) async fn tidy(call: &mut VaultCall) -> Outcome {
    call.caller.tidy(&call.path).await?;
    let warning = "Tidy operation successfully started. Any information from the operation will be printed to \
                   Coffer's server logs.";
    Ok(call.envelope_as(error::success(Success::Accepted), Envelope::warning(warning)))
}

/// Leases that cannot be revoked are the only ones that are counted and listed.
async fn irrevocable(call: &mut VaultCall) -> Result<(usize, Vec<String>), Failure> {
    let params = call.params().await?;
    let fields = params.fields()?;
    if fields.text("type")?.is_none_or(|kind| kind.as_str() != "irrevocable") {
        return Err(Failure::Request(coffer_core::Error::not_found()));
    }
    let limit = fields.text("limit")?.filter(|limit| !limit.is_empty() && limit.as_str() != "none");
    if limit.is_some_and(|limit| limit.parse::<u32>().map_or(true, |limit| limit == 0)) {
        return Err(Failure::invalid("1 error occurred:\n\t* limit must be 'none' or a positive integer\n\n"));
    }
    let count = call.caller.lease_irrevocable(&call.path, &fields).await?;
    Ok((count, Vec::new()))
}

fn given(id: Option<&str>, fields: &super::lenient::Fields<'_>) -> Result<String, Failure> {
    let sent = match (id, fields.given("lease_id")?) {
        (Some(id), _) => Some(id.to_owned()),
        (None, sent) => sent.map(|sent| sent.to_string()),
    };
    sent.ok_or_else(|| Failure::invalid("lease_id must be specified"))
}

#[derive(Serialize)]
struct Count {
    counts: Empty,
    lease_count: usize,
}

#[derive(Serialize)]
struct Empty {}

#[derive(Serialize)]
struct Irrevocable {
    lease_count: usize,
    leases: Vec<String>,
}

#[derive(Serialize)]
struct ShownLease<'a> {
    expire_time: Option<&'a str>,
    id: &'a str,
    issue_time: &'a str,
    last_renewal: Option<&'a str>,
    path: &'a str,
    renewable: bool,
    ttl: u64,
}

impl<'a> ShownLease<'a> {
    fn of(info: &'a LeaseInfo) -> Self {
        Self {
            expire_time: info.expire_time.as_deref(),
            id: &info.id,
            issue_time: &info.issue_time,
            last_renewal: info.last_renewal.as_deref(),
            path: &info.path,
            renewable: info.renewable,
            ttl: info.ttl,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_and_new_paths_mean_the_same() {
        let parse = |rest| Leases::parse(rest, Verb::Write);
        for (rest, meant) in [
            ("leases", Some(Leases::Irrevocable)),
            ("leases/lookup", Some(Leases::Lookup)),
            ("leases/lookup/", Some(Leases::List(""))),
            ("leases/lookup/auth/", Some(Leases::List("auth/"))),
            ("leases/renew", Some(Leases::Renew(None))),
            ("renew", Some(Leases::Renew(None))),
            ("renew/a/b", Some(Leases::Renew(Some("a/b")))),
            ("leases/revoke/a/b", Some(Leases::Revoke(Some("a/b")))),
            ("revoke", Some(Leases::Revoke(None))),
            ("revoke-prefix/auth/x", Some(Leases::RevokePrefix("auth/x"))),
            ("leases/revoke-force/auth", Some(Leases::RevokePrefix("auth"))),
            ("leases/tidy", Some(Leases::Tidy)),
            ("leases/revoke-prefix", None),
            ("leases/", None),
            ("leasesx", None),
            ("lookup", None),
            ("tidy", None),
            ("mounts", None),
        ] {
            assert_eq!(parse(rest), meant, "{rest}");
        }
        assert_eq!(Leases::parse("leases/", Verb::List), None);
    }
}
