//! `coffer profile`: addresses, tokens and scopes under names of the user's own.

use clap::{Args, Subcommand};
use coffer_client::Address;
use serde::Serialize;

use crate::{
    failure::{Exit, Failure},
    keyring,
    output::Table,
    profile::{Profile, Profiles, TokenKept, absolute, check_name, path, token_path},
    scope::ScopeArguments,
    session::Session,
    token_place::TokenPlace,
};

/// Commands of `profile`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Keep what the options of this command say as a profile
    Add(Box<Add>),
    /// List the profiles
    List,
    /// Forget a profile
    Remove(Named),
    /// Show a profile [default: the one in use]
    Show(Shown),
    /// Choose the profile that counts where none is named
    Use(Use),
}

/// Options of `profile add`.
#[derive(Args)]
#[command(after_help = "\
The global options say what is kept: --addr, --ca-cert, --token-file, --format.
  coffer profile add work --addr https://vault.example:8200 -p acme -e prod --use
  coffer login

An option stands before a variable, a variable before the profile, the profile before the
default. Without --token-file the token is kept in ~/.config/coffer/tokens/NAME: no profile
sees the token of another.")]
pub(crate) struct Add {
    /// Its name
    name: String,
    /// Keep the token in the keyring of the desktop (in builds with the feature keyring)
    #[arg(long, conflicts_with = "token_file")]
    keyring: bool,
    /// Replace the profile of this name
    #[arg(long)]
    replace: bool,
    /// And use it from now on
    #[arg(long = "use")]
    use_it: bool,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Names a profile.
#[derive(Args)]
pub(crate) struct Named {
    /// Its name
    name: String,
}

/// Options of `profile show`.
#[derive(Args)]
pub(crate) struct Shown {
    /// Its name
    name: Option<String>,
}

/// Options of `profile use`.
#[derive(Args)]
pub(crate) struct Use {
    /// Its name
    #[arg(required_unless_present = "none")]
    name: Option<String>,
    /// None from now on
    #[arg(long, conflicts_with = "name")]
    none: bool,
}

/// A profile as it is shown.
#[derive(Serialize)]
struct View<'a> {
    name: &'a str,
    /// Whether it is the one in use where none is named.
    current: bool,
    #[serde(flatten)]
    profile: &'a Profile,
    /// Where the token is, or would be.
    token_place: String,
}

/// Runs the command.
///
/// # Errors
/// Where there is no such profile, or the file cannot be read or written.
pub(crate) fn run(session: &Session, command: &Command) -> Result<(), Failure> {
    let mut profiles = Profiles::load(&session.environment)?;
    match command {
        Command::Add(arguments) => add(session, profiles, arguments),
        Command::List => list(session, &profiles),
        Command::Remove(named) => {
            let kept = kept_token(session, &named.name, profiles.named(&named.name)?)?;
            if let Some(TokenPlace::Keyring(name)) = &kept {
                return Err(Failure::new(Exit::Conflict, format!("the keyring holds a token for the profile {name}"))
                    .hint(format!("'coffer logout --profile {name}' first; --keep-token where the server is gone")));
            }
            let removed = profiles.profiles.remove(&named.name).unwrap_or_default();
            if profiles.current.as_ref() == Some(&named.name) {
                profiles.current = None;
            }
            profiles.save(&session.environment)?;
            session.output.note(format!("removed the profile {}", named.name));
            if let Some(kept) = kept {
                session.output.note(format!("its token is still valid, and in {kept}"));
            } else if removed.token == TokenKept::Keyring && keyring::read(&named.name).is_err() {
                session.output.note("its token may still be in the keyring, which could not be asked");
            }
            Ok(())
        }
        Command::Show(shown) => show(session, &profiles, shown.name.as_deref()),
        Command::Use(Use { name, .. }) => {
            if let Some(name) = name {
                profiles.named(name)?;
            }
            profiles.current.clone_from(name);
            profiles.save(&session.environment)?;
            session.output.note(match name {
                Some(name) => format!("the profile {name} is in use"),
                None => "no profile is in use".to_owned(),
            });
            Ok(())
        }
    }
}

fn add(session: &Session, mut profiles: Profiles, arguments: &Add) -> Result<(), Failure> {
    let Add { name, keyring, replace, use_it, scope } = arguments;
    check_name(name)?;
    if profiles.profiles.contains_key(name) && !replace {
        return Err(Failure::new(Exit::Conflict, format!("there is a profile {name}"))
            .hint("--replace puts this one in its place; 'coffer profile show' shows it"));
    }
    let globals = session.globals();
    if let Some(text) = &globals.addr {
        text.parse::<Address>().map_err(|error| Failure::local(format!("{error}")))?;
    }
    let [project, environment, service] = levels(scope)?;
    let profile = Profile {
        address: globals.addr.clone(),
        ca_cert: globals.ca_cert.as_deref().map(absolute).transpose()?,
        token: if *keyring { TokenKept::Keyring } else { TokenKept::File },
        token_file: globals.token_file.as_deref().map(absolute).transpose()?,
        project,
        environment,
        service,
        format: globals.format,
    };
    refuse_anothers_token(session, name, profiles.profiles.get(name), &profile)?;
    profiles.profiles.insert(name.clone(), profile);
    if *use_it {
        profiles.current = Some(name.clone());
    }
    profiles.save(&session.environment)?;
    let next = match profiles.current.as_ref() == Some(name) {
        true => "it is in use".to_owned(),
        false => format!("'coffer profile use {name}' uses it"),
    };
    session.output.note(format!("added the profile {name}; {next}"));
    Ok(())
}

/// The address decides who gets the token: one that lies in the profile's own place was given to it by the server of another
/// profile, or of this one as it was. A file that is named on purpose is the user's word.
fn refuse_anothers_token(
    session: &Session,
    name: &str,
    before: Option<&Profile>,
    profile: &Profile,
) -> Result<(), Failure> {
    let is_its_place =
        before.is_some_and(|before| (before.token, &before.token_file) == (profile.token, &profile.token_file));
    let server = |of: &Profile| of.address.as_deref().map(str::parse::<Address>).and_then(Result::ok);
    let is_its_server = before.is_some_and(|before| {
        before.address == profile.address || (server(before).is_some() && server(before) == server(profile))
    });
    if profile.token_file.is_some() || (is_its_place && is_its_server) {
        return Ok(());
    }
    let kept = match profile.token {
        TokenKept::File => kept_token(session, name, profile)?,
        // What cannot be asked now may answer later, with the token of before.
        TokenKept::Keyring => keyring::read(name)?.map(|_| TokenPlace::Keyring(name.to_owned())),
    };
    let Some(kept) = kept else { return Ok(()) };
    let failure = Failure::new(Exit::Conflict, format!("{kept} holds a token that another server gave"));
    Err(match (is_its_place, &kept) {
        (true, _) => {
            failure.hint(format!("'coffer logout --profile {name}' first; --keep-token where that server is gone"))
        }
        (false, TokenPlace::File(path)) => {
            failure.hint(format!("log out of that server, or remove the file: rm {}", path.display()))
        }
        (false, TokenPlace::Keyring(_)) => failure.hint("remove it in the keyring, where it stands under 'coffer'"),
    })
}

fn list(session: &Session, profiles: &Profiles) -> Result<(), Failure> {
    let views: Vec<View<'_>> = profiles
        .profiles
        .iter()
        .map(|(name, profile)| view(session, profiles, name, profile))
        .collect::<Result<_, Failure>>()?;
    if let Some(fault) = session.profile_fault() {
        session.output.note(format!("warning: {}", fault.what()));
    }
    if views.is_empty() {
        session.output.note("there are no profiles; 'coffer profile add NAME' makes one");
    }
    session.output.show(&views, |views| {
        let mut table = Table::new(&["NAME", "ADDRESS", "SCOPE", "TOKEN"]);
        for View { name, current, profile, token_place } in views {
            let mark = if *current { " (in use)" } else { "" };
            let address = profile.address.clone().unwrap_or_default();
            table.row([format!("{name}{mark}"), address, scope_of(profile), token_place.clone()]);
        }
        table
    })
}

fn show(session: &Session, profiles: &Profiles, name: Option<&str>) -> Result<(), Failure> {
    let name = match (name, session.profile(), session.profile_fault()) {
        (Some(name), _, _) => name,
        (None, Some(in_use), _) => in_use.name.as_str(),
        (None, None, Some(fault)) => {
            let failure = Failure::new(fault.exit(), fault.what());
            return Err(match fault.what_to_do() {
                Some(hint) => failure.hint(hint),
                None => failure,
            });
        }
        (None, None, None) => {
            return Err(
                Failure::local("no profile is in use").hint("name one; 'coffer profile list' shows those there are")
            );
        }
    };
    let view = view(session, profiles, name, profiles.named(name)?)?;
    session.output.show(&view, |View { name, profile, token_place, .. }| {
        let or_default = |text: Option<String>| text.unwrap_or_else(|| "as without a profile".to_owned());
        let format = profile.format.map(|format| format.name().to_owned());
        Table::of_pairs([
            ("name", (*name).to_owned()),
            ("address", or_default(profile.address.clone())),
            ("authorities", or_default(profile.ca_cert.as_ref().map(|path| path.display().to_string()))),
            ("token", token_place.clone()),
            ("scope", or_default(Some(scope_of(profile)).filter(|scope| !scope.is_empty()))),
            ("format", or_default(format)),
            ("file", path(&session.environment).map(|path| path.display().to_string()).unwrap_or_default()),
        ])
    })
}

fn view<'a>(session: &Session, profiles: &Profiles, name: &'a str, profile: &'a Profile) -> Result<View<'a>, Failure> {
    let token_place = match (profile.token, &profile.token_file) {
        (TokenKept::Keyring, _) => "keyring".to_owned(),
        (TokenKept::File, Some(path)) => path.display().to_string(),
        (TokenKept::File, None) => token_path(name, &session.environment)?.display().to_string(),
    };
    let current = profiles.current.as_deref() == Some(name);
    Ok(View { name, current, profile, token_place })
}

/// Where a token lies that nobody will look for any more. A keyring that does not answer tells of none.
fn kept_token(session: &Session, name: &str, profile: &Profile) -> Result<Option<TokenPlace>, Failure> {
    Ok(match (profile.token, &profile.token_file) {
        (TokenKept::Keyring, _) => keyring::read(name).ok().flatten().map(|_| TokenPlace::Keyring(name.to_owned())),
        (TokenKept::File, Some(path)) => Some(TokenPlace::File(path.clone())).filter(|_| path.exists()),
        (TokenKept::File, None) => {
            let path = token_path(name, &session.environment)?;
            path.exists().then_some(TokenPlace::File(path))
        }
    })
}

/// The levels that options name, as far as they do; a scope's need not all be there.
fn levels(scope: &ScopeArguments) -> Result<[Option<String>; 3], Failure> {
    let levels = match &scope.scope {
        Some(whole) => {
            whole.parse::<coffer_api::Scope>().map_err(|error| Failure::local(format!("{error}")))?;
            let mut levels = whole.split(':').map(str::to_owned);
            [levels.next(), levels.next(), levels.next()]
        }
        None => [scope.project.clone(), scope.environment.clone(), scope.service.clone()],
    };
    for level in levels.iter().flatten() {
        let parsed = level.parse::<coffer_api::Scope>();
        if parsed.is_err() || level.contains(':') {
            return Err(Failure::local(format!("{level:?} is no level of a scope"))
                .hint("1 to 63 of a-z, 0-9, '_' and '-', a letter or digit first"));
        }
    }
    Ok(levels)
}

/// As `acme:prod:*`; a level that is left open is `*`.
fn scope_of(profile: &Profile) -> String {
    let Profile { project, environment, service, .. } = profile;
    let levels: Vec<&str> =
        [project, environment, service].into_iter().map(|level| level.as_deref().unwrap_or("*")).collect();
    levels.join(":").trim_end_matches(":*").trim_end_matches('*').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scope_of_a_profile_shows_open_levels() {
        let scope = |project: Option<&str>, environment: Option<&str>, service: Option<&str>| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            scope_of(&Profile {
                project: own(project),
                environment: own(environment),
                service: own(service),
                ..Profile::default()
            })
        };
        assert_eq!(scope(None, None, None), "");
        assert_eq!(scope(Some("acme"), None, None), "acme");
        assert_eq!(scope(Some("acme"), Some("prod"), None), "acme:prod");
        assert_eq!(scope(None, Some("prod"), Some("api")), "*:prod:api");
    }
}
