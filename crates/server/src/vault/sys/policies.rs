//! `sys/policies/acl` and its older spelling `sys/policy`.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_core::{Operation, PolicyEnd, PolicyNames, PolicyWrite, policy::moment};
use serde::Serialize;

use super::super::{
    call::{Failure, Outcome, VaultCall, Verb, done},
    envelope::Envelope,
    lenient::Fields,
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
        (name, Verb::Patch, Family::Acl) => patch(call, name).await,
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

/// Exactly two keys, as clients' own tests compare the whole of it; more where somebody made use of what they tell.
async fn read(call: &mut VaultCall, family: Family, name: &str) -> Outcome {
    #[derive(Serialize)]
    struct Shown<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        policy: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rules: Option<&'a str>,
        #[serde(flatten)]
        settings: Option<Settings>,
    }
    #[derive(Serialize)]
    struct Settings {
        allow_slashes_in_identity_templates: bool,
        allow_wildcards_in_identity_templates: bool,
        cas_required: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        expiration: Option<String>,
        modified: String,
        version: u64,
    }
    let found = call.caller.policy_read(name, family.prefix()).await?;
    let set = &found.settings;
    let settings = set.is_used.then(|| Settings {
        allow_slashes_in_identity_templates: set.values.slashes,
        allow_wildcards_in_identity_templates: set.values.wildcards,
        cas_required: set.cas_required,
        expiration: found.expiration.clone(),
        modified: found.modified.clone(),
        version: set.version,
    });
    let (name, text) = (found.text.name.as_str(), Some(found.text.policy.as_str()));
    Ok(match family {
        Family::Acl => call.data(&Shown { name, policy: text, rules: None, settings }),
        Family::Legacy => {
            call.envelope(Envelope::data(&Shown { name, policy: None, rules: text, settings }).injected())
        }
    })
}

async fn write(call: &mut VaultCall, family: Family, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let given = fields.given("policy")?;
    let old = match family {
        Family::Legacy if given.is_none() => fields.given("rules")?,
        Family::Acl | Family::Legacy => None,
    };
    let is_old = old.is_some();
    let text = given.or(old).ok_or_else(|| Failure::invalid("'policy' parameter not supplied or empty"))?;
    let write = PolicyWrite { text: Some(plain(&text)), ..settings(&fields)? };
    call.caller.policy_set(name, family.prefix(), Operation::Update, write, &fields).await?;
    if is_old {
        return Ok(call.envelope(Envelope::warning("'rules' is deprecated, please use 'policy' instead")));
    }
    Ok(done())
}

async fn patch(call: &mut VaultCall, name: &str) -> Outcome {
    let params = call.params().await?;
    let fields = params.fields()?;
    let text = fields.text("policy")?.map(|text| plain(&text));
    let write = PolicyWrite { text, ..settings(&fields)? };
    call.caller.policy_set(name, Family::Acl.prefix(), Operation::Patch, write, &fields).await?;
    Ok(call.envelope(Envelope::default()))
}

/// What is sent beside the text.
fn settings(fields: &Fields<'_>) -> Result<PolicyWrite, Failure> {
    let at = match fields.text("expiration")? {
        None => None,
        Some(text) if text.is_empty() => Some(PolicyEnd::Never),
        Some(text) => Some(PolicyEnd::At(moment(&text).ok_or_else(|| {
            Failure::invalid("Field validation failed: error converting input for field \"expiration\": no time")
        })?)),
    };
    let after = match fields.duration("ttl")? {
        None => None,
        Some(ttl) => Some(PolicyEnd::After(ttl.whole_secs().ok_or_else(|| {
            Failure::invalid("Field validation failed: error converting input for field \"ttl\": it is negative")
        })?)),
    };
    if at.is_some() && after.is_some() {
        return Err(Failure::invalid("cannot supply both 'expiration' and 'ttl' for policies"));
    }
    Ok(PolicyWrite {
        text: None,
        cas: fields.integer("cas")?,
        cas_required: fields.boolean("cas_required")?,
        end: at.or(after),
        wildcards: fields.boolean("allow_wildcards_in_identity_templates")?,
        slashes: fields.boolean("allow_slashes_in_identity_templates")?,
    })
}

/// The text of a policy, which may come in base64.
fn plain(text: &str) -> String {
    let decoded = STANDARD.decode(text.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| text.to_owned())
}
