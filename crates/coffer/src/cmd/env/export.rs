//! `coffer env export`: what is in force at a scope, in the format of whoever wants it.

use std::{collections::BTreeMap, io::Write, path::PathBuf};

use clap::Args;
use coffer_api::{Code, Scope, Sensitive, secrets::Effective, snapshots::SnapshotValues};
use coffer_client::{Client, Error};
use zeroize::Zeroizing;

use super::form::{self, Form, Named};
use crate::{
    cmd::{
        run::is_loader_variable,
        secrets::list::{hidden, note_left_out},
    },
    dotenv::{Document, Interpolation, References},
    failure::{Exit, Failure},
    output::{Format, Pairs},
    plan::foreseen,
    scope::ScopeArguments,
    session::Session,
    stream::{Readers, Target},
};

/// Options of `env export`.
#[derive(Args)]
#[command(after_help = "\
  coffer env export -p acme -e prod -s api > .env
  coffer env export -p acme -e prod -s api -f docker --out env.list
  coffer env export -p acme -e prod -s api -f k8s-secret | kubectl apply -f -
  eval \"$(coffer env export -p acme -e prod -s api -f env)\"

What is in force is the service's values over the environment's over the project's; --own leaves
the latter out. The order, comments and quotes of a .env file are those of the file that was
imported into the scope; names that it did not have stand at the end. References to other secrets
(${NAME}, coffer://…) stay as they are in a .env file, unless --resolve is given, and with --own
and --snapshot; in other formats they are replaced, unless --raw is given.")]
pub(crate) struct Arguments {
    /// The format [default: that of --format, else dotenv]
    #[arg(short = 'f', long = "as", value_name = "FORMAT", value_enum)]
    form: Option<Form>,
    /// The scope's own secrets alone
    #[arg(long, conflicts_with = "resolve")]
    own: bool,
    /// The values of this snapshot of the scope, as far as they can still be had
    #[arg(long, value_name = "ID", conflicts_with_all = ["own", "resolve"])]
    snapshot: Option<u64>,
    /// In a .env file, the values that ${NAME} and other references lead to in their places
    #[arg(long)]
    resolve: bool,
    /// In other formats, references as they are stored
    #[arg(long, conflicts_with = "resolve")]
    raw: bool,
    /// Sorted by name, without the comments that were imported
    #[arg(long)]
    plain: bool,
    /// Export PATH, IFS, BASH_ENV, LD_* and DYLD_* too, which decide what code a shell or program runs
    #[arg(long)]
    danger_allow_loader_variables: bool,
    /// A file, readable by its owner alone, instead of stdout
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Go on where some values are hidden from this token
    #[arg(long)]
    allow_hidden: bool,
    /// The Secret's name with k8s-secret [default: the scope, with '-' between its levels]
    #[arg(long, value_name = "NAME")]
    k8s_name: Option<String>,
    /// The Secret's namespace with k8s-secret
    #[arg(long, value_name = "NAME")]
    k8s_namespace: Option<String>,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Exports.
///
/// # Errors
/// Where the server refuses, or the format cannot hold a value.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let form = arguments.form.unwrap_or(match session.output.format() {
        Format::Dotenv | Format::Table => Form::Dotenv,
        Format::Env => Form::Env,
        Format::Json => Form::Json,
        Format::Yaml => Form::Yaml,
    });
    let target = Target::open(arguments.out.as_deref(), Readers::Owner)?;
    let client = session.client()?;
    let view = match arguments.snapshot {
        Some(id) => of_snapshot(session, &client, &scope, id).await?,
        None if arguments.own => foreseen(client.secret_own(&scope).await, Effective::default)?,
        None if arguments.resolves(form) => {
            foreseen(client.secret_effective_resolved(&scope, None).await, Effective::default)?
        }
        None => foreseen(client.secret_effective(&scope).await, Effective::default)?,
    };
    if view.hidden > 0 && !arguments.allow_hidden {
        return Err(Failure::new(Exit::Denied, hidden(&view))
            .hint("ask for a policy that reads them, or go on without them: --allow-hidden"));
    }
    let layout = match form {
        Form::Dotenv if !arguments.plain => layout(session, &client, &scope).await?,
        Form::Csv
        | Form::Docker
        | Form::Dotenv
        | Form::Env
        | Form::Json
        | Form::K8sSecret
        | Form::Tfvars
        | Form::Yaml => None,
    };
    if session.is_planning() {
        return Ok(());
    }
    let pairs: Vec<(&str, &Sensitive<String>)> =
        view.secrets.iter().map(|secret| (secret.name.as_str(), &secret.value)).collect();
    arguments.check_loader_variables(form, &pairs)?;
    let text = match layout {
        Some(layout) => filled(&layout, &pairs, arguments.references())?,
        None => {
            let name = arguments.k8s_name.clone().unwrap_or_else(|| form::name_of(&scope));
            form::text(form, &pairs, &Named { name, namespace: arguments.k8s_namespace.clone() })?
        }
    };
    written(target, &text)?;
    if arguments.snapshot.is_none() {
        note_left_out(session, &view);
    }
    if view.secrets.is_empty() {
        session.output.note(format!("note: there are no secrets at {scope}"));
    }
    Ok(())
}

impl Arguments {
    /// A .env file goes out as it came in; who takes another format wants what a program would see.
    fn resolves(&self, form: Form) -> bool {
        self.resolve || form != Form::Dotenv && !self.raw
    }

    /// What a shell evaluates, sources or a program gets whole decides nothing about the code that runs there.
    fn check_loader_variables(&self, form: Form, pairs: &[(&str, &Sensitive<String>)]) -> Result<(), Failure> {
        let is_environment = match form {
            Form::Docker | Form::Dotenv | Form::Env => true,
            Form::Csv | Form::Json | Form::K8sSecret | Form::Tfvars | Form::Yaml => false,
        };
        let found = pairs.iter().map(|(name, _)| *name).find(|name| is_loader_variable(name));
        match found.filter(|_| is_environment && !self.danger_allow_loader_variables) {
            None => Ok(()),
            Some(name) => {
                Err(Failure::local(format!("the secret {name} would decide what code runs where this is read"))
                    .hint("rename it, or insist with --danger-allow-loader-variables"))
            }
        }
    }

    fn references(&self) -> References {
        if self.resolve { References::Resolved } else { References::Kept }
    }
}

fn written(mut target: Target, text: &Zeroizing<String>) -> Result<(), Failure> {
    if let Err(error) = target.write_all(text.as_bytes()) {
        return Err(target.failed(&error));
    }
    target.finish()
}

async fn of_snapshot(session: &Session, client: &Client, scope: &Scope, id: u64) -> Result<Effective, Failure> {
    let values = foreseen(client.snapshot_values(scope, id).await, SnapshotValues::default)?;
    for gone in &values.gone {
        session.output.note(format!("note: version {} of {} {}", gone.version, gone.name, gone.why));
    }
    Ok(Effective { secrets: values.secrets, hidden: values.hidden, kv: 0 })
}

/// The file that the secrets came from, where there is one that may be read.
async fn layout(session: &Session, client: &Client, scope: &Scope) -> Result<Option<Document>, Failure> {
    let layout = match client.layout_read(scope).await {
        Ok(layout) => layout,
        Err(Error::Problem { problem, .. }) if problem.code == Code::NotFound => return Ok(None),
        Err(Error::Problem { problem, .. }) if problem.code == Code::Denied => {
            session.output.note("note: the comments and the order that were imported are hidden from this token");
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    match Document::parse(layout.layout.expose(), Interpolation::Literal) {
        Ok(document) => Ok(Some(document)),
        Err(_) => {
            session.output.note("note: the layout that is kept with the scope is not one that this release reads");
            Ok(None)
        }
    }
}

fn filled(
    layout: &Document,
    pairs: &[(&str, &Sensitive<String>)],
    references: References,
) -> Result<Zeroizing<String>, Failure> {
    // Refuses what no such file can hold.
    Pairs::Dotenv.text(pairs.iter().copied())?;
    let values: BTreeMap<&str, &str> = pairs.iter().map(|(name, value)| (*name, value.expose().as_str())).collect();
    Ok(layout.filled(&values, references))
}
