//! `coffer completion`: a script for the shell.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell as Generator;

use crate::{cli::Cli, complete, failure::Failure, session::Session};

/// Options of `completion`.
#[derive(Args)]
#[command(after_help = "bash: coffer completion bash > ~/.local/share/bash-completion/completions/coffer
zsh:  coffer completion zsh > \"${fpath[1]}/_coffer\"
fish: coffer completion fish > ~/.config/fish/completions/coffer.fish

With --names the shell asks this program while a line is typed, and it asks the server for the
names of secrets, keys and policies by your token; load that script at the start of each shell:
  source <(coffer completion bash --names)")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
    /// A script that completes names and scopes too
    #[arg(long)]
    names: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Zsh,
}

/// Prints the script.
///
/// # Errors
/// Where stdout fails.
pub(crate) fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let generator = match arguments.shell {
        Shell::Bash => Generator::Bash,
        Shell::Fish => Generator::Fish,
        Shell::Zsh => Generator::Zsh,
    };
    if arguments.names {
        return session.output.bytes(&complete::registration(&generator.to_string())?);
    }
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut Cli::command(), "coffer", &mut script);
    session.output.bytes(&script)
}
