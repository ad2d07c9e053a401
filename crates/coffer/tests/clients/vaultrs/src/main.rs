//! Calls every function of vaultrs that is in scope, once so that it succeeds and once so that it is refused, and prints
//! the counts. Servers: DEV_URL, unsealed with the root token `root`, and SHAMIR_URL, never initialised, with a Shamir
//! seal. The argument is the folder with the source of vaultrs, against which the table is held.

mod identity;
mod kv;
mod login;
mod operator;
mod surface;
mod system;
mod table;
mod tokens;
mod transit;

use table::{Table, Wrong};

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::process::ExitCode {
    let source = std::env::args().nth(1).expect("the folder with the source of vaultrs");
    let mut table = Table::new().await;
    let mut wrong: Vec<String> = Vec::new();
    let mut note = |result: Result<(), Wrong>| wrong.extend(result.err().map(|Wrong(what)| what));
    note(kv::version_1(&mut table).await);
    note(kv::version_2(&mut table).await);
    note(kv::cubbyhole(&mut table).await);
    note(tokens::tokens(&mut table).await);
    note(tokens::roles(&mut table).await);
    note(login::approle(&mut table).await);
    note(login::secret_ids(&mut table).await);
    note(login::userpass(&mut table).await);
    note(identity::entities(&mut table).await);
    note(identity::aliases(&mut table).await);
    note(identity::groups(&mut table).await);
    note(system::mounts(&mut table).await);
    note(system::policies(&mut table).await);
    note(system::wrapping(&mut table).await);
    note(system::client(&mut table).await);
    note(transit::keys(&mut table).await);
    note(transit::uses(&mut table).await);
    note(operator::keys(&mut table).await);
    wrong.extend(surface::gaps(&table, source.as_ref()));

    for what in &wrong {
        println!("WRONG {what}");
    }
    println!("{}", table.counts(surface::later(source.as_ref())));
    if wrong.is_empty() { std::process::ExitCode::SUCCESS } else { std::process::ExitCode::FAILURE }
}
