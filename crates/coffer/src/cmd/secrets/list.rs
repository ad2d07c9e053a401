//! `coffer secrets list`.

use clap::Args;
use coffer_api::{
    Scope,
    secrets::{Effective, Kind, SecretInfo},
};
use coffer_client::{Client, Depth};

use crate::{
    failure::{Exit, Failure},
    output::{Format, Pairs, Table},
    paging::PageArguments,
    scope::ScopeArguments,
    session::Session,
};

/// Options of `secrets list`.
#[derive(Args)]
#[command(after_help = "\
The formats env and dotenv hold values, so they show what is in force at the scope, as
--effective does:
  eval \"$(coffer secrets list -p acme -e prod -s api --format env)\"
  coffer secrets list -p acme -e prod -s api --format dotenv > .env
References in values are replaced by what they refer to, unless --raw is given.")]
pub(crate) struct Arguments {
    /// The scopes below as well
    #[arg(long, short)]
    recursive: bool,
    /// What is in force here: the scope's own values over its parents', each with its origin
    #[arg(long, conflicts_with_all = ["recursive", "limit", "after"])]
    effective: bool,
    /// With --effective, the values in the table too
    #[arg(long, requires = "effective")]
    show_values: bool,
    /// With env and dotenv, go on where some values are hidden from this token
    #[arg(long)]
    allow_hidden: bool,
    /// With values, as they are stored, with their references
    #[arg(long)]
    raw: bool,
    #[command(flatten)]
    page: PageArguments,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Lists.
///
/// # Errors
/// Where the server refuses, or a value does not fit the format.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    let client = session.client()?;
    match session.output.format() {
        Format::Dotenv => pairs(session, arguments, &client, &scope, Pairs::Dotenv).await,
        Format::Env => pairs(session, arguments, &client, &scope, Pairs::Env).await,
        Format::Json | Format::Table | Format::Yaml if arguments.effective => {
            effective(session, arguments, &client, &scope).await
        }
        Format::Json | Format::Table | Format::Yaml => {
            let depth = if arguments.recursive { Depth::Recursive } else { Depth::Flat };
            let page = async |paging| client.secret_list(&scope, depth, &paging).await;
            let found = arguments.page.gather(&session.output, page).await?;
            session.output.show(&found, |found| table(&found.items))
        }
    }
}

/// What lies where, for people.
pub(super) fn table(items: &[SecretInfo]) -> Table {
    let mut table = Table::new(&["SCOPE", "NAME", "VERSION", "STATE", "CREATED", "KIND"]);
    for item in items {
        let kind = match item.kind {
            Kind::Kv => "kv",
            Kind::Layout => "layout",
            Kind::Secret => "secret",
            Kind::Snapshots => "snapshots",
        };
        let version = item.version.as_ref();
        table.row([
            item.scope.to_string(),
            item.name.clone(),
            version.map(|version| version.version.to_string()).unwrap_or_default(),
            version.map(|version| super::state(version.state).to_owned()).unwrap_or_default(),
            version.map(|version| version.created_time.clone()).unwrap_or_default(),
            kind.to_owned(),
        ]);
    }
    table
}

async fn effective(session: &Session, arguments: &Arguments, client: &Client, scope: &Scope) -> Result<(), Failure> {
    let values = arguments.show_values || session.output.format() != Format::Table;
    let effective = match arguments.raw || !values {
        true => client.secret_effective(scope).await?,
        false => client.secret_effective_resolved(scope, None).await?,
    };
    session.output.show(&effective, |effective| {
        let header: &[&str] = if arguments.show_values {
            &["NAME", "ORIGIN", "VERSION", "VALUE"]
        } else {
            &["NAME", "ORIGIN", "VERSION"]
        };
        let mut table = Table::new(header);
        for secret in &effective.secrets {
            let mut row = vec![secret.name.to_string(), secret.scope.to_string(), secret.version.version.to_string()];
            if arguments.show_values {
                row.push(secret.value.expose().clone());
            }
            table.row(row);
        }
        table
    })?;
    if effective.hidden > 0 {
        session.output.note(hidden(&effective));
    }
    note_left_out(session, &effective);
    Ok(())
}

async fn pairs(
    session: &Session,
    arguments: &Arguments,
    client: &Client,
    scope: &Scope,
    pairs: Pairs,
) -> Result<(), Failure> {
    if arguments.recursive {
        return Err(Failure::local("env and dotenv cannot hold the scopes below").hint("choose table, json or yaml"));
    }
    let effective = match arguments.raw {
        true => client.secret_effective(scope).await?,
        false => client.secret_effective_resolved(scope, None).await?,
    };
    if effective.hidden > 0 && !arguments.allow_hidden {
        return Err(Failure::new(Exit::Denied, hidden(&effective))
            .hint("ask for a policy that reads them, or go on without them: --allow-hidden"));
    }
    let text = pairs.text(effective.secrets.iter().map(|secret| (secret.name.as_str(), &secret.value)))?;
    session.output.bytes(text.as_bytes())?;
    note_left_out(session, &effective);
    Ok(())
}

/// Says what an effective view leaves out though it may be read.
pub(crate) fn note_left_out(session: &Session, effective: &Effective) {
    let entries = match effective.kv {
        0 => return,
        1 => "1 KV entry is".to_owned(),
        count => format!("{count} KV entries are"),
    };
    session.output.note(format!("note: {entries} left out, for want of a single value; see 'coffer secrets list'"));
}

/// How many values are missing.
pub(crate) fn hidden(effective: &Effective) -> String {
    format!("{} of the scope's secrets are hidden from this token", effective.hidden)
}
