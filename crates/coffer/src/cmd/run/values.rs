//! What a program gets into its environment: the values of a scope, and over them those of files.

use std::collections::BTreeMap;

use coffer_api::{Name, Sensitive, secrets::Effective};
use tokio::process::Command;

use super::{Arguments, env_file, is_loader_variable};
use crate::{
    cmd::secrets::list::note_left_out,
    failure::{Exit, Failure},
    plan::foreseen,
    session::Session,
};

/// Variables with their values.
pub(super) struct Values(BTreeMap<String, Value>);

/// A variable's value.
pub(super) struct Value {
    pub(super) text: Sensitive<String>,
    pub(super) kind: Kind,
    /// Secrets that it holds beside other text.
    pub(super) parts: Vec<Sensitive<String>>,
}

/// Where a value comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// It stands in a file as it is.
    Plain,
    /// It is a secret, or holds one.
    Secret,
}

impl Values {
    /// The values of the scope and the files.
    ///
    /// # Errors
    /// Where they cannot be had, or would make an environment that is not whole, impossible or harmful.
    pub(super) async fn gather(session: &Session, arguments: &Arguments) -> Result<Self, Failure> {
        let mut values = Self(BTreeMap::new());
        let scope = match arguments.env_file.is_empty() {
            true => Some(arguments.scope.resolve(&session.environment)?),
            false => arguments.scope.resolve_if_given(&session.environment)?,
        };
        if scope.is_none() && !arguments.only.is_empty() {
            return Err(Failure::local("--only chooses among a scope's secrets, and no scope is given"));
        }
        let files = env_file::read_all(&arguments.env_file)?;
        if let Some(scope) = scope {
            let only = Some(arguments.only.as_slice()).filter(|only| !only.is_empty());
            let client = session.client()?;
            let effective = match arguments.raw {
                true => client.secret_effective_of(&scope, only).await,
                false => client.secret_effective_resolved(&scope, only).await,
            };
            let effective = foreseen(effective, Effective::default)?;
            if !session.is_planning() {
                check_whole(&effective, arguments)?;
                note_left_out(session, &effective);
            }
            if !session.is_planning() && effective.secrets.is_empty() && only.is_none() {
                session.output.note(format!("note: there are no secrets at {scope}"));
            }
            for secret in effective.secrets {
                let origin = format!("the secret {} of {}", secret.name, secret.scope);
                let value = Value { text: secret.value.clone(), kind: Kind::Secret, parts: Vec::new() };
                values.add(arguments, secret.name.to_string(), value, &origin)?;
            }
        }
        for (name, value) in env_file::filled(session, arguments, files).await? {
            let origin = format!("{name} of an env file");
            values.add(arguments, name, value, &origin)?;
        }
        Ok(values)
    }

    /// Puts them into the environment of a program that is to be started.
    pub(super) fn give(&self, command: &mut Command) {
        for (name, value) in &self.0 {
            command.env(name, value.text.expose());
        }
    }

    /// Those that are secrets, and the secrets in them.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&str, &Sensitive<String>)> {
        let secrets = self.0.iter().filter(|(_, value)| value.kind == Kind::Secret);
        secrets.flat_map(|(name, value)| {
            std::iter::once(&value.text).chain(&value.parts).map(move |text| (name.as_str(), text))
        })
    }

    fn add(&mut self, arguments: &Arguments, name: String, value: Value, origin: &str) -> Result<(), Failure> {
        if value.text.expose().contains('\0') {
            return Err(Failure::local(format!("the value of {name} holds a NUL, which no environment can")));
        }
        if is_loader_variable(&name) && !arguments.danger_allow_loader_variables {
            return Err(Failure::local(format!("{origin} would decide what code the program runs"))
                .hint("rename it, or insist with --danger-allow-loader-variables"));
        }
        self.0.insert(name, value);
        Ok(())
    }
}

/// Whether nothing is missing.
fn check_whole(effective: &Effective, arguments: &Arguments) -> Result<(), Failure> {
    if effective.hidden > 0 && !arguments.allow_hidden {
        return Err(Failure::new(
            Exit::Denied,
            format!("{} of the scope's secrets are hidden from this token", effective.hidden),
        )
        .hint("ask for a policy that reads them, or go on without them: --allow-hidden"));
    }
    let is_there = |name: &&Name| effective.secrets.iter().any(|secret| secret.name == **name);
    let missing: Vec<&str> = arguments.only.iter().filter(|name| !is_there(name)).map(Name::as_str).collect();
    if !missing.is_empty() && effective.hidden == 0 {
        return Err(Failure::new(Exit::NotFound, format!("not in the scope: {}", missing.join(", ")))
            .hint("'coffer secrets list --effective' shows what is in force there"));
    }
    Ok(())
}
