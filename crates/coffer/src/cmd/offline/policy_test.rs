//! `coffer policy test`: decides one request by policy files alone, and says why.

mod subject;

use std::{path::PathBuf, process::ExitCode, time::Duration};

use clap::Args;
use coffer_core::{
    clock::{SystemTimeSource, TimeSource},
    policy::{Acl, Decision, Explanation, Operation, ParameterVerdict, Policy, Request, TemplateValues, builtin},
};
use serde::Serialize;
use serde_json::{Map, Value};

use self::subject::Person;
use crate::{
    duration,
    failure::{Exit, Failure},
    input,
    session::Session,
};

/// Options of `policy test`.
#[derive(Args)]
#[command(after_help = "\
The path is the logical one, with its mount, as policies name it:
  coffer policy test --policy api.hcl --path secret/data/acme/prod/api/URL --operation read
A token has the policy `default` too unless it was made without: --builtin default adds it.
Templates take what is said of the entity; without it their rules do not exist:
  coffer policy test --policy api.hcl --path secret/data/acme/KEY --operation read \\
    --alias auth_userpass_1a2b3c4d:name=ann --group ops:id=0190… --group ops:metadata.team=acme
Exit code 0 means allowed, 4 denied.")]
pub(crate) struct Arguments {
    /// A policy file, HCL or JSON, - for stdin; its name without the extension is the policy's
    #[arg(long = "policy", value_name = "FILE", num_args = 1..)]
    policies: Vec<PathBuf>,
    /// A policy that every server starts with
    #[arg(long = "builtin", value_name = "NAME", num_args = 1.., value_parser = builtin_names())]
    builtins: Vec<String>,
    /// Logical path of the request
    #[arg(long, value_name = "PATH")]
    path: String,
    /// What is to be done
    #[arg(long, value_name = "OPERATION", value_parser = operation_names())]
    operation: String,
    /// A parameter that the request sends, its value JSON or text; repeat for more
    #[arg(long = "data", value_name = "KEY=VALUE")]
    data: Vec<String>,
    /// For how long the answer is to be wrapped
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    wrap_ttl: Option<Duration>,
    /// When [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<jiff::Timestamp>,
    #[command(flatten)]
    person: Person,
    /// As the setting allow_wildcards_in_identity_templates: values may hold * and +
    #[arg(long)]
    template_wildcards: bool,
    /// As the setting allow_slashes_in_identity_templates: values may hold /
    #[arg(long)]
    template_slashes: bool,
}

/// A decision for programs.
#[derive(Serialize)]
struct Report {
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    operation: String,
    path: String,
    needed: Vec<&'static str>,
    held: Vec<&'static str>,
    patterns: Vec<Pattern>,
    parameters: Vec<Parameter>,
    dropped: Vec<Dropped>,
}

#[derive(Serialize)]
struct Pattern {
    pattern: String,
    policies: Vec<String>,
    capabilities: Vec<&'static str>,
    standing: String,
}

#[derive(Serialize)]
struct Parameter {
    name: String,
    verdict: String,
}

#[derive(Serialize)]
struct Dropped {
    policy: String,
    path: String,
}

/// Decides and explains.
///
/// # Errors
/// Where a policy cannot be read, or an option is malformed.
pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let policies = arguments.policies()?;
    let known = arguments.person.known()?;
    let data = arguments.data()?;
    let operation = Operation::ALL
        .into_iter()
        .find(|operation| operation.to_string() == arguments.operation)
        .ok_or_else(|| Failure::local("no such operation"))?;
    let path = coffer_server::logical_path(arguments.path.clone(), operation)
        .map_err(|error| Failure::local(error.to_string()).hint("the server refuses such a request as invalid"))?;
    let acl = Acl::compile(&policies, &known.subject());
    let explanation = acl.explain(&Request {
        path: &path,
        operation,
        parameters: &data,
        wrap_ttl: arguments.wrap_ttl,
        now: arguments.at.map_or_else(|| SystemTimeSource.wall(), jiff::Timestamp::as_millisecond),
    });
    session.output.show_lines(&report(&explanation), |_| explanation.to_string())?;
    match explanation.decision {
        Decision::Allow(_) => Ok(ExitCode::SUCCESS),
        Decision::Deny(_) => Ok(ExitCode::from(Exit::Denied.code())),
    }
}

impl Arguments {
    fn policies(&self) -> Result<Vec<Policy>, Failure> {
        let values = TemplateValues { wildcards: self.template_wildcards, slashes: self.template_slashes };
        let mut policies = Vec::new();
        for path in &self.policies {
            let text = input::text_file(path, TEXT_LIMIT)?;
            let name =
                path.file_stem().map_or_else(|| "policy".to_owned(), |stem| stem.to_string_lossy().to_lowercase());
            let policy = Policy::parse(&name, &text)
                .map_err(|error| Failure::local(format!("{} is not a policy: {error}", path.display())))?;
            policies.push(policy.taking(values));
        }
        for name in &self.builtins {
            for known in builtin::ALL.iter().filter(|known| known.name == name) {
                policies
                    .push(Policy::parse(known.name, known.text).map_err(|error| Failure::local(error.to_string()))?);
            }
        }
        if policies.is_empty() {
            return Err(Failure::local("no policy given").hint("add --policy FILE or --builtin NAME"));
        }
        Ok(policies)
    }

    fn data(&self) -> Result<Map<String, Value>, Failure> {
        let mut data = Map::new();
        for pair in &self.data {
            let (key, text) = split(pair, "--data")?;
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
            data.insert(key.to_owned(), value);
        }
        Ok(data)
    }
}

fn report(explanation: &Explanation) -> Report {
    Report {
        allowed: explanation.decision.is_allowed(),
        reason: match &explanation.decision {
            Decision::Allow(_) => None,
            Decision::Deny(denial) => Some(denial.to_string()),
        },
        operation: explanation.operation.to_string(),
        path: explanation.path.clone(),
        needed: explanation.needed.iter().map(|capability| capability.name()).collect(),
        held: explanation.held.names(),
        patterns: explanation
            .candidates
            .iter()
            .map(|candidate| Pattern {
                pattern: candidate.pattern.clone(),
                policies: candidate.policies.clone(),
                capabilities: candidate.capabilities.names(),
                standing: candidate.standing.to_string(),
            })
            .collect(),
        parameters: explanation
            .parameters
            .iter()
            .map(|parameter| Parameter {
                name: parameter.name.clone(),
                verdict: match parameter.verdict {
                    ParameterVerdict::Accepted => "is accepted".to_owned(),
                    ParameterVerdict::Refused(fault) => fault.to_string(),
                },
            })
            .collect(),
        dropped: explanation
            .dropped
            .iter()
            .map(|rule| Dropped { policy: rule.policy.clone(), path: rule.path.clone() })
            .collect(),
    }
}

fn split<'a>(pair: &'a str, option: &str) -> Result<(&'a str, &'a str), Failure> {
    match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key, value)),
        Some(_) | None => Err(Failure::local(format!("{option} takes KEY=VALUE"))),
    }
}

fn builtin_names() -> Vec<&'static str> {
    builtin::ALL.iter().map(|known| known.name).collect()
}

fn operation_names() -> Vec<&'static str> {
    Operation::ALL.iter().map(|operation| operation.capability().name()).collect()
}

const TEXT_LIMIT: usize = 1 << 20;
