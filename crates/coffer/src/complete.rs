//! Completion while a line is typed: the shell runs this program with `COFFER_COMPLETE`, and names come from the server by
//! the user's own token. What fails shows nothing: a prompt is no place for errors.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, CommandFactory, Parser};
use clap_complete::{
    CompleteEnv,
    engine::{ArgValueCompleter, CompletionCandidate},
    env::Shells,
};
use coffer_client::{Client, Depth, KeyFilter, Paging};

use crate::{
    cli::Cli, environment::Environment, failure::Failure, profile::Profiles, scope::ScopeArguments, session::Session,
};

/// Answers the shell and ends the process, where it is the shell that asks.
pub(crate) fn answer() {
    CompleteEnv::with_factory(command).var(VARIABLE).complete();
}

/// What a shell is told to ask this program by; its name is one of `bash`, `fish` and `zsh`.
///
/// # Errors
/// Where the shell is not known, or the script cannot be written.
pub(crate) fn registration(shell: &str) -> Result<Vec<u8>, Failure> {
    let shells = Shells::builtins();
    let known = shells.completer(shell).ok_or_else(|| Failure::local(format!("no shell is called {shell}")))?;
    let mut script = Vec::new();
    known
        .write_registration(VARIABLE, "coffer", "coffer", "coffer", &mut script)
        .map_err(|error| Failure::io("cannot make the script", &error))?;
    Ok(script)
}

/// The command line, with whom to ask for the names in it.
fn command() -> Command {
    with_names(Cli::command(), Whose::Nobodys)
}

/// Whose names the first argument of a command has.
#[derive(Clone, Copy)]
enum Whose {
    Keys,
    Nobodys,
    Policies,
    Profiles,
    Secrets,
}

fn with_names(command: Command, whose: Whose) -> Command {
    let command = command.mut_args(|arg| completed(arg, whose));
    command.mut_subcommands(|below| {
        let of_below = match (below.get_name(), whose) {
            ("keys", Whose::Nobodys) => Whose::Keys,
            ("policy", Whose::Nobodys) => Whose::Policies,
            ("profile", Whose::Nobodys) => Whose::Profiles,
            ("secrets", Whose::Nobodys) => Whose::Secrets,
            (_, whose) => whose,
        };
        with_names(below, of_below)
    })
}

fn completed(arg: Arg, whose: Whose) -> Arg {
    let id = arg.get_id().as_str().to_owned();
    match (id.as_str(), arg.is_positional(), whose) {
        ("scope", false, _) => arg.add(ArgValueCompleter::new(scopes)),
        ("profile", false, _) => arg.add(ArgValueCompleter::new(profiles)),
        ("name", true, Whose::Keys) => arg.add(ArgValueCompleter::new(keys)),
        ("name", true, Whose::Policies) => arg.add(ArgValueCompleter::new(policies)),
        ("name", true, Whose::Profiles) => arg.add(ArgValueCompleter::new(profiles)),
        ("name" | "names", true, Whose::Secrets) => arg.add(ArgValueCompleter::new(secrets)),
        _ => arg,
    }
}

fn keys(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, async |client, _| {
        let name = current.to_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let page = client.key_list(&KeyFilter { name, ..KeyFilter::default() }, &paging()).await.ok()?;
        Some(page.items.into_iter().map(|key| key.name).collect())
    })
}

fn policies(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, async |client, _| Some(client.policy_list(&paging()).await.ok()?.items))
}

fn profiles(current: &OsStr) -> Vec<CompletionCandidate> {
    let profiles = Profiles::load(&Environment::of_process()).unwrap_or_default();
    matching(current, profiles.profiles.into_keys().collect())
}

/// Secrets of the scope that the line names so far.
fn secrets(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, async |client, session| {
        let scope = typed().scope().resolve(&session.environment).ok()?;
        let page = client.secret_list(&scope, Depth::Flat, &paging()).await.ok()?;
        Some(page.items.into_iter().map(|secret| secret.name.to_string()).collect())
    })
}

/// Scopes of the project that is typed, or that the profile or the environment names.
fn scopes(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, async |client, session| {
        let typed = current.to_str()?.split(':').next().filter(|project| !project.is_empty());
        let known = session.environment.text("COFFER_PROJECT").ok()?;
        let project = match typed {
            Some(project) if current.to_str()?.contains(':') => project,
            Some(_) | None => known?,
        };
        let page = client.secret_list(&project.parse().ok()?, Depth::Recursive, &paging()).await.ok()?;
        let mut scopes: Vec<String> = page.items.into_iter().map(|secret| secret.scope.to_string()).collect();
        scopes.push(project.to_owned());
        scopes.sort();
        scopes.dedup();
        Some(scopes)
    })
}

/// Asks the server, and offers what of its answer fits.
fn offered(
    current: &OsStr,
    ask: impl AsyncFnOnce(&Client, &Session) -> Option<Vec<String>>,
) -> Vec<CompletionCandidate> {
    let names = || {
        let cli = Cli::try_parse_from(typed().globals()).ok()?;
        let session = Session::new(cli.globals, Environment::of_process()).ok()?;
        let client = session.client().ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(ask(&client, &session))
    };
    matching(current, names().unwrap_or_default())
}

fn matching(current: &OsStr, names: Vec<String>) -> Vec<CompletionCandidate> {
    let start = current.to_str().unwrap_or_default();
    names.into_iter().filter(|name| name.starts_with(start)).map(CompletionCandidate::new).collect()
}

fn paging() -> Paging {
    Paging { after: None, limit: Some(MOST) }
}

/// The words of the line so far.
struct Typed(Vec<String>);

/// Those of the shell's question, which stand after the first `--`.
fn typed() -> Typed {
    let words = std::env::args_os().skip_while(|word| word != "--").skip(1);
    Typed(words.filter_map(|word| OsString::into_string(word).ok()).collect())
}

impl Typed {
    /// What stands after an option, or behind its equals sign.
    fn value(&self, long: &str, short: &str) -> Option<String> {
        let joined = format!("{long}=");
        let mut found = None;
        let mut words = self.0.iter();
        while let Some(word) = words.next() {
            if let Some(value) = word.strip_prefix(&joined) {
                found = Some(value.to_owned());
            } else if word == long || (!short.is_empty() && word == short) {
                found = words.next().cloned().or(found);
            }
        }
        found
    }

    fn scope(&self) -> ScopeArguments {
        let scope = self.value("--scope", "");
        let level = |long, short| if scope.is_some() { None } else { self.value(long, short) };
        ScopeArguments {
            project: level("--project", "-p"),
            environment: level("--env", "-e"),
            service: level("--service", "-s"),
            scope: scope.clone(),
        }
    }

    /// A line with its global options, in which everything else is whole.
    fn globals(&self) -> Vec<String> {
        let mut line = ["coffer", "status", "--quiet", "--timeout", "2s"].map(str::to_owned).to_vec();
        for long in ["--addr", "--ca-cert", "--profile", "--token-file"] {
            line.extend(self.value(long, "").map(|value| format!("{long}={value}")));
        }
        line
    }
}

/// Names whose shell asks.
const VARIABLE: &str = "COFFER_COMPLETE";
/// Names that are asked for at most.
const MOST: u32 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &[&str]) -> Typed {
        Typed(words.iter().map(|word| (*word).to_owned()).collect())
    }

    #[test]
    fn options_of_the_line_so_far_choose_server_and_scope() {
        let typed = line(&["coffer", "secrets", "get", "-p", "acme", "--env=prod", "--addr", "http://a:1", "D"]);
        let scope = typed.scope();
        assert_eq!((scope.project.as_deref(), scope.environment.as_deref()), (Some("acme"), Some("prod")));
        assert_eq!(typed.globals().last().map(String::as_str), Some("--addr=http://a:1"));
        assert!(Cli::try_parse_from(typed.globals()).is_ok());
        let whole = line(&["coffer", "run", "--scope", "a:b", "-p", "x"]).scope();
        assert_eq!((whole.scope.as_deref(), whole.project), (Some("a:b"), None));
        assert!(line(&["coffer", "--addr"]).value("--addr", "").is_none(), "it is not there yet");
    }

    #[test]
    fn names_are_asked_for_where_a_command_takes_one() {
        command().debug_assert();
        let script = registration("bash").unwrap();
        assert!(String::from_utf8(script).unwrap().contains(VARIABLE));
        assert!(registration("tcsh").is_err());
    }
}
