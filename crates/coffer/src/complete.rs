//! Completion while a line is typed: the shell runs this program with `COFFER_COMPLETE`, and names come from the server by
//! the user's own token. What fails shows nothing: a prompt is no place for errors.

use std::{
    ffi::{OsStr, OsString},
    sync::mpsc,
    time::Duration,
};

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
    if shell == "bash" {
        return Ok(BASH.as_bytes().to_vec());
    }
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
        ("environment", false, _) => arg.add(ArgValueCompleter::new(environments)),
        ("service", false, _) => arg.add(ArgValueCompleter::new(services)),
        ("profile", false, _) => arg.add(ArgValueCompleter::new(profiles)),
        ("name", true, Whose::Keys) => arg.add(ArgValueCompleter::new(keys)),
        ("name", true, Whose::Policies) => arg.add(ArgValueCompleter::new(policies)),
        ("name", true, Whose::Profiles) => arg.add(ArgValueCompleter::new(profiles)),
        ("name" | "names", true, Whose::Secrets) => arg.add(ArgValueCompleter::new(secrets)),
        _ => arg,
    }
}

fn keys(current: &OsStr) -> Vec<CompletionCandidate> {
    let name = current.to_str().filter(|text| !text.is_empty()).map(str::to_owned);
    offered(current, async move |client, _| {
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
    let start = current.to_str().map(str::to_owned);
    offered(current, async move |client, session| {
        let scope = typed().scope().resolve(&session.environment).ok()?;
        // Names come in their order: those that begin like what is typed may lie far behind the first page.
        let paging = Paging { after: start.as_deref().and_then(just_before), ..paging() };
        let page = client.secret_list(&scope, Depth::Flat, &paging).await.ok()?;
        Some(page.items.into_iter().map(|secret| secret.name.to_string()).collect())
    })
}

/// Scopes of the project that is typed, or that the profile or the environment names.
fn scopes(current: &OsStr) -> Vec<CompletionCandidate> {
    let typed = current.to_str().map(str::to_owned);
    offered(current, async move |client, session| {
        let text = typed?;
        let project = match text.split_once(':') {
            Some((project, _)) => project.to_owned(),
            None => session.environment.text("COFFER_PROJECT").ok()??.to_owned(),
        };
        let mut scopes = scopes_of(client, &project).await?;
        scopes.push(project);
        Some(scopes)
    })
}

/// Environments of the project that the line names so far.
fn environments(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, async |client, session| {
        let whole = ScopeArguments { environment: Some(String::new()), ..typed().scope() };
        let project = whole.resolve(&session.environment).ok()?.to_string();
        let scopes = scopes_of(client, project.split(':').next()?).await?;
        Some(scopes.iter().filter_map(|scope| scope.split(':').nth(1)).map(str::to_owned).collect())
    })
}

/// Services of the environment that the line names so far.
fn services(current: &OsStr) -> Vec<CompletionCandidate> {
    offered(current, async |client, session| {
        let whole = ScopeArguments { service: Some(String::new()), ..typed().scope() };
        let environment = whole.resolve(&session.environment).ok()?.to_string();
        let scopes = scopes_of(client, &environment).await?;
        Some(scopes.iter().filter_map(|scope| scope.split(':').nth(2)).map(str::to_owned).collect())
    })
}

/// Scopes in which there are secrets, from this one down.
async fn scopes_of(client: &Client, scope: &str) -> Option<Vec<String>> {
    let page = client.secret_list(&scope.parse().ok()?, Depth::Recursive, &paging()).await.ok()?;
    Some(page.items.into_iter().map(|secret| secret.scope.to_string()).collect())
}

/// A text that lies before all that begin like this one, and after nearly all that do not.
fn just_before(start: &str) -> Option<String> {
    let mut characters = start.chars();
    let last = u8::try_from(characters.next_back()?).ok()?;
    let lower = char::from(last.checked_sub(1)?);
    // A '/' would name another directory.
    (lower.is_ascii_graphic() && lower != '/').then(|| format!("{}{lower}zzzz", characters.as_str()))
}

/// Asks the server, and offers what of its answer fits.
fn offered(
    current: &OsStr,
    ask: impl AsyncFnOnce(&Client, &Session) -> Option<Vec<String>> + Send + 'static,
) -> Vec<CompletionCandidate> {
    let names = within(PATIENCE, move || {
        let cli = Cli::try_parse_from(typed().globals()).ok()?;
        let session = Session::new(cli.globals, Environment::of_process()).ok()?;
        let client = session.client().ok()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        runtime.block_on(ask(&client, &session))
    });
    matching(current, names.flatten().unwrap_or_default())
}

/// What an answer says that comes in time. Name servers, keyrings and file systems answer when they like, and nothing ends
/// their thread but the process, which does so at once.
fn within<T: Send + 'static>(patience: Duration, answer: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let asking = std::thread::Builder::new().name("complete".to_owned());
    asking
        .spawn(move || {
            // Nobody waits any more where it took too long.
            let _ = sender.send(answer());
        })
        .ok()?;
    receiver.recv_timeout(patience).ok()
}

fn matching(current: &OsStr, mut names: Vec<String>) -> Vec<CompletionCandidate> {
    let start = current.to_str().unwrap_or_default();
    names.sort();
    names.dedup();
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
/// A script of our own: that of the library hands on words as bash took them apart, at each ':' of a scope.
const BASH: &str = include_str!("complete.bash");
/// How long a shell waits.
const PATIENCE: Duration = Duration::from_secs(2);
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
    fn script_of_each_shell_asks_this_program() {
        command().debug_assert();
        for shell in ["bash", "fish", "zsh"] {
            let script = registration(shell).unwrap();
            assert!(String::from_utf8(script).unwrap().contains(VARIABLE), "{shell}");
        }
        assert!(registration("tcsh").is_err());
    }

    #[test]
    fn answer_that_does_not_come_is_not_waited_for() {
        assert_eq!(within(Duration::from_secs(600), || 7), Some(7));
        let (keep, wait) = mpsc::channel::<()>();
        assert_eq!(within(Duration::from_millis(1), move || wait.recv().is_ok()), None);
        drop(keep);
    }

    #[test]
    fn page_begins_right_before_what_is_typed() {
        for (start, before) in [("DB_P", Some("DB_Ozzzz")), ("A", Some("@zzzz")), ("DB_", Some("DB^zzzz"))] {
            assert_eq!(just_before(start).as_deref(), before, "{start}");
            assert!(before.is_some_and(|before| before < start));
        }
        for odd in ["", "0", "ä", "x "] {
            assert_eq!(just_before(odd), None, "{odd}");
        }
    }
}
