//! The commands, one file each. Those that talk to a server do so over the native API; only `server` and `offline` know more.

pub(crate) mod audit;
pub(crate) mod backup;
pub(crate) mod completion;
pub(crate) mod doctor;
pub(crate) mod env;
pub(crate) mod health;
pub(crate) mod inject;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod man;
pub(crate) mod offline;
pub(crate) mod operator;
mod pgp_key;
pub(crate) mod policy;
pub(crate) mod profile;
pub(crate) mod read;
pub(crate) mod run;
pub(crate) mod scan;
pub(crate) mod seal;
pub(crate) mod secrets;
pub(crate) mod server;
pub(crate) mod status;
pub(crate) mod token;
pub(crate) mod whoami;

use std::process::ExitCode;

use rustix::process::DumpableBehavior;

use crate::{
    cli::{Cli, Command},
    environment::Environment,
    failure::Failure,
    plan,
    session::Session,
};

/// Runs the command.
///
/// # Errors
/// As the command does.
pub(crate) fn dispatch(cli: Cli, environment: Environment) -> Result<ExitCode, Failure> {
    let session = match &cli.command {
        // What a user prefers is nothing to a server.
        Command::Server(_) => Session::without_profile(cli.globals, environment)?,
        // They find out what is wrong with a profile, and mend it.
        Command::Doctor(_) | Command::Profile(_) => Session::whatever_the_profile(cli.globals, environment)?,
        _ => Session::new(cli.globals, environment)?,
    };
    match session.plans() {
        None => perform(&session, cli.command),
        Some(_) if !is_asking(&cli.command) => Err(plan::asks_nothing()),
        Some(plans) => {
            let result = perform(&session, cli.command);
            plan::show(&session, &plans.calls(), result)
        }
    }
}

/// Whether a command asks anything of a server, so that there are calls to be shown. What asks nothing must not run instead.
fn is_asking(command: &Command) -> bool {
    match command {
        Command::Completion(_) | Command::Doctor(_) | Command::Man(_) | Command::Profile(_) | Command::Server(_) => {
            false
        }
        Command::Audit(command) => !matches!(command, audit::Command::Verify(_)),
        Command::Backup(command) => matches!(command, backup::Command::Create(_)),
        Command::Logout(arguments) => arguments.is_asking(),
        Command::Policy(command) => !matches!(command, policy::Command::Test(_)),
        Command::Scan(arguments) => arguments.is_asking(),
        Command::Env(_)
        | Command::Health
        | Command::Inject(_)
        | Command::Keys(_)
        | Command::Login(_)
        | Command::Operator(_)
        | Command::Read(_)
        | Command::Run(_)
        | Command::Secrets(_)
        | Command::Status
        | Command::Token(_)
        | Command::Whoami => true,
    }
}

fn perform(session: &Session, command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Audit(command) => return block_on(audit::run(session, &command)),
        Command::Backup(command) => return block_on(backup::run(session, &command)),
        Command::Completion(arguments) => completion::run(session, &arguments)?,
        Command::Doctor(arguments) => return block_on(doctor::run(session, &arguments)),
        Command::Env(command) => return block_on(env::run(session, &command)),
        Command::Health => block_on(health::run(session))?,
        Command::Inject(arguments) => block_on(inject::run(session, &arguments))?,
        Command::Keys(command) => block_on(keys::run(session, &command))?,
        Command::Login(arguments) => block_on(login::run(session, &arguments))?,
        Command::Logout(arguments) => block_on(logout::run(session, &arguments))?,
        Command::Man(arguments) => man::run(session, &arguments)?,
        Command::Operator(command) => block_on(operator::run(session, &command))?,
        Command::Policy(command) => return block_on(policy::run(session, &command)),
        Command::Profile(command) => profile::run(session, &command)?,
        Command::Read(arguments) => block_on(read::run(session, &arguments))?,
        Command::Run(arguments) => return block_on(run::run(session, &arguments)),
        Command::Scan(arguments) => return block_on(scan::run(session, &arguments)),
        Command::Secrets(command) => return block_on(secrets::run(session, &command)),
        Command::Server(arguments) => server::run(session, *arguments)?,
        Command::Status => return block_on(status::run(session)),
        Command::Token(command) => block_on(token::run(session, &command))?,
        Command::Whoami => block_on(whoami::run(session))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn block_on<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    // Values and tokens pass through here: no core dump, and no debugger of the same user. Where the system refuses, things
    // stay as they usually are.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::io("cannot start the runtime", &error))?;
    let result = runtime.block_on(command);
    // A question to a name server that is dead would hold the end back, long after the command's own time is over.
    runtime.shutdown_background();
    result
}
