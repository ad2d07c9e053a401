//! `coffer completion`: a script for the shell.

use clap::{Args, CommandFactory, ValueEnum};
use clap_complete::Shell as Generator;

use crate::{cli::Cli, failure::Failure, session::Session};

/// Options of `completion`.
#[derive(Args)]
#[command(after_help = "bash: coffer completion bash > ~/.local/share/bash-completion/completions/coffer
zsh:  coffer completion zsh > \"${fpath[1]}/_coffer\"
fish: coffer completion fish > ~/.config/fish/completions/coffer.fish")]
pub(crate) struct Arguments {
    /// The shell
    shell: Shell,
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
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut Cli::command(), "coffer", &mut script);
    session.output.bytes(&script)
}
