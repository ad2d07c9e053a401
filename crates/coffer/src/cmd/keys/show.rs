//! `coffer keys show`.

use crate::{failure::Failure, output::Table, session::Session};

use super::step::Named;

/// Shows a key: its versions as a table, everything as JSON or YAML.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn run(session: &Session, named: &Named) -> Result<(), Failure> {
    let key = session.client()?.key_read(&named.name).await.map_err(super::missing)?;
    session.output.show(&key, |key| {
        let mut table = Table::new(&["VERSION", "STATE", "CREATED", "ENDS", "FINGERPRINT"]);
        for version in &key.versions {
            let primary = if key.primary_version == Some(version.version) { " (primary)" } else { "" };
            let ends = version.destroyed_time.as_ref().or(version.deactivated_time.as_ref());
            table.row([
                version.version.to_string(),
                format!("{}{primary}", version.state),
                version.created_time.clone(),
                ends.cloned().unwrap_or_default(),
                version.fingerprint.clone(),
            ]);
        }
        table
    })?;
    let switch = if key.enabled { "" } else { ", disabled" };
    let usages = key.usages.join(", ");
    session.output.note(format!("{}: {}, for {usages}{switch}", key.name, key.algorithm));
    Ok(())
}
