//! `coffer secrets set`.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
};

use clap::Args;
use coffer_api::{
    Name, Scope, Sensitive, reference,
    secrets::{NamedSecretSet, PatchReply, SecretSet, SecretsPatch, SetOptions},
};

use super::{bulk, describe::Details};
use coffer_client::Error;

use crate::{
    failure::{ALL_OR_NOTHING, Exit, Failure},
    input,
    scope::ScopeArguments,
    session::Session,
};

/// Options of `secrets set`.
#[derive(Args)]
#[command(after_help = "\
  NAME          asks for the value on the terminal, without echo
  NAME=-        takes it from stdin, byte for byte
  NAME=@FILE    takes it from a file, byte for byte
  NAME=VALUE    takes it from the command line, where your shell's history and, while the
                command runs, other processes of this machine can see it
A value that is - or starts with @ comes over one of the first three.

Many at once, all or none: --from-file FILE, or - for stdin, as a .env file (NAME=value lines) or
as JSON, one {\"name\":\"A\",\"value\":\"b\"} a line.")]
pub(crate) struct Arguments {
    /// What to set
    #[arg(required_unless_present = "from_file", value_name = "NAME[=VALUE]")]
    assignments: Vec<String>,
    /// Names and values from this file, all of them or none
    #[arg(long, value_name = "FILE", conflicts_with_all = ["assignments", "trim"])]
    from_file: Option<PathBuf>,
    /// Only if the current version is this one; 0 = only if there is none
    #[arg(long, value_name = "N")]
    cas: Option<u64>,
    /// Seal each version under a key of its own, so that destroying it shreds it
    #[arg(long)]
    shred: bool,
    /// Drop one line break at the end of values from stdin and files
    #[arg(long)]
    trim: bool,
    #[command(flatten)]
    details: Details,
    #[command(flatten)]
    scope: ScopeArguments,
}

/// Writes the secrets.
///
/// # Errors
/// Where a value cannot be had, or the server refuses one.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let scope = arguments.scope.resolve(&session.environment)?;
    arguments.details.check()?;
    match (&arguments.from_file, arguments.assignments.as_slice()) {
        (Some(file), _) => return all(session, arguments, &scope, file).await,
        (None, [only]) if only == "-" => return all(session, arguments, &scope, Path::new("-")).await,
        (None, _) => {}
    }
    let assignments = parse(&arguments.assignments)?;
    if assignments.len() > 1 && !arguments.details.is_empty() {
        return Err(Failure::local("--expires-at, --owner and --description are for one secret at a time"));
    }
    let client = session.client()?;
    if assignments.iter().any(|(_, source)| matches!(source, Source::Inline(_))) {
        session.output.note_to_person(
            "hint: the value now stands in your shell's history; NAME, NAME=- and NAME=@FILE keep it out",
        );
    }
    let options = SetOptions { cas: arguments.cas, shred: arguments.shred.then_some(true) };
    let mut sets = Vec::with_capacity(assignments.len());
    for (name, source) in assignments {
        let value = value(session, arguments, &name, source)?;
        hint_of_reference(session, &name, &value);
        sets.push(NamedSecretSet { name, value, options });
    }
    if let [NamedSecretSet { name, value, options }] = sets.as_slice() {
        let set = SecretSet { value: value.clone(), options: *options };
        let version = match client.secret_set(&scope, name, &set).await {
            Err(Error::Planned) if !arguments.details.is_empty() => {
                return arguments.details.apply(&client, &scope, name).await;
            }
            version => version?,
        };
        if !arguments.details.is_empty() {
            let described = arguments.details.apply(&client, &scope, name).await;
            described.map_err(|failure| {
                let done = format!("{}, but not described", super::written(name, &scope, &version));
                failure.at(&done).hint(format!("'coffer secrets describe {name}' repeats that part"))
            })?;
        }
        return session.output.show_or_note(&version, |version| super::written(name, &scope, version));
    }
    let reply = client.secret_set_many(&scope, &SecretsPatch::each(sets)).await?;
    report(session, &scope, &reply)
}

/// Sets what a file holds, all of it or nothing.
async fn all(session: &Session, arguments: &Arguments, scope: &Scope, file: &Path) -> Result<(), Failure> {
    if !arguments.details.is_empty() {
        return Err(Failure::local("--expires-at, --owner and --description are for one secret at a time"));
    }
    let source = if file == Path::new("-") { "stdin".to_owned() } else { file.display().to_string() };
    let pairs = bulk::parse(&input::text_file(file, MOST_BYTES)?, &source)?;
    let options = SetOptions { cas: arguments.cas, shred: arguments.shred.then_some(true) };
    pairs.iter().for_each(|(name, value)| hint_of_reference(session, name, value));
    let sets = pairs.into_iter().map(|(name, value)| NamedSecretSet { name, value, options });
    let patch = SecretsPatch { atomic: true, ..SecretsPatch::each(sets) };
    let reply = session.client()?.secret_set_many(scope, &patch).await;
    let reply = reply.map_err(|error| Failure::cut_off(error, ALL_OR_NOTHING))?;
    session.output.show_or_note(&reply, |reply| match reply.results.len() {
        1 => format!("set 1 secret in {scope}"),
        count => format!("set {count} secrets in {scope}"),
    })
}

fn hint_of_reference(session: &Session, name: &Name, value: &Sensitive<String>) {
    if reference::is_in(value.expose()) {
        session.output.note_to_person(format!(
            "hint: {name} refers to other secrets, whose values are put in when it is read; '$${{' stands for '${{'"
        ));
    }
}

/// Where a value comes from.
enum Source {
    File(PathBuf),
    Inline(Sensitive<String>),
    Prompt,
    Stdin,
}

/// An error names the argument's place at most, for its text may be a value.
fn parse(assignments: &[String]) -> Result<Vec<(Name, Source)>, Failure> {
    let mut seen = HashSet::new();
    let mut stdin = None;
    let mut parsed = Vec::with_capacity(assignments.len());
    for (index, assignment) in assignments.iter().enumerate() {
        let (name, source) = match assignment.split_once('=') {
            None => (assignment.as_str(), Source::Prompt),
            Some((name, "-")) => (name, Source::Stdin),
            Some((name, value)) => match value.strip_prefix('@') {
                Some(path) => (name, Source::File(PathBuf::from(path))),
                None => (name, Source::Inline(Sensitive::from(value))),
            },
        };
        let name: Name = name.parse().map_err(|_| {
            Failure::local(format!("argument {} does not start with a secret's name", index + 1))
                .hint("NAME=VALUE, NAME=-, NAME=@FILE or NAME; a name is letters, digits, '_', '.' and '-'")
        })?;
        if !seen.insert(name.clone()) {
            return Err(Failure::local(format!("{name} is given twice")));
        }
        if matches!(source, Source::Stdin)
            && let Some(first) = stdin.replace(name.clone())
        {
            return Err(Failure::local(format!("{first} and {name} cannot both come from stdin")));
        }
        parsed.push((name, source));
    }
    if parsed.len() > MOST {
        return Err(Failure::local(format!("more than {MOST} secrets at once")));
    }
    Ok(parsed)
}

fn value(session: &Session, arguments: &Arguments, name: &Name, source: Source) -> Result<Sensitive<String>, Failure> {
    let value = match source {
        Source::Inline(value) => return Ok(value),
        Source::Prompt => {
            if !std::io::IsTerminal::is_terminal(&std::io::stdin()) {
                return Err(Failure::local(format!("there is no terminal to ask for {name}"))
                    .hint(format!("write {name}=- to take it from stdin")));
            }
            return input::ask(&format!("value of {name}"));
        }
        Source::Stdin => input::stdin_value()?,
        Source::File(path) => input::file_value(&path)?,
    };
    let text = value.expose();
    let Some(line) = text.strip_suffix('\n') else { return Ok(value) };
    if arguments.trim {
        return Ok(Sensitive::from(line.strip_suffix('\r').unwrap_or(line)));
    }
    if !line.contains('\n') {
        session.output.note(format!("note: the value of {name} ends with a line break; --trim drops it"));
    }
    Ok(value)
}

/// Each was set on its own: what succeeded stays.
fn report(session: &Session, scope: &Scope, reply: &PatchReply) -> Result<(), Failure> {
    session.output.show_or_note(reply, |reply| {
        let set: Vec<String> = reply
            .results
            .iter()
            .filter_map(|result| {
                result.version.as_ref().map(|version| format!("{} (version {})", result.name, version.version))
            })
            .collect();
        if set.is_empty() { format!("set nothing in {scope}") } else { format!("set in {scope}: {}", set.join(", ")) }
    })?;
    let failures: Vec<(&Name, Failure)> = reply
        .results
        .iter()
        .filter_map(|result| result.problem.as_ref().map(|problem| (&result.name, Failure::of_problem(problem))))
        .collect();
    let Some((_, first)) = failures.first() else { return Ok(()) };
    let each: Vec<String> = failures.iter().map(|(name, failure)| format!("{name} ({})", failure.what())).collect();
    let names = |is_set| {
        let named = reply.results.iter().filter(|result| result.version.is_some() == is_set);
        named.map(|result| result.name.to_string()).collect::<Vec<_>>().join(", ")
    };
    let hint = match names(true).as_str() {
        "" => "nothing was written".to_owned(),
        set => {
            let first_step = if first.exit() == Exit::Conflict { "read the current versions, then " } else { "" };
            format!("written: {set}; not written: {}; {first_step}repeat the command with those alone", names(false))
        }
    };
    Err(Failure::new(first.exit(), format!("not set in {scope}: {}", each.join(", "))).hint(hint))
}

/// The API's bound.
const MOST: usize = 1000;

/// Bytes of a file with many of them.
const MOST_BYTES: usize = 32 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn own(assignments: &[&str]) -> Vec<String> {
        assignments.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn assignments_name_their_sources() {
        let parsed = parse(&own(&["A", "B=-", "C=@/x=y", "D=a=b", "E=", "F=--", "G=@"])).unwrap();
        let shown: Vec<String> = parsed
            .iter()
            .map(|(name, source)| match source {
                Source::Prompt => format!("{name} prompt"),
                Source::Stdin => format!("{name} stdin"),
                Source::File(path) => format!("{name} file {}", path.display()),
                Source::Inline(value) => format!("{name} inline {}", value.expose()),
            })
            .collect();
        let expected = ["A prompt", "B stdin", "C file /x=y", "D inline a=b", "E inline ", "F inline --", "G file "];
        assert_eq!(shown, expected);
    }

    #[test]
    fn refused_assignment_is_never_repeated() {
        for bad in [&["1A=canary"][..], &["=canary"], &["canary canary"], &["A B=canary"], &["A=canary", "A=canary"]] {
            let failure = parse(&own(bad)).err().unwrap();
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
        assert!(parse(&own(&["A=-", "B=-"])).is_err());
        let many: Vec<String> = (0..=MOST).map(|index| format!("A{index}=x")).collect();
        assert!(parse(&many).is_err());
    }
}
