//! The commands of `coffer keys` that take a key or its versions one step.

use clap::{Args, Subcommand};
use coffer_api::{
    Code,
    keys::{Key, KeyCompromise, KeyDestroy, KeyRecover, KeyRollback, KeyRotate, KeyVersion, KeyVersions},
};
use coffer_client::{KeySwitch, KeyVerb};

use crate::{duration, failure::Failure, session::Session};

/// The steps.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Put versions that wait into use
    Activate(Versions),
    /// Call the destruction of versions off
    CancelDestroy(Versions),
    /// Mark versions as known to somebody else
    Compromise(Compromise),
    /// End what versions may encrypt and sign
    Deactivate(Versions),
    /// Delete a key that may be deleted; `recover` brings it back until it is destroyed
    Delete(Named),
    /// Destroy versions after a wait, which `cancel-destroy` calls off
    Destroy(Destroy),
    /// Switch a key off: nothing is done with it
    Disable(Named),
    /// Switch a key on
    Enable(Named),
    /// Give a deleted key its name back, or another
    Recover(Recover),
    /// End the suspension of versions
    Resume(Versions),
    /// Make an older version the primary one again
    Rollback(Rollback),
    /// Make a new version the primary one
    Rotate(Rotate),
    /// Stop versions for now
    Suspend(Versions),
}

/// Names a key.
#[derive(Args)]
pub(crate) struct Named {
    /// The key's name
    pub(super) name: String,
}

/// Names a key and versions of it.
#[derive(Args)]
pub(crate) struct Versions {
    /// The key's name
    name: String,
    /// The version; several separated by commas [default: the primary one, or where a step is undone, every one]
    #[arg(long = "version", alias = "versions", value_name = "N", value_delimiter = ',')]
    versions: Vec<u32>,
}

/// Options of `keys rotate`.
#[derive(Args)]
pub(crate) struct Rotate {
    /// The key's name
    name: String,
    /// The new version waits for 'coffer keys activate'
    #[arg(long)]
    pre_active: bool,
}

/// Options of `keys rollback`.
#[derive(Args)]
pub(crate) struct Rollback {
    /// The key's name
    name: String,
    /// The version to be primary again [default: the highest below the primary one that can be]
    #[arg(long, alias = "versions", value_name = "N")]
    version: Option<u32>,
}

/// Options of `keys compromise`.
#[derive(Args)]
pub(crate) struct Compromise {
    /// The key's name
    name: String,
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The version; several separated by commas [default: the primary one]
    #[arg(long = "version", alias = "versions", value_name = "N", value_delimiter = ',')]
    versions: Vec<u32>,
}

/// Options of `keys destroy`.
#[derive(Args)]
pub(crate) struct Destroy {
    /// The key's name
    name: String,
    /// The version; several separated by commas
    #[arg(long = "version", alias = "versions", value_name = "N", value_delimiter = ',', required = true)]
    versions: Vec<u32>,
    /// How long it can be called off: 24h at least, 90d at most [default: 7d, or what a tag says]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_seconds)]
    after: Option<u64>,
}

/// Options of `keys recover`.
#[derive(Args)]
pub(crate) struct Recover {
    /// The key's id, as 'coffer keys list --deleted' shows it
    id: String,
    /// Another name than it had
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Takes the step.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn run(session: &Session, command: &Command) -> Result<(), Failure> {
    let client = session.client()?;
    let step = async |verb, of: &Versions| {
        client.key_step(&of.name, verb, &KeyVersions { versions: of.versions.clone() }).await
    };
    let (done, key) = match command {
        Command::Activate(of) => ("activated", step(KeyVerb::Activate, of).await),
        Command::CancelDestroy(of) => ("called off the destruction of", step(KeyVerb::CancelDestroy, of).await),
        Command::Compromise(of) => {
            let compromise = KeyCompromise { reason: of.reason.clone(), versions: of.versions.clone() };
            let key = client.key_compromise(&of.name, &compromise).await.map_err(super::missing)?;
            session.output.note(compromised(&key, &of.versions));
            return Ok(());
        }
        Command::Deactivate(of) => ("deactivated", step(KeyVerb::Deactivate, of).await),
        Command::Delete(of) => {
            let hint = format!("'coffer keys set {} --deletion-allowed true' allows it", of.name);
            let deleted = client.key_delete(&of.name).await;
            let key = deleted.map_err(|error| match error.code() {
                Some(Code::Invalid) => Failure::from(error).hint(hint),
                _ => super::missing(error),
            })?;
            let again = format!("'coffer keys recover {}' gives it its name back until it is destroyed", key.id);
            session.output.note(format!("deleted {}; {again}", key.name));
            return Ok(());
        }
        Command::Destroy(of) => {
            let destroy = KeyDestroy { versions: of.versions.clone(), after: of.after };
            let key = client.key_destroy(&of.name, &destroy).await.map_err(super::missing)?;
            for number in &of.versions {
                session.output.note(destroyed(&key, *number));
            }
            session.output.note(standing(&key));
            return Ok(());
        }
        Command::Disable(of) => ("disabled", client.key_switch(&of.name, KeySwitch::Disable).await),
        Command::Enable(of) => ("enabled", client.key_switch(&of.name, KeySwitch::Enable).await),
        Command::Recover(of) => {
            let recovered = client.key_recover(&of.id, &KeyRecover { name: of.name.clone() }).await;
            let unknown = "check the id; 'coffer keys list --deleted' shows what can be recovered";
            let taken = format!("'coffer keys recover {} --name NAME' gives it another name", of.id);
            let key = recovered.map_err(|error| match error.code() {
                Some(Code::Conflict) => Failure::from(error).hint(taken),
                _ => Failure::hinted(error, Code::NotFound, unknown),
            })?;
            session.output.note(format!("recovered key {}; roll it back or rotate it to use it", key.name));
            return Ok(());
        }
        Command::Resume(of) => ("resumed", step(KeyVerb::Resume, of).await),
        Command::Rollback(of) => {
            ("rolled back", client.key_rollback(&of.name, KeyRollback { version: of.version }).await)
        }
        Command::Rotate(of) => ("rotated", client.key_rotate(&of.name, KeyRotate { pre_active: of.pre_active }).await),
        Command::Suspend(of) => ("suspended", step(KeyVerb::Suspend, of).await),
    };
    let key = key.map_err(super::missing)?;
    session.output.note(format!("{done} {}; {}", key.name, standing(&key)));
    Ok(())
}

/// What became of versions that were marked: those that were named, else the one that was primary.
fn compromised(key: &Key, named: &[u32]) -> String {
    let is_marked = |version: &&KeyVersion| match named {
        [] => version.compromised_time.as_ref() == Some(&key.updated_time),
        named => named.contains(&version.version),
    };
    let numbers: Vec<u32> = key.versions.iter().filter(is_marked).map(|version| version.version).collect();
    let next = match key.primary_version {
        Some(_) => standing(key),
        None => format!("{}: 'coffer keys rotate {}' makes one", standing(key), key.name),
    };
    format!(
        "marked {} of {} as compromised: nothing is encrypted or signed with it from now on, and it decrypts and verifies \
         for those alone who may use what is compromised; {next}",
        versions(&numbers),
        key.name
    )
}

/// What becomes of a version, when, and how to call it off.
fn destroyed(key: &Key, number: u32) -> String {
    let Key { name, .. } = key;
    let version = key.versions.iter().find(|version| version.version == number);
    match version.and_then(|version| version.destroyed_time.as_ref().map(|time| (version.state.as_str(), time))) {
        Some(("destroyed", _)) => format!("destroyed version {number} of {name}, which was never in use"),
        Some((_, time)) => format!(
            "version {number} of {name} will be destroyed at {time}; until then \
             'coffer keys cancel-destroy {name} --version {number}' calls it off"
        ),
        None => format!("scheduled the destruction of version {number} of {name}"),
    }
}

fn versions(numbers: &[u32]) -> String {
    let list: Vec<String> = numbers.iter().map(u32::to_string).collect();
    match list.as_slice() {
        [one] => format!("version {one}"),
        _ => format!("versions {}", list.join(", ")),
    }
}

/// What encrypts and signs now.
pub(super) fn standing(key: &Key) -> String {
    match key.primary_version {
        Some(version) => format!("version {version} is primary"),
        None => "no version is primary".to_owned(),
    }
}
