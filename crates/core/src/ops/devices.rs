//! The log as what other servers call an audit device: there is the one, and it cannot be switched off.

use coffer_crypto::hash::HmacKey;

use crate::{
    Caller, Error,
    caller::Done,
    policy::{Operation, Parameters},
};

/// Where the log stands among audit devices.
pub const AUDIT_DEVICE: &str = "log/";

/// The keyed hash by which a value is found in the log.
#[derive(Clone, Copy, Debug)]
pub struct AuditHash {
    /// HMAC-SHA256 under the key that hashes values now.
    pub hmac: [u8; 32],
    /// That key's number.
    pub key: u32,
}

impl Caller {
    /// Whether the caller may see the audit devices, of which there is [`AUDIT_DEVICE`].
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read and sudo on `sys/audit`.
    pub async fn audit_device_list(&self) -> Result<(), Error> {
        let path = "sys/audit";
        self.recorded(self.record("audit.read", path), async {
            self.authorise(path, Operation::Read, &()).map(|_| Done::Unlogged(()))
        })
        .await
    }

    /// Refuses to switch the log off; where there is no such device, nothing is left to do.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete and sudo on `sys/audit/{device}`; [`coffer_api::Code::Invalid`] for
    /// the log.
    pub async fn audit_device_disable(&self, device: &str) -> Result<(), Error> {
        let path = format!("sys/audit/{device}");
        self.recorded(self.record("audit.disable", &path), async {
            self.authorise(&path, Operation::Delete, &())?;
            if device.trim_end_matches('/') == AUDIT_DEVICE.trim_end_matches('/') {
                return Err(Error::invalid(
                    "cannot disable the audit log: it is always on, and set in the configuration ([audit])",
                ));
            }
            Ok(Done::Unlogged(()))
        })
        .await
    }

    /// The keyed hash that the log holds of a value.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `sys/audit-hash/{device}`; [`coffer_api::Code::Invalid`] where
    /// there is no such device.
    pub async fn audit_hash(
        &self,
        device: &str,
        input: &[u8],
        parameters: &dyn Parameters,
    ) -> Result<AuditHash, Error> {
        let path = format!("sys/audit-hash/{device}");
        self.recorded(self.record("audit.hash", &path), async {
            self.authorise(&path, Operation::Update, parameters)?;
            let device = format!("{}/", device.trim_end_matches('/'));
            if device != AUDIT_DEVICE {
                return Err(Error::invalid(format!("unknown audit backend {device:?}")));
            }
            let (key, hmac): (u32, std::sync::Arc<HmacKey>) = self.active.keyrings.audit.current()?;
            Ok(Done::Unlogged(AuditHash { hmac: hmac.mac(&[input]), key }))
        })
        .await
    }
}
