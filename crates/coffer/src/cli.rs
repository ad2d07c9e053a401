//! The command line as clap sees it: global options and the table of commands.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};

use crate::{cmd, duration, output::Format};

/// Keeps secrets and keys, gives them to programs, and proves what happened.
#[derive(Parser)]
#[command(name = "coffer", version, max_term_width = 100, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Globals {
    /// The profile to use [env: COFFER_PROFILE] [default: the one of 'coffer profile use']; options and variables
    /// stand before what it says
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Server address [env: COFFER_ADDR, then VAULT_ADDR] [default: http://127.0.0.1:8200]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) addr: Option<String>,
    /// PEM file with the authorities that may vouch for the server [env: COFFER_CACERT, then VAULT_CACERT] [default: those
    /// that the machine trusts]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca_cert: Option<PathBuf>,
    /// File with the token of this user [default: ~/.config/coffer/token, or the profile's]; COFFER_TOKEN, then
    /// VAULT_TOKEN, stand before that, and this option before them
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// How long one request may take, as 500ms, 30s, 2m
    #[arg(long, global = true, value_name = "TIME", default_value = "30s", value_parser = duration::parse)]
    pub(crate) timeout: Duration,
    /// Output format [env: COFFER_FORMAT] [default: table]
    #[arg(long, global = true, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<Format>,
    /// No notes and hints on stderr, errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Print the call as a curl command instead of making it; no value and no token are in it
    #[arg(long, global = true, conflicts_with = "output_policy")]
    pub(crate) output_curl: bool,
    /// Print the policy that the command needs instead of running it
    #[arg(long, global = true)]
    pub(crate) output_policy: bool,
}

/// Every command has a file of its own below `cmd/`.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Read, check and prove the audit log
    #[command(subcommand)]
    Audit(cmd::audit::Command),
    /// Back the server up, and check, list and restore backups
    #[command(subcommand)]
    Backup(cmd::backup::Command),
    /// Print a shell's completion script
    Completion(cmd::completion::Arguments),
    /// Find out what is wrong here, on the way to the server or there, and how to mend it
    Doctor(cmd::doctor::Arguments),
    /// Move .env files into a scope and out of it, compare scopes, and put one back to how it was
    #[command(subcommand)]
    Env(cmd::env::Command),
    /// Ask whether the server is alive
    Health,
    /// Fill secrets into a template
    Inject(cmd::inject::Arguments),
    /// Make keys that stay on the server, and manage their life
    #[command(subcommand, visible_alias = "key")]
    Keys(cmd::keys::Command),
    /// Get a token and keep it in the token file
    Login(cmd::login::Arguments),
    /// Revoke the token in the token file and remove the file
    Logout(cmd::logout::Arguments),
    /// Write the manual's pages, one for each command
    #[command(hide = true)]
    Man(cmd::man::Arguments),
    /// Run the server: seal, unseal, rotate, recover
    #[command(subcommand)]
    Operator(cmd::operator::Command),
    /// Read, write and test policies
    #[command(subcommand)]
    Policy(cmd::policy::Command),
    /// Keep addresses, tokens and scopes under names, and choose one
    #[command(subcommand, visible_alias = "profiles")]
    Profile(cmd::profile::Command),
    /// Print the secret that an address such as coffer://acme/prod/NAME names
    Read(cmd::read::Arguments),
    /// Run a program with a scope's secrets in its environment
    Run(cmd::run::Arguments),
    /// Find secrets where they should not be: in files, in what is staged, in commits
    Scan(Box<cmd::scan::Arguments>),
    /// Store, read and manage secrets
    #[command(subcommand, visible_alias = "secret")]
    Secrets(cmd::secrets::Command),
    /// Start the server
    Server(Box<cmd::server::Arguments>),
    /// Show what the server does: active, standby, sealed
    Status,
    /// Create and manage tokens
    #[command(subcommand)]
    Token(cmd::token::Command),
    /// Show whose token is in use
    Whoami,
}

const EXIT_CODES: &str = "\
Exit codes:
  0 success                    5 conflict: stale version, wrong state, inconclusive check
  1 usage or local error       7 sealed or unavailable
  2 server or network error    8 integrity violated
  3 not found                  10 something was found: differences, secrets in files
  4 denied or no valid token
`run` returns the program's own code, 126 or 127 where it cannot start, 128+n where signal n
ended it.

Values go to stdout, everything else to stderr.";
