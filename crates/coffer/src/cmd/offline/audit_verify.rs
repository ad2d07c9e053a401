//! `coffer audit verify`: checks a copy of the audit log, or one entry's proof, with public keys alone.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
    process::ExitCode,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use coffer_api::audit::Proof;
use coffer_core::{
    tlog::{
        Disk, RealDisk,
        note::VerifierKey,
        payload,
        proof_file::{ProofFile, ProofFileError},
        verify::{Report, Verification, VerifyError, verify_dir},
    },
    verify::{GivenLog, StoreVerifyError, verify_store},
};
use serde::Serialize;

use super::log_dir;
use crate::{
    failure::{Exit, Failure, chain},
    input,
    output::Table,
    session::Session,
};

/// Options of `audit verify`.
#[derive(Args)]
#[command(after_help = "\
Every entry is hashed, and every signed checkpoint held against the tree that it closes.
Exit code 0: nothing is wrong. 8: something is altered or missing, and is named. 5: nothing was
found, but the check proves too little: without --vkey, for whoever wrote the directory wrote its
keys too; where the log never published a checkpoint, or lost it; or where entries are recorded in
logs that were not given, or not logged yet. 1: the check could not be made: something cannot be
read, or the directory holds nothing of a log, unless --since or --store say that one was there.")]
pub(crate) struct Arguments {
    /// Directory of the log, or a copy of it
    #[arg(required_unless_present = "proof")]
    dir: Option<PathBuf>,
    /// Directory of another node's log; repeat for more
    #[arg(long = "log", value_name = "DIR", requires = "dir")]
    logs: Vec<PathBuf>,
    /// Compare every live entry of this store, its server stopped, or of a copy, with its last record over all logs given.
    /// A URL with a password belongs into the variable
    #[arg(long, value_name = "URL", env = "COFFER_STORE", hide_env_values = true)]
    store: Option<String>,
    /// The log's first verifier key, kept elsewhere: `audit checkpoint` prints it. One for each log; a key that followed
    /// by rotation may stand behind it
    #[arg(long = "vkey", value_name = "KEY")]
    vkeys: Vec<String>,
    /// A checkpoint kept elsewhere, of which the log must be a continuation
    #[arg(long, value_name = "FILE", requires = "dir")]
    since: Option<PathBuf>,
    /// A proof that `audit prove` printed, instead of a log; - is stdin. The entry is printed
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    proof: Option<PathBuf>,
}

/// Verifies.
///
/// # Errors
/// Exit 8 on tampering, 5 where the check is inconclusive, 1 where something cannot be read.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<ExitCode, Failure> {
    let keys = arguments
        .vkeys
        .iter()
        .map(|text| VerifierKey::parse(text).map_err(|error| Failure::local(format!("--vkey: {error}"))))
        .collect::<Result<Vec<_>, _>>()?;
    match (&arguments.proof, &arguments.dir) {
        (Some(proof), _) => check_proof(session, proof, &keys)?,
        (None, Some(dir)) => check_logs(session, arguments, dir, &keys).await?,
        (None, None) => return Err(Failure::local("no log given").hint("name its directory, or --proof FILE")),
    }
    if keys.is_empty() {
        return Err(Failure::new(Exit::Conflict, "nothing is wrong, but nobody vouches for the key")
            .hint("add --vkey with the key that 'coffer audit checkpoint' printed when you trusted the server"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What was checked, for programs.
#[derive(Serialize)]
struct Checked {
    logs: Vec<CheckedLog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<CheckedStore>,
}

#[derive(Serialize)]
struct CheckedLog {
    dir: PathBuf,
    origin: String,
    size: u64,
    root: String,
    published_size: Option<u64>,
    checkpoints: u64,
    keys: Vec<String>,
    unacknowledged_entries: u64,
    unfinished_bytes: u64,
    has_segments: bool,
}

#[derive(Serialize)]
struct CheckedStore {
    entries: u64,
    finding_count: u64,
    findings: Vec<String>,
    recorded_elsewhere: BTreeMap<String, u64>,
    unlogged: u64,
}

async fn check_logs(session: &Session, arguments: &Arguments, dir: &Path, keys: &[VerifierKey]) -> Result<(), Failure> {
    let since = arguments.since.as_deref().map(|path| input::text_file(path, CHECKPOINT_LIMIT)).transpose()?;
    // What a checkpoint kept elsewhere or the store states was there.
    if since.is_none() && arguments.store.is_none() {
        std::iter::once(dir).chain(arguments.logs.iter().map(PathBuf::as_path)).try_for_each(log_dir::check)?;
    }
    let mut logs = vec![GivenLog { dir: dir.to_owned(), keys: keys_of(dir, keys)?, since }];
    for dir in &arguments.logs {
        logs.push(GivenLog { dir: dir.clone(), keys: keys_of(dir, keys)?, since: None });
    }
    let dirs: Vec<PathBuf> = logs.iter().map(|log| log.dir.clone()).collect();
    let (reports, store) = match &arguments.store {
        Some(url) => {
            let (reports, store) = verify_store(url, logs).await.map_err(store_failure)?;
            (reports, Some(store))
        }
        None => {
            let check = |log: &GivenLog| {
                let what = Verification { dir: &log.dir, keys: &log.keys, since: log.since.as_deref() };
                verify_dir(&RealDisk, what, &mut |_, _| Ok(())).map_err(|error| log_failure(&log.dir, &error))
            };
            (logs.iter().map(check).collect::<Result<Vec<_>, _>>()?, None)
        }
    };
    let logs = dirs.iter().zip(&reports).map(|(dir, report)| checked(dir, report)).collect();
    let store = store.map(|store| CheckedStore {
        entries: store.entries,
        finding_count: store.finding_count,
        findings: store.findings,
        recorded_elsewhere: store.recorded_elsewhere,
        unlogged: store.unlogged,
    });
    let checked = Checked { logs, store };
    session.output.show_lines(&checked, text)?;
    checked.store.as_ref().map_or(Ok(()), conclude)?;
    match checked.logs.iter().find(|log| log.published_size.is_none()) {
        None => Ok(()),
        Some(log) => Err(Failure::new(
            Exit::Conflict,
            format!("the check is inconclusive: {} has no published checkpoint", log.dir.display()),
        )
        .hint(
            "a log that was never published looks so, and one whose end was cut off; start and stop its server once",
        )),
    }
}

fn text(checked: &Checked) -> String {
    let mut table = Table::new(&["ORIGIN", "ENTRIES", "ROOT", "CHECKPOINTS", "KEYS"]);
    for log in &checked.logs {
        let (checkpoints, keys) = (log.checkpoints.to_string(), log.keys.len().to_string());
        table.row([log.origin.clone(), log.size.to_string(), log.root.clone(), checkpoints, keys]);
    }
    let mut text = table.render();
    for log in checked.logs.iter().filter(|log| !log.has_segments) {
        let (dir, size) = (log.dir.display(), log.size);
        text.push_str(&format!("{dir} has no segments: verified up to its published checkpoint, of {size} entries\n"));
    }
    if let Some(store) = &checked.store {
        text.push_str(&format!("store: {} entries compared\n", store.entries));
        for finding in &store.findings {
            text.push_str(&format!("  {finding}\n"));
        }
        for (origin, count) in &store.recorded_elsewhere {
            text.push_str(&format!("  {count} recorded in {origin}\n"));
        }
        if store.unlogged > 0 {
            text.push_str(&format!("  {} outbox rows whose record is not in the log yet\n", store.unlogged));
        }
    }
    text
}

/// A finding weighs more than what is left open.
fn conclude(store: &CheckedStore) -> Result<(), Failure> {
    if store.finding_count > 0 {
        return Err(Failure::new(
            Exit::Integrity,
            format!("the store is not what its logs record: {} findings", store.finding_count),
        )
        .hint("keep this copy as it is, and compare it with a backup"));
    }
    if store.unlogged > 0 {
        return Err(Failure::new(Exit::Conflict, "the check is inconclusive: some records are not in the log yet")
            .hint("start the server once, stop it, and verify again"));
    }
    if let Some(origin) = store.recorded_elsewhere.keys().next() {
        return Err(Failure::new(Exit::Conflict, "the check is inconclusive: some entries are recorded in other logs")
            .hint(format!("add --log DIR with the log of {origin}")));
    }
    Ok(())
}

fn store_failure(error: StoreVerifyError) -> Failure {
    match &error {
        StoreVerifyError::Log { dir, source } => log_failure(dir, source),
        StoreVerifyError::Missing(_) | StoreVerifyError::Store(_) => Failure::local(chain(&error)),
    }
}

fn log_failure(dir: &Path, error: &VerifyError) -> Failure {
    match error {
        VerifyError::Finding(finding) => Failure::new(Exit::Integrity, format!("{}: {finding}", dir.display()))
            .hint("keep this copy as it is, and compare it with the server's log and with checkpoints kept elsewhere"),
        VerifyError::Disk(error) => Failure::local(chain(error)),
        VerifyError::Input(text) => Failure::local(text),
    }
}

/// The keys to check a directory with. A log's keys all bear its name; with one key there is nothing to choose.
fn keys_of(dir: &Path, given: &[VerifierKey]) -> Result<Vec<VerifierKey>, Failure> {
    if !dir.is_dir() {
        return Err(Failure::local(format!("{} is not there, or not a directory", dir.display()))
            .hint("name the directory of a log, or a copy of it: a server's is audit in its data directory"));
    }
    let own = own_key(dir)?;
    let keys: Vec<VerifierKey> = match (given, &own) {
        ([], Some(own)) => vec![own.clone()],
        ([], None) if dir.join("keys").symlink_metadata().is_ok() => {
            return Err(Failure::new(Exit::Integrity, format!("{} is not a list of keys", dir.join("keys").display()))
                .hint("--vkey names the key to check the rest of the log with"));
        }
        ([], None) => {
            return Err(Failure::local(format!("{} holds no list of keys", dir.display()))
                .hint("is it a log's directory? --vkey names the key of one that was copied without it"));
        }
        ([only], _) => vec![only.clone()],
        (several, Some(own)) => several.iter().filter(|key| key.name() == own.name()).cloned().collect(),
        (_, None) => {
            return Err(Failure::local(format!(
                "{} holds no list of keys, so none of several --vkey is its own",
                dir.display()
            )));
        }
    };
    match (keys.is_empty(), own) {
        (true, Some(own)) => {
            Err(Failure::local(format!("no --vkey is one of {}, the log in {}", own.name().as_str(), dir.display())))
        }
        (true, None) | (false, _) => Ok(keys),
    }
}

/// The first key that the directory itself names; trusted for nothing but its name unless no other is given.
fn own_key(dir: &Path) -> Result<Option<VerifierKey>, Failure> {
    let path = dir.join("keys");
    let bytes = match RealDisk.read(&path, KEYS_LIMIT).map_err(|error| error.kind()) {
        Ok(bytes) => bytes,
        Err(ErrorKind::NotFound) => return Ok(None),
        Err(ErrorKind::PermissionDenied) => {
            return Err(Failure::local(format!("cannot read {}: permission denied", path.display())));
        }
        // What else it may be, the check of the log tells.
        Err(_) => return Ok(None),
    };
    let text = String::from_utf8_lossy(&bytes);
    let first = text.lines().next().and_then(|line| line.strip_prefix("0 "));
    Ok(first.and_then(|key| VerifierKey::parse(key).ok()))
}

fn checked(dir: &Path, report: &Report) -> CheckedLog {
    CheckedLog {
        dir: dir.to_owned(),
        origin: report.keys.first().name().as_str().to_owned(),
        size: report.head.size,
        root: STANDARD.encode(report.head.root),
        published_size: report.published.map(|head| head.size),
        checkpoints: report.checkpoints,
        keys: report.keys.keys().map(ToString::to_string).collect(),
        unacknowledged_entries: report.abandoned,
        unfinished_bytes: report.unfinished_bytes,
        has_segments: report.has_segments,
    }
}

fn check_proof(session: &Session, path: &Path, given: &[VerifierKey]) -> Result<(), Failure> {
    let malformed = |why: &str| Failure::local(format!("{} is not a proof: {why}", path.display()));
    let text = input::text_file(path, PROOF_LIMIT)?;
    let proof: Proof =
        serde_json::from_str(&text).map_err(|_| malformed("it is not what 'coffer audit prove' prints"))?;
    let entry = STANDARD.decode(&proof.entry).map_err(|_| malformed("the entry is no base64"))?;
    let file = ProofFile::parse(proof.proof.as_bytes()).map_err(|error| malformed(&error.to_string()))?;
    let own = [VerifierKey::parse(&proof.vkey).map_err(|error| malformed(&error.to_string()))?];
    let keys = if given.is_empty() { &own } else { given };
    let Some(origin) = keys.first().map(VerifierKey::name) else { return Err(malformed("it names no key")) };
    let checkpoint = file.verify(&entry, origin, keys).map_err(|error| match &error {
        ProofFileError::Checkpoint(_) => Failure::new(Exit::Integrity, format!("the proof does not hold: {error}"))
            .hint("after a change of the log's key, --vkey is needed for the key that signed as well"),
        ProofFileError::Malformed(_) | ProofFileError::Proof(_) => {
            Failure::new(Exit::Integrity, format!("the proof does not hold: {error}"))
        }
    })?;
    session.output.bytes(payload(&entry))?;
    session.output.bytes(b"\n")?;
    session.output.note(format!("entry {} of {}, among {}", file.index, origin.as_str(), checkpoint.head.size));
    Ok(())
}

const CHECKPOINT_LIMIT: usize = 128 << 10;
const KEYS_LIMIT: u64 = 1 << 20;
const PROOF_LIMIT: usize = 1 << 20;
