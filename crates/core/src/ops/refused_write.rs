//! What becomes of writes that mean nothing.

use crate::{
    AppRole, Caller, Error,
    engine::kv::{KvPath, data::write_operation},
    mount::{Mount, MountKind},
    policy::{Operation, Parameters},
};

impl Caller {
    /// As [`Caller::refuse_with`], for a write: whether it would have created something decides what the policies are
    /// asked.
    pub async fn refuse_write(&self, path: &str, parameters: &dyn Parameters, error: Error) -> Error {
        match self.operation_of_write(path).await {
            Ok(operation) => self.refuse_with(operation, path, parameters, error).await,
            Err(failed) => self.refuse_with(Operation::Update, path, parameters, failed).await,
        }
    }

    /// What a write at a path would be.
    async fn operation_of_write(&self, path: &str) -> Result<Operation, Error> {
        let Some(mount) = self.resolve(path) else { return Ok(Operation::Update) };
        let rest = path.strip_prefix(mount.path.as_str()).unwrap_or_default();
        let named = |place: &str| rest.strip_prefix(place).filter(|name| AppRole::is_name(name));
        let exists = match mount.kind {
            MountKind::Approle => match named("role/") {
                Some(name) => self.active.approle(&mount, name).await?.is_some(),
                None => true,
            },
            MountKind::Cubbyhole => self.cubbyhole_has(rest).await?,
            MountKind::Generic | MountKind::KvV1 => match KvPath::parse(rest) {
                Ok(path) => self.active.kv_load(&mount, path).await?.is_some(),
                Err(_) => false,
            },
            MountKind::KvV2 => return self.operation_of_kv_write(&mount, rest).await,
            MountKind::Token => match named("roles/") {
                Some(name) => self.active.token_role(name).await?.is_some(),
                None => true,
            },
            MountKind::Userpass => match named("users/") {
                Some(name) => self.active.user(&mount, name).await?.is_some(),
                None => true,
            },
            // Every write there is an update.
            MountKind::Identity | MountKind::System | MountKind::Transit => true,
        };
        Ok(if exists { Operation::Update } else { Operation::Create })
    }

    async fn operation_of_kv_write(&self, mount: &Mount, rest: &str) -> Result<Operation, Error> {
        let (area, key) = rest.split_once('/').unwrap_or_default();
        let loaded = match KvPath::parse(key) {
            Ok(key) => self.active.kv_load(mount, key).await?,
            Err(_) => None,
        };
        Ok(match (area, loaded) {
            ("data", loaded) => write_operation(loaded.as_ref()),
            ("metadata", None) => Operation::Create,
            (_, _) => Operation::Update,
        })
    }
}
