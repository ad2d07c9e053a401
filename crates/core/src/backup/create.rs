//! Making a backup while the server goes on.

use std::{
    io::{self, Write},
    sync::Arc,
};

use coffer_api::Code;
use coffer_crypto::{
    Secret, Zeroizing,
    age::{Encryptor, Recipient, Sealer},
    hash::Sha256,
    sign::SigningKey,
};
use coffer_storage::{Key, Limit, Prefix, Snapshot};
use serde_json::{Map, Value};
use tokio::{
    runtime::Handle,
    sync::{OwnedMutexGuard, watch},
};
use uuid::Uuid;

use super::{
    MANIFEST, Manifest, Needs, Part, PartInfo,
    manifest::hex,
    pack::Output,
    parts::{RowsWriter, begin_log, push_log_entry, write_seal_key},
};
use crate::{
    Caller, Core, Error,
    activate::{LogRow, log_key_row},
    active::Active,
    barrier, codec, keys,
    outbox::{self, LogHead},
    policy::Operation,
    record::Record,
    seal::{FileSeal, SealKind, root::RootRow},
    tlog::{
        Head,
        checkpoint::sign_head,
        merkle::{Frontier, leaf_hash},
        note::{KeyName, NoteSigner},
        rotation::KeyChain,
    },
};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct BackupWanted {
    /// To whom it is encrypted, `age1…`.
    pub recipient: String,
    /// Whether the file seal's key is to be in it.
    pub seal_key: SealKeyPart,
}

/// Whether the file seal's key is in a backup: with it, whoever opens the backup has every secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SealKeyPart {
    /// It is.
    Enclosed,
    /// It is not.
    LeftOut,
}

/// A backup about to be made: its revision stands.
pub struct Backup {
    active: Arc<Active>,
    snapshot: Box<dyn Snapshot>,
    recipient: Recipient,
    manifest: Manifest,
    head: Head,
    chain: KeyChain,
    signer: NoteSigner,
    seal_key: Option<Zeroizing<String>>,
    /// That of its end, but for what came of it.
    record: Record,
    /// One at a time.
    _turn: OwnedMutexGuard<()>,
}

/// See [`Backup::given_up`].
#[derive(Clone)]
pub struct GivenUp(watch::Receiver<bool>);

impl GivenUp {
    /// Waits for it.
    pub async fn wait(&mut self) {
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

impl Core {
    /// Begins a backup for a caller: fixes its revision, and says what it will be. It is authorised and recorded then;
    /// [`Backup::run`] makes it.
    ///
    /// # Errors
    /// [`Code::Denied`] without read and sudo on `sys/backup`, and, where the seal's key is asked for, on
    /// `sys/backup/seal-key`; [`Code::Invalid`] for a recipient that is none, or a seal that has no key file;
    /// [`Code::Conflict`] while another backup is made; [`Code::Unavailable`] where the store has no snapshot to give.
    pub async fn backup(&self, caller: &Caller, wanted: &BackupWanted) -> Result<Backup, Error> {
        let path = "sys/backup";
        let mut record = caller.record("backup.create", path).fact("recipient", shown(&wanted.recipient));
        let mut parameters = Map::new();
        parameters.insert("recipient".to_owned(), Value::String(wanted.recipient.clone()));
        if wanted.seal_key == SealKeyPart::Enclosed {
            parameters.insert("with_seal_key".to_owned(), Value::Bool(true));
            record = record.fact("with_seal_key", "true");
        }
        let begun = async {
            caller.active.may_read()?;
            caller.authorise(path, Operation::Read, &parameters)?;
            if wanted.seal_key == SealKeyPart::Enclosed {
                caller.authorise("sys/backup/seal-key", Operation::Read, &parameters)?;
            }
            let end = caller.record("backup.end", path);
            Backup::begin(Arc::clone(&caller.active), &self.seal, wanted, end).await
        };
        match begun.await {
            Ok(backup) => {
                let record = backup.named(record);
                caller.active.log_synced(&record).await?;
                Ok(backup)
            }
            Err(error) => Err(caller.failed(record, error).await),
        }
    }

    /// As [`Core::backup`], by the schedule.
    pub(crate) async fn backup_scheduled(
        active: &Arc<Active>,
        seal: &FileSeal,
        recipient: &str,
    ) -> Result<Backup, Error> {
        let wanted = BackupWanted { recipient: recipient.to_owned(), seal_key: SealKeyPart::LeftOut };
        let end = Record::system("backup.end");
        let backup = Backup::begin(Arc::clone(active), seal, &wanted, end).await?;
        let record = backup.named(Record::system("backup.create").fact("recipient", shown(recipient)));
        active.log_synced(&record).await?;
        Ok(backup)
    }
}

impl Backup {
    async fn begin(active: Arc<Active>, seal: &FileSeal, wanted: &BackupWanted, record: Record) -> Result<Self, Error> {
        let recipient = Recipient::parse(&wanted.recipient).map_err(|error| Error::invalid(error.to_string()))?;
        let turn = Arc::clone(&active.backing_up).try_lock_owned();
        let turn = turn.map_err(|_| Error::new(Code::Conflict, "another backup is being made"))?;
        // So that a checkpoint of the log that anybody had before is none that the backup is older than.
        outbox::register(&active).await?;
        let snapshot = active.store.snapshot(active.limits.backup_growth).await?;
        let root = find(snapshot.as_ref(), keys::ROOT).await?;
        let root = root.ok_or_else(|| Error::internal("the store has no root key"))?;
        let root: RootRow = codec::decode(keys::ROOT, &root)?;
        let (needs, seal_key) = needs(&root, seal, wanted.seal_key)?;

        let head_row = format!("{}{}", keys::LOG_HEAD, active.node);
        let head: LogHead = opened(&active, snapshot.as_ref(), &head_row).await?;
        let head = Head { size: head.size, root: head.root };
        let log_row = format!("{}{}", keys::LOG, active.node);
        let log: LogRow = opened(&active, snapshot.as_ref(), &log_row).await?;
        let signer = signer(&active, snapshot.as_ref(), &log).await?;
        let chain = active.log.keys().until(head.size);
        // A checkpoint right at a change of key would want both.
        if chain.signers_of(head.size) != [signer.verifier()] {
            return Err(Error::new(Code::Conflict, "the log's key is being changed; try again"));
        }
        let manifest = Manifest {
            backup: Uuid::new_v4(),
            cluster: root.cluster_id,
            made_ms: active.clock.now(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
            revision: snapshot.revision().0,
            recipient: recipient.to_string(),
            needs,
            first_vkey: active.first_vkey.clone(),
            vkey: signer.verifier().to_string(),
            checkpoint: sign_head(signer.verifier().name(), &head, [&signer]),
            parts: Vec::new(),
        };
        Ok(Self { active, snapshot, recipient, manifest, head, chain, signer, seal_key, record, _turn: turn })
    }

    /// Ends once whoever writes this backup out is to give it up: the node is sealed, stopped or leads no more.
    pub fn given_up(&self) -> GivenUp {
        GivenUp(self.active.stop.subscribe())
    }

    /// What it will be; its parts are not known yet.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn named(&self, record: Record) -> Record {
        let record = record.fact("backup", self.manifest.backup.to_string());
        record.fact("revision", self.manifest.revision.to_string()).fact("log_size", self.head.size.to_string())
    }

    /// Makes it, and records how it ended. Blocks, and waits for the store meanwhile: for a thread that may, inside a
    /// runtime. Memory does not grow with the store.
    ///
    /// # Errors
    /// What the output returns, as [`Code::Unavailable`]; where the store or the log cannot be read, the snapshot was
    /// ended, or the node stops being active. What was put out by then is no backup.
    pub fn run(self, output: &mut dyn Output) -> Result<Manifest, Error> {
        let Self { active, snapshot, recipient, mut manifest, head, chain, signer, seal_key, record, _turn } = self;
        let mut record =
            record.fact("backup", manifest.backup.to_string()).fact("revision", manifest.revision.to_string());
        let making = Making { active: &active, recipient: &recipient, backup: manifest.backup };
        let made = (|| {
            let rows = making.rows(output, snapshot.as_ref(), manifest.revision)?;
            // What was overwritten meanwhile need not be kept any longer.
            drop(snapshot);
            manifest.parts.extend(rows);
            manifest.parts.push(making.log(output, head, &chain, &manifest.checkpoint)?);
            if let Some(text) = &seal_key {
                manifest.parts.push(making.seal_key(output, text)?);
            }
            let text = manifest.signed(&signer);
            let put = output.begin(MANIFEST).and_then(|()| output.write(text.as_bytes())).and_then(|()| output.end());
            put.map_err(unwritten)
        })();
        // Whatever could not be written then, that is why.
        let made = made.map_err(|error| making.go_on().err().unwrap_or(error));
        for info in &manifest.parts {
            let fact = match info.part {
                Part::Store => "store",
                Part::ObjectKeys => "object_keys",
                Part::Log => "log",
                Part::SealKey => "seal_key",
            };
            record = record.fact(fact, hex(&info.digest));
        }
        if let Err(error) = &made {
            record.fail(error);
        }
        Handle::current().block_on(active.log_synced(&record))?;
        made.map(|()| manifest)
    }
}

struct Making<'a> {
    active: &'a Active,
    recipient: &'a Recipient,
    backup: Uuid,
}

impl Making<'_> {
    /// The rows, those of object keys apart.
    fn rows(&self, output: &mut dyn Output, snapshot: &dyn Snapshot, revision: u64) -> Result<[PartInfo; 2], Error> {
        let object_keys = Prefix::new(keys::OBJECT)?;
        let is_object_key = |key: &Key| key.as_bytes().starts_with(keys::OBJECT.as_bytes());
        let mut one = |part, prefix: &Prefix, leave_out: &dyn Fn(&Key) -> bool| {
            self.part(output, part, |part| {
                let mut rows = RowsWriter::new(part, self.backup, revision).map_err(unwritten)?;
                let mut after: Option<Key> = None;
                loop {
                    self.go_on()?;
                    let page = Handle::current().block_on(snapshot.scan(prefix, after.as_ref(), Limit::MAX))?;
                    for (key, entry) in page.items.iter().filter(|(key, _)| !leave_out(key)) {
                        rows.push(key, entry).map_err(unwritten)?;
                    }
                    after = page.items.last().map(|(key, _)| key.clone());
                    if !page.more {
                        return Ok(rows.finish().map_err(unwritten)?.1);
                    }
                }
            })
        };
        Ok([one(Part::Store, &Prefix::new("")?, &is_object_key)?, one(Part::ObjectKeys, &object_keys, &|_| false)?])
    }

    /// The log's entries up to what the store registers, which must have the root that it registers.
    fn log(&self, output: &mut dyn Output, head: Head, chain: &KeyChain, checkpoint: &str) -> Result<PartInfo, Error> {
        self.part(output, Part::Log, |mut part| {
            begin_log(&mut part, self.backup, head.size, &chain.to_text(), checkpoint).map_err(unwritten)?;
            let mut frontier = Frontier::new();
            while frontier.size() < head.size {
                self.go_on()?;
                let left = usize::try_from(head.size - frontier.size()).unwrap_or(usize::MAX);
                let entries = self.active.log.read(frontier.size(), left.min(ENTRIES)).map_err(Error::internal)?;
                if entries.is_empty() {
                    return Err(Error::new(Code::Integrity, "the audit log is shorter than the store knows it"));
                }
                for (_, entry) in &entries {
                    push_log_entry(&mut part, entry).map_err(unwritten)?;
                    frontier.push(leaf_hash(entry));
                }
            }
            match frontier.root() == head.root {
                true => Ok(head.size),
                false => Err(Error::new(Code::Integrity, "the audit log is not what the store knows it to be")),
            }
        })
    }

    fn seal_key(&self, output: &mut dyn Output, text: &str) -> Result<PartInfo, Error> {
        self.part(output, Part::SealKey, |mut part| {
            write_seal_key(&mut part, self.backup, text).map_err(unwritten)?;
            Ok(1)
        })
    }

    /// One part, encrypted; `fill` writes what is in it, and tells how many items that are.
    fn part(
        &self,
        output: &mut dyn Output,
        part: Part,
        fill: impl FnOnce(&mut Encryptor<Measured<'_>>) -> Result<u64, Error>,
    ) -> Result<PartInfo, Error> {
        output.begin(&part.file()).map_err(unwritten)?;
        let measured = Measured { output, digest: Sha256::new(), len: 0 };
        let mut encryptor = Encryptor::new(Sealer::Recipient(self.recipient), measured).map_err(unwritten)?;
        let items = fill(&mut encryptor)?;
        let Measured { digest, len, output } = encryptor.finish().map_err(unwritten)?;
        output.end().map_err(unwritten)?;
        Ok(PartInfo { part, len, digest: digest.finish(), items })
    }

    /// Whoever seals the node or takes its place waits for nobody's backup.
    fn go_on(&self) -> Result<(), Error> {
        if *self.active.stop.borrow() {
            return Err(Error::new(Code::Unavailable, "the node stopped being active during the backup"));
        }
        self.active.lease.check()
    }
}

/// What goes out, measured.
struct Measured<'a> {
    output: &'a mut dyn Output,
    digest: Sha256,
    len: u64,
}

impl Write for Measured<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)?;
        self.digest.update(bytes);
        self.len += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What opens the restored store, and the key file's text where it is to be enclosed.
fn needs(
    root: &RootRow,
    seal: &FileSeal,
    wanted: SealKeyPart,
) -> Result<(Vec<Needs>, Option<Zeroizing<String>>), Error> {
    let mut needs = Vec::new();
    let mut enclosed = None;
    if root.check(SealKind::File).is_ok() {
        let path = seal.path().canonicalize().unwrap_or_else(|_| seal.path().to_owned());
        let path: String = path.display().to_string().chars().filter(|c| !c.is_control()).collect();
        needs.push(match (wanted, seal.opened()) {
            // The file itself may be there for the start alone.
            (SealKeyPart::LeftOut, Some(id)) => Needs::KeyFile { id, path },
            // While the store is on its way to a key file, the file is there as well.
            (SealKeyPart::LeftOut, None) => Needs::KeyFile { id: FileSeal::id(&key_in(seal)?), path },
            (SealKeyPart::Enclosed, opened) => {
                let key = key_in(seal)?;
                let id = FileSeal::id(&key);
                if opened.is_some_and(|opened| opened != id) {
                    return Err(Error::new(
                        Code::Unavailable,
                        "the seal key file is not the one that opened the store",
                    ));
                }
                enclosed = Some(FileSeal::text(&key));
                Needs::Enclosed { id }
            }
        });
    }
    if let Ok(split) = root.split() {
        needs.push(Needs::Shares { threshold: split.threshold(), shares: split.shares() });
    }
    match (wanted, &enclosed) {
        (SealKeyPart::Enclosed, None) => Err(Error::invalid("this store is sealed with shares: there is no key file")),
        (SealKeyPart::Enclosed | SealKeyPart::LeftOut, _) => Ok((needs, enclosed)),
    }
}

fn key_in(seal: &FileSeal) -> Result<Secret, Error> {
    let unreadable = |error: crate::FileSealError| {
        Error::new(Code::Unavailable, "the seal key file cannot be read").caused_by(error)
    };
    let key = seal.read().map_err(unreadable)?;
    key.ok_or_else(|| Error::new(Code::Unavailable, "the seal key file is not there"))
}

/// The key that signs the log, as the snapshot has it.
async fn signer(active: &Active, snapshot: &dyn Snapshot, log: &LogRow) -> Result<NoteSigner, Error> {
    let row = log_key_row(&active.node, log.key_number);
    let wrapped = find(snapshot, &row).await?.ok_or_else(|| Error::internal("the log's key is missing"))?;
    let seed = barrier::unwrap_under_root(&active.root, &row, &wrapped)?;
    let name = KeyName::new(&log.origin).map_err(Error::internal)?;
    Ok(NoteSigner::new(name, SigningKey::from_seed(&seed)?))
}

async fn opened<T: codec::Persisted>(active: &Active, snapshot: &dyn Snapshot, row: &str) -> Result<T, Error> {
    let sealed = find(snapshot, row).await?;
    let sealed = sealed.ok_or_else(|| Error::internal(format!("the row {row:?} is missing")))?;
    codec::decode(row, &active.barrier.open(row, &sealed)?)
}

async fn find(snapshot: &dyn Snapshot, row: &str) -> Result<Option<bytes::Bytes>, Error> {
    let page = snapshot.scan(&Prefix::new(row)?, None, Limit::new(1)?).await?;
    let found = page.items.into_iter().find(|(key, _)| key.as_bytes() == row.as_bytes());
    Ok(found.map(|(_, entry)| entry.value))
}

/// A recipient as records show it, whatever was sent.
fn shown(recipient: &str) -> String {
    recipient.chars().filter(|c| !c.is_control()).take(80).collect()
}

fn unwritten(error: io::Error) -> Error {
    Error::new(Code::Unavailable, "the backup could not be written").caused_by(error)
}

/// Entries of the log read at once.
const ENTRIES: usize = 4096;
