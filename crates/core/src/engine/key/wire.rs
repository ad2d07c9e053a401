//! The native API's words for keys, to and from the core's.

use std::sync::Arc;

use coffer_api::{Code, Page, keys as api};
use coffer_crypto::keys::{Algorithm, Usage};

use super::{
    configure::KeyConfigure,
    create::{Begin, KeyCreate},
    list::KeyFilter,
    operate::pem,
    settings::KeySettings,
    view::{KeyVersionView, KeyView},
};
use crate::{
    Caller, Error, Mount,
    caller::Done,
    mount::{MountEnable, MountKind},
    ops::list::ListPart,
    policy::{Operation, Parameters},
    time::rfc3339,
};

/// Where the native API keeps its keys.
const NATIVE: &str = "transit/";

impl Caller {
    /// The engine that the native API speaks of; asked for with an operation on a path below it.
    ///
    /// # Errors
    /// [`Code::Denied`] where the policies refuse that, recorded; [`Code::NotFound`] where no key engine is mounted there.
    pub async fn key_engine(&self, operation: Operation, below: &str) -> Result<Arc<Mount>, Error> {
        match self.native_engine() {
            Some(mount) => Ok(mount),
            None => {
                let error = Error::new(Code::NotFound, format!("no key engine is mounted at {NATIVE}"));
                Err(self.refuse(operation, &format!("{NATIVE}{below}"), error).await)
            }
        }
    }

    /// A page of the keys of the native API's engine. The first key mounts it: until then there are none.
    ///
    /// # Errors
    /// As [`Caller::key_list`].
    pub async fn native_key_list(&self, filter: &KeyFilter, part: ListPart<'_>) -> Result<Page<KeyView>, Error> {
        match self.native_engine() {
            Some(mount) => self.key_list(&mount, filter, part).await,
            None => {
                let logical = format!("{NATIVE}keys/");
                self.recorded(self.record("key.list", &logical), async {
                    self.authorise_list(&logical, part)?;
                    Ok(Done::Unlogged(Page { items: Vec::new(), next: None }))
                })
                .await
            }
        }
    }

    fn native_engine(&self) -> Option<Arc<Mount>> {
        self.active.mounts.at(NATIVE).filter(|mount| mount.kind == MountKind::Transit)
    }

    /// As [`Caller::key_engine`], for what may be the first of all: an engine is mounted where there is none. Update is asked
    /// for on the path below it.
    ///
    /// # Errors
    /// [`Code::Denied`] without update there, and where the engine must be mounted on `sys/mounts/transit`;
    /// [`Code::Invalid`] where another one lies in its place.
    pub async fn key_engine_for(&self, below: &str, parameters: &dyn Parameters) -> Result<Arc<Mount>, Error> {
        if self.active.mounts.at(NATIVE).is_none() {
            let logical = format!("{NATIVE}{below}");
            if let Err(error) = self.authorise(&logical, Operation::Update, parameters) {
                return Err(self.failed(self.record("request.refused", &logical), error).await);
            }
            let request = MountEnable { description: "keys".to_owned(), ..MountEnable::default() };
            let enabled = self.mount_enable(NATIVE, MountKind::Transit, request, &()).await;
            // Another first key may have come before.
            if self.native_engine().is_none() {
                enabled?;
            }
        }
        self.key_engine(Operation::Update, below).await
    }
}

impl TryFrom<&api::KeyCreate> for KeyCreate {
    type Error = Error;

    fn try_from(wire: &api::KeyCreate) -> Result<Self, Error> {
        let algorithm = wire.algorithm.as_deref().map_or(Ok(Algorithm::Xaes256Gcm), algorithm)?;
        let usages = wire.usages.as_ref().map(|names| names.iter().map(|name| usage(name)).collect()).transpose()?;
        Ok(Self {
            key_size: wire.key_size.unwrap_or(0),
            usages,
            tags: wire.tags.clone(),
            description: wire.description.clone(),
            exportable: wire.exportable,
            derived: wire.derived,
            convergent: wire.convergent,
            begin: begin(wire.pre_active),
            rotate_every_ms: milliseconds(wire.rotate_every),
            rotate_jitter_ms: wire.rotate_jitter.map(milliseconds),
            deactivate_on_rotate: wire.deactivate_on_rotate.unwrap_or(true),
            overlap_ms: wire.overlap.map(milliseconds),
            ..Self::native(algorithm)
        })
    }
}

impl From<&api::KeyConfigure> for KeyConfigure {
    fn from(wire: &api::KeyConfigure) -> Self {
        Self {
            min_decryption: wire.min_decryption_version.map(i64::from),
            min_encryption: wire.min_encryption_version.map(i64::from),
            deletion_allowed: wire.deletion_allowed,
            exportable: wire.exportable,
            allow_plaintext_backup: wire.allow_plaintext_backup,
            rotate_every_ms: wire.rotate_every.map(milliseconds),
            rotate_jitter_ms: wire.rotate_jitter.map(milliseconds),
            deactivate_on_rotate: wire.deactivate_on_rotate,
            overlap_ms: wire.overlap.map(milliseconds),
            tags: wire.tags.clone(),
            description: wire.description.clone(),
        }
    }
}

impl From<&KeyView> for api::Key {
    fn from(key: &KeyView) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            algorithm: key.algorithm.name().to_owned(),
            key_size: (key.key_size > 0).then_some(key.key_size),
            usages: key.usages.iter().map(|usage| usage.name().to_owned()).collect(),
            tags: key.tags.clone(),
            description: key.description.clone(),
            created_time: rfc3339(key.created_ms),
            updated_time: rfc3339(key.updated_ms),
            deleted_time: key.deleted_ms.map(rfc3339),
            enabled: key.enabled,
            exportable: key.exportable,
            allow_plaintext_backup: key.allow_plaintext_backup,
            deletion_allowed: key.deletion_allowed,
            derived: key.derived,
            convergent: key.convergent,
            imported: key.imported,
            rotate_every: seconds(key.rotate_every_ms),
            rotate_time: key.rotate_at_ms.map(rfc3339),
            deactivate_on_rotate: key.deactivate_on_rotate,
            overlap: seconds(key.overlap_ms),
            min_decryption_version: key.min_decryption,
            min_encryption_version: key.min_encryption,
            primary_version: key.primary,
            latest_version: key.latest,
            versions: key.versions.iter().map(api::KeyVersion::from).collect(),
        }
    }
}

impl From<&KeyVersionView> for api::KeyVersion {
    fn from(version: &KeyVersionView) -> Self {
        Self {
            version: version.number,
            state: version.state.name().to_owned(),
            fingerprint: version.fingerprint.clone(),
            created_time: rfc3339(version.created_ms),
            activated_time: version.activated_ms.map(rfc3339),
            deactivated_time: version.deactivated_ms.or(version.deactivate_at_ms).map(rfc3339),
            compromised_time: version.compromised_ms.map(rfc3339),
            compromise_reason: version.compromise_reason.clone(),
            destroyed_time: version.destroyed_ms.or(version.destroy_at_ms).map(rfc3339),
            attested_time: version.attested_ms.map(rfc3339),
            // X-Wing has no such form; its bytes are told by the export of public keys.
            public_key: version.public.as_ref().and_then(|public| public.pem().ok()),
            certificate_chain: (!version.chain.is_empty())
                .then(|| version.chain.iter().map(|der| pem::encode("CERTIFICATE", der)).collect()),
        }
    }
}

impl From<&KeySettings> for api::KeySettings {
    fn from(settings: &KeySettings) -> Self {
        let windows = settings.destroy_windows.iter().map(|(tag, wait)| (tag.clone(), seconds(*wait)));
        Self { destroy_after: windows.collect() }
    }
}

impl KeySettings {
    /// Takes what the native API sets.
    pub fn set(&mut self, wire: &api::KeySettings) {
        let windows = wire.destroy_after.iter().map(|(tag, wait)| (tag.clone(), milliseconds(*wait)));
        self.destroy_windows = windows.collect();
    }
}

impl From<&api::KeyRotate> for Begin {
    fn from(wire: &api::KeyRotate) -> Self {
        begin(wire.pre_active)
    }
}

fn begin(pre_active: bool) -> Begin {
    if pre_active { Begin::PreActive } else { Begin::Active }
}

fn algorithm(name: &str) -> Result<Algorithm, Error> {
    Algorithm::parse(name).ok_or_else(|| no_such_algorithm(name))
}

fn usage(name: &str) -> Result<Usage, Error> {
    Usage::parse(name).ok_or_else(|| {
        let known: Vec<&str> = Usage::ALL.into_iter().map(Usage::name).collect();
        Error::invalid(format!("no usage is called {:?}; there are {}", clip(name), known.join(", ")))
    })
}

/// The error of a name that no algorithm has: it tells those there are.
pub fn no_such_algorithm(name: &str) -> Error {
    let known: Vec<&str> = Algorithm::ALL.into_iter().map(Algorithm::name).collect();
    Error::invalid(format!("no algorithm is called {:?}; there are {}", clip(name), known.join(", ")))
}

fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}

/// Beyond what time there is the longest; its bounds are checked where it is used.
fn milliseconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
}

fn seconds(ms: i64) -> u64 {
    u64::try_from(ms / 1000).unwrap_or(0)
}
