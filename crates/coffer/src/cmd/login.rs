//! `coffer login`: gets a token by some method and keeps it in the token file.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use coffer_api::{Code, Sensitive, auth::UserpassLogin};

use crate::{data_dir::data_directory, duration, failure::Failure, input, session::Session, token_file};

/// Options of `login`.
#[derive(Args)]
#[command(after_help = "\
A password or token is asked for on the terminal, or read from the first line of stdin where
that is a pipe. Neither is ever taken from the command line.")]
pub(crate) struct Arguments {
    /// How to log in
    #[arg(long, value_enum, default_value_t = Method::Token, conflicts_with = "initial")]
    method: Method,
    /// Exchange the initial token, which the server wrote at its first start, for an administrator's token
    #[arg(long)]
    initial: bool,
    /// Data directory that holds `initial-token` [env: COFFER_DATA]
    #[arg(long, value_name = "DIR", requires = "initial")]
    data: Option<PathBuf>,
    /// The file with the initial token, where it lies elsewhere
    #[arg(long, value_name = "FILE", requires = "initial", conflicts_with = "data")]
    initial_token_file: Option<PathBuf>,
    /// User name, for --method userpass
    #[arg(long, short, value_name = "NAME", required_if_eq("method", "userpass"))]
    username: Option<String>,
    /// Where the method is mounted, for --method userpass [default: userpass]
    #[arg(long, value_name = "PATH")]
    mount: Option<String>,
    /// Print the token instead of keeping it
    #[arg(long)]
    no_store: bool,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Method {
    /// A token at hand: checked, then kept
    Token,
    /// User name and password
    Userpass,
}

/// What a login gave, for programs: no token in it.
#[derive(serde::Serialize)]
struct LoggedIn {
    policies: Vec<String>,
    /// Seconds; 0 = for ever, negative = over already.
    lease_duration: i64,
    renewable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_file: Option<PathBuf>,
}

/// Logs in.
///
/// # Errors
/// Where the server refuses, or the token cannot be kept.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    // Known before anything irreversible (the initial token works once) happens.
    let place = if arguments.no_store { None } else { Some(session.token_place()?) };
    if let Some(place) = &place {
        place.check()?;
    }
    let (token, mut result) = if arguments.initial {
        initial(session, arguments).await?
    } else {
        match arguments.method {
            Method::Token => token(session).await?,
            Method::Userpass => userpass(session, arguments).await?,
        }
    };
    let Some(place) = place else {
        return session.output.bytes(format!("{}\n", token.expose()).as_bytes());
    };
    place.write(&token)?;
    result.token_file = place.file().cloned();
    session.output.show_or_note(&result, |result| {
        let lifetime = match u64::try_from(result.lease_duration) {
            Ok(0) => "for ever".to_owned(),
            Ok(seconds) => format!("for {}", duration::show(seconds)),
            Err(_) => "for no time".to_owned(),
        };
        format!("logged in {lifetime} with policies {}; token in {}", result.policies.join(", "), place)
    })?;
    if let Some(name) = session.token_variable()? {
        session.output.note(format!("warning: {name} is set and stands before the kept token"));
    }
    Ok(())
}

async fn initial(session: &Session, arguments: &Arguments) -> Result<(Sensitive<String>, LoggedIn), Failure> {
    let path = match &arguments.initial_token_file {
        Some(path) => path.clone(),
        None => data_directory(arguments.data.as_deref(), &session.environment)?.join("initial-token"),
    };
    let token = token_file::read_initial(&path)?;
    let grant = session.anonymous_client()?.login_initial(&token).await.map_err(|error| {
        Failure::hinted(
            error,
            Code::Unauthenticated,
            "it works once; 'coffer operator initial-token --local' on the server writes a new one",
        )
    })?;
    Ok(of_grant(session, grant))
}

async fn userpass(session: &Session, arguments: &Arguments) -> Result<(Sensitive<String>, LoggedIn), Failure> {
    let username =
        arguments.username.clone().ok_or_else(|| Failure::local("no user name given").hint("add --username"))?;
    let password = input::password(&format!("password of {username}"))?;
    let login = UserpassLogin { mount: arguments.mount.clone(), username, password };
    let client = session.anonymous_client()?;
    if session.plans().is_none() && !client.address().is_local() && !client.address().is_encrypted() {
        session.output.note(format!("warning: {} is not encrypted, and the password goes there", client.address()));
    }
    Ok(of_grant(session, client.login_userpass(&login).await?))
}

async fn token(session: &Session) -> Result<(Sensitive<String>, LoggedIn), Failure> {
    let token = input::password("token")?;
    let info = session.client_with(&token)?.token_lookup_self().await.map_err(|error| {
        Failure::hinted(
            error,
            Code::Unauthenticated,
            "the server does not know this token: is it whole, of this server, and not expired or revoked?",
        )
    })?;
    let policies = info.policies.into_iter().chain(info.identity_policies).collect();
    Ok((
        token,
        LoggedIn {
            policies,
            lease_duration: i64::try_from(info.ttl).unwrap_or(i64::MAX),
            renewable: info.renewable,
            token_file: None,
        },
    ))
}

fn of_grant(session: &Session, grant: coffer_api::token::TokenGrant) -> (Sensitive<String>, LoggedIn) {
    for warning in &grant.warnings {
        session.output.note(format!("warning: {warning}"));
    }
    let result = LoggedIn {
        policies: grant.policies,
        lease_duration: grant.lease_duration,
        renewable: grant.renewable,
        token_file: None,
    };
    (grant.token, result)
}
