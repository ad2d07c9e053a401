//! What clap has to say, in the form of every other message: help on stdout, an error and a hint on stderr.

use std::{
    io::{self, Write},
    process::ExitCode,
};

use clap::error::ErrorKind;

use crate::failure::Failure;

/// Answers where the command line did not parse, or asked for help or the version.
pub(crate) fn answer(error: &clap::Error) -> Result<ExitCode, Failure> {
    let text = error.render().to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            io::stdout().lock().write_all(text.as_bytes()).map_err(|error| Failure::stdout(&error))?;
            Ok(ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = io::stderr().lock().write_all(text.as_bytes());
            Err(Failure::local("a command is missing").hint("choose one of those above"))
        }
        _ => Err(explain(&text)),
    }
}

/// clap writes a message over several lines, tips, the usage and a pointer to `--help`.
fn explain(text: &str) -> Failure {
    let (message, rest) = text.split_once("\n\n").unwrap_or((text, ""));
    let words = message.trim_start_matches("error: ").split_whitespace().collect::<Vec<_>>().join(" ");
    let failure = Failure::local(words);
    let lines = || rest.lines().map(str::trim);
    if let Some(tip) = lines().find_map(|line| line.strip_prefix("tip: ")) {
        return failure.hint(tip);
    }
    match lines().find_map(|line| line.strip_prefix("Usage: ")) {
        Some(usage) => failure.hint(format!("usage: {usage}")),
        None => failure.hint("--help shows what is understood"),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use crate::{cli::Cli, failure::Exit};

    use super::*;

    fn failure(args: &[&str]) -> Failure {
        let Err(error) = Cli::try_parse_from(["coffer"].iter().chain(args)) else { panic!("{args:?} parses") };
        answer(&error).unwrap_err()
    }

    #[test]
    fn usage_errors_are_one_line_and_exit_1() {
        for args in [
            &["nonsense"][..],
            &["secrets", "get"],
            &["secrets", "get", "A", "--format", "xml"],
            &["secrets", "get", "A", "--nonsense"],
            &["run", "ls"],
        ] {
            let failure = failure(args);
            assert_eq!(failure.exit(), Exit::Local, "{args:?}");
            assert!(!failure.what().contains('\n') && !failure.what().starts_with("error"), "{}", failure.what());
        }
    }

    #[test]
    fn command_line_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn texts_after_the_help_fit_their_width() {
        fn check(command: &clap::Command) {
            for line in command.get_after_help().map(ToString::to_string).unwrap_or_default().lines() {
                assert!(line.chars().count() <= 98, "{}: {line}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }
}
