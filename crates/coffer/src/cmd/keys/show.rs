//! `coffer keys show`.

use coffer_api::keys::{Key, KeyVersion};

use crate::{duration, failure::Failure, output::Table, session::Session};

use super::step::Named;

/// Shows a key: its settings and its versions.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn run(session: &Session, named: &Named) -> Result<(), Failure> {
    let key = session.client()?.key_read(&named.name).await.map_err(super::missing)?;
    session.output.show_lines(&key, |key| format!("{}\n{}", settings(key).render(), versions(key).render()))
}

fn settings(key: &Key) -> Table {
    let algorithm = match key.key_size {
        Some(bytes) => format!("{}, {bytes} bytes", key.algorithm),
        None => key.algorithm.clone(),
    };
    let primary = match key.primary_version {
        Some(version) => format!("version {version}"),
        None => "none: it does not encrypt or sign until a rotation or a rollback".to_owned(),
    };
    let mut table = Table::of_pairs([
        ("name", key.name.clone()),
        ("id", key.id.clone()),
        ("algorithm", algorithm),
        ("usages", key.usages.join(", ")),
        ("enabled", if key.enabled { "yes" } else { "no: nothing is done with it" }.to_owned()),
        ("primary", primary),
        ("decrypts and verifies", from_version(key.min_decryption_version)),
        ("encrypts and signs", from_version(key.min_encryption_version)),
        ("rotates", rotation(key)),
        ("after a rotation", after_rotation(key)),
        ("allowed", allowed(key)),
        ("derived", derived(key).to_owned()),
        ("imported", yes_or_no(key.imported)),
        ("tags", or_none(key.tags.join(", "))),
        ("description", or_none(key.description.clone())),
        ("created", key.created_time.clone()),
        ("changed", key.updated_time.clone()),
    ]);
    if let Some(time) = &key.deleted_time {
        table.row(["deleted".to_owned(), time.clone()]);
    }
    for version in &key.versions {
        if let Some(reason) = &version.compromise_reason {
            table.row([format!("version {} compromised", version.version), reason.clone()]);
        }
    }
    table
}

fn versions(key: &Key) -> Table {
    let mut table = Table::new(&[
        "VERSION",
        "STATE",
        "CREATED",
        "ACTIVATED",
        "DEACTIVATED",
        "COMPROMISED",
        "DESTROYED",
        "FINGERPRINT",
    ]);
    for version in &key.versions {
        let KeyVersion { version: number, state, created_time, fingerprint, .. } = version;
        let primary = if key.primary_version == Some(*number) { " (primary)" } else { "" };
        let time = |time: &Option<String>| time.clone().unwrap_or_default();
        table.row([
            number.to_string(),
            format!("{state}{primary}"),
            created_time.clone(),
            time(&version.activated_time),
            time(&version.deactivated_time),
            time(&version.compromised_time),
            time(&version.destroyed_time),
            fingerprint.clone(),
        ]);
    }
    table
}

fn from_version(version: u32) -> String {
    if version <= 1 { "every version".to_owned() } else { format!("from version {version}") }
}

fn rotation(key: &Key) -> String {
    let every = match key.rotate_every {
        0 => return "by hand alone".to_owned(),
        seconds => format!("every {}", duration::show(seconds)),
    };
    key.rotate_time.as_ref().map_or_else(|| every.clone(), |time| format!("{every}, next at {time}"))
}

fn after_rotation(key: &Key) -> String {
    match (key.deactivate_on_rotate, key.overlap) {
        (false, _) => "the version before stays active".to_owned(),
        (true, 0) => "the version before is deactivated at once".to_owned(),
        (true, seconds) => format!("the version before is deactivated after {}", duration::show(seconds)),
    }
}

fn allowed(key: &Key) -> String {
    let allowed = [
        (key.exportable, "export"),
        (key.allow_plaintext_backup, "plaintext backup"),
        (key.deletion_allowed, "deletion"),
    ];
    let allowed: Vec<&str> = allowed.iter().filter(|(is_allowed, _)| *is_allowed).map(|(_, what)| *what).collect();
    if allowed.is_empty() { "no export, no plaintext backup, no deletion".to_owned() } else { allowed.join(", ") }
}

fn derived(key: &Key) -> &'static str {
    match (key.derived, key.convergent) {
        (true, true) => "yes, convergent: equal plaintexts become equal ciphertexts",
        (true, false) => "yes: it is used with a --context",
        (false, _) => "no",
    }
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn yes_or_no(is_so: bool) -> String {
    if is_so { "yes" } else { "no" }.to_owned()
}
