//! `sys/policies/acl` and its older spelling `sys/policy`.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_core::{Operation, PolicyNames};
use serde::Serialize;

use super::super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
};

/// Which of the two spellings.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Family {
    /// `sys/policies/acl`.
    Acl,
    /// `sys/policy`.
    Legacy,
}

impl Family {
    fn prefix(self) -> &'static str {
        match self {
            Self::Acl => "sys/policies/acl/",
            Self::Legacy => "sys/policy/",
        }
    }
}

/// Answers what follows a family's name: nothing, or a slash and a policy's name.
pub(super) async fn answer(call: &mut VaultCall, family: Family, rest: &str) -> Outcome {
    let Some(name) = rest.strip_prefix('/').or_else(|| rest.is_empty().then_some("")) else {
        return Err(Failure::unsupported_path());
    };
    match (name, call.verb, family) {
        ("", Verb::Read, Family::Legacy) | (_, Verb::List, _) => list(call, family, name).await,
        ("", _, _) => Err(Failure::unsupported_operation()),
        (name, _, _) if name.ends_with('/') => Err(Failure::unsupported_path()),
        (name, Verb::Read, _) => read(call, family, name).await,
        (name, Verb::Write, _) => write(call, family, name).await,
        (name, Verb::Delete, _) => {
            call.caller.policy_delete(name, family.prefix()).await?;
            Ok(done())
        }
        (_, Verb::Patch | Verb::Scan, _) => Err(Failure::unsupported_operation()),
    }
}

/// All names, or those below one; `root` comes last, as clients know it.
async fn list(call: &mut VaultCall, family: Family, below: &str) -> Outcome {
    #[derive(Serialize)]
    struct Both<'a> {
        keys: &'a [String],
        policies: &'a [String],
    }
    let operation = call.verb.operation();
    let asked = if operation == Operation::Read { "sys/policy".to_owned() } else { call.path.clone() };
    let page = call.page().await?;
    let names = call.caller.policy_list(operation, &asked, PolicyNames::Below(below), page.part()).await?.items;
    if family == Family::Acl || names.is_empty() {
        return call.keys(names);
    }
    Ok(call.envelope(Envelope::data(&Both { keys: &names, policies: &names }).injected()))
}

/// Exactly two keys: clients' own tests compare the whole of it.
async fn read(call: &mut VaultCall, family: Family, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Acl<'a> {
        name: &'a str,
        policy: &'a str,
    }
    #[derive(Serialize)]
    struct Legacy<'a> {
        name: &'a str,
        rules: &'a str,
    }
    let found = call.caller.policy_read(name, family.prefix()).await?;
    let (name, text) = (found.name.as_str(), found.policy.as_str());
    Ok(match family {
        Family::Acl => call.data(&Acl { name, policy: text }),
        Family::Legacy => call.envelope(Envelope::data(&Legacy { name, rules: text }).injected()),
    })
}

async fn write(call: &mut VaultCall, family: Family, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    // A bound on what a policy grants is never passed over.
    for bound in ["cas", "cas_required", "expiration", "ttl"] {
        if fields.raw(bound).is_some_and(|raw| raw.get() != "null") {
            return Err(Failure::invalid(format!("a policy has no {bound:?} here; leave it out")));
        }
    }
    let given = fields.text("policy")?.filter(|text| !text.is_empty());
    let old = match family {
        Family::Legacy if given.is_none() => fields.text("rules")?.filter(|text| !text.is_empty()),
        Family::Acl | Family::Legacy => None,
    };
    let is_old = old.is_some();
    let text = given.or(old).ok_or_else(|| Failure::invalid("'policy' parameter not supplied or empty"))?;
    call.caller.policy_write(name, family.prefix(), &plain(&text), &fields).await?;
    if is_old {
        return Ok(call.envelope(Envelope::warning("'rules' is deprecated, please use 'policy' instead")));
    }
    Ok(done())
}

/// The text of a policy, which may come in base64.
fn plain(text: &str) -> String {
    let decoded = STANDARD.decode(text.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| text.to_owned())
}
