//! What a program gets into its environment: the values of a scope, and over them those of files.

use std::collections::BTreeMap;

use coffer_api::{Name, Sensitive, secrets::Effective};
use tokio::process::Command;

use super::{Arguments, env_file, is_loader_variable};
use crate::{
    cmd::secrets::list::note_left_out,
    failure::{Exit, Failure},
    session::Session,
};

/// Variables with their values.
pub(super) struct Values(BTreeMap<String, Value>);

/// A variable's value.
pub(super) struct Value {
    pub(super) text: Sensitive<String>,
    pub(super) kind: Kind,
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
                true => client.secret_effective_of(&scope, only).await?,
                false => client.secret_effective_resolved(&scope, only).await?,
            };
            check_whole(&effective, arguments)?;
            note_left_out(session, &effective);
            if effective.secrets.is_empty() && only.is_none() {
                session.output.note(format!("note: there are no secrets at {scope}"));
            }
            for secret in effective.secrets {
                let origin = format!("the secret {} of {}", secret.name, secret.scope);
                values.add(arguments, secret.name.to_string(), secret.value.clone(), Kind::Secret, &origin)?;
            }
        }
        for (name, value) in env_file::filled(session, arguments, files).await? {
            let origin = format!("{name} of an env file");
            values.add(arguments, name, value.text, value.kind, &origin)?;
        }
        Ok(values)
    }

    /// Puts them into the environment of a program that is to be started.
    pub(super) fn give(&self, command: &mut Command) {
        for (name, value) in &self.0 {
            command.env(name, value.text.expose());
        }
    }

    /// Those that are secrets.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&str, &Sensitive<String>)> {
        let secrets = self.0.iter().filter(|(_, value)| value.kind == Kind::Secret);
        secrets.map(|(name, value)| (name.as_str(), &value.text))
    }

    fn add(
        &mut self,
        arguments: &Arguments,
        name: String,
        text: Sensitive<String>,
        kind: Kind,
        origin: &str,
    ) -> Result<(), Failure> {
        if text.expose().contains('\0') {
            return Err(Failure::local(format!("the value of {name} holds a NUL, which no environment can")));
        }
        if is_loader_variable(&name) && !arguments.danger_allow_loader_variables {
            return Err(Failure::local(format!("{origin} would decide what code the program runs"))
                .hint("rename it, or insist with --danger-allow-loader-variables"));
        }
        self.0.insert(name, Value { text, kind });
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
