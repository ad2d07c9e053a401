//! Keys that two parties agree on: a key of ours on one of NIST's curves and a public key of theirs make one that both have.

use coffer_crypto::keys::{Algorithm, KeyMaterial, PublicKey, Usage};

use super::super::{
    create::{KeyCreate, key_record},
    entry::Usages,
    keys_path,
    state::KeyState,
    store::{NewVersion, StoredMaterial},
    view::KeyView,
};
use crate::{
    Caller, Dialect, Error,
    caller::Done,
    commit::Edit,
    mount::Mount,
    policy::{Operation, Parameters},
};

/// What a key is agreed on with.
#[derive(Clone, Copy, Debug)]
pub struct KeyAgreement<'a> {
    /// The name of our key.
    pub base: &'a str,
    /// The version of it; `None` is the highest.
    pub base_version: Option<u32>,
    /// Their public key.
    pub peer_pem: &'a str,
    /// What the key is to be that comes of it: one that encrypts.
    pub algorithm: Algorithm,
}

impl Caller {
    /// Agrees on a key and keeps it as `name`: as a new key, or as the next version of one that is there.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}derive-key/{name}`, and natively on `{mount}keys/{base}/agree`;
    /// [`coffer_api::Code::NotFound`] without our key; [`coffer_api::Code::Invalid`] where the two keys are of different
    /// curves or of none, the version or the type does not fit, or natively the key is not for the usage derive;
    /// [`coffer_api::Code::KeyState`].
    pub async fn key_agree(
        &self,
        mount: &Mount,
        name: &str,
        agreement: KeyAgreement<'_>,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let record = self.record("key.agree", format!("{}derive-key/{name}", mount.path));
        self.recorded(record.clone(), async {
            self.authorise(&record.path, Operation::Update, parameters)?;
            match self.cx.dialect {
                Dialect::Native => {
                    self.authorise(&keys_path(mount, agreement.base, Some("agree")), Operation::Update, &())?;
                }
                // Its clients have no such path.
                Dialect::Vault => {}
            }
            let active = &self.active;
            let material = self.agreed(mount, agreement).await?;
            let mut create = KeyCreate::transit(agreement.algorithm);
            create.imported = true;
            create.allow_rotation = false;
            let record = record.fact("base_key", agreement.base);
            let guard = active.key_lock(mount.id, name).await;
            let mut edit = Edit::under(guard);
            let Some(found) = active.key_entry(mount.id, name).await? else {
                let usages = create.usages.unwrap_or_else(|| Usages::of(create.algorithm));
                let version = NewVersion::Secret(StoredMaterial::with_usages(usages, material)?);
                let (entry, logged) = active.key_make(mount.id, name, &create, vec![version], edit, record).await?;
                return Ok(Done::Logged(active.key_view(&entry).await?, logged));
            };
            let mut entry = found.value.clone();
            entry.check_enabled()?;
            if entry.algorithm != agreement.algorithm {
                return Err(Error::invalid("the key that is there is of another type than the derived one"));
            }
            let now = active.clock.now();
            let version = NewVersion::Secret(StoredMaterial::with_usages(entry.usages, material)?);
            let number = active.new_version(&mut entry, &version, KeyState::Active, &mut edit)?;
            entry.make_primary(number, now)?;
            entry.updated_ms = now;
            active.key_put(Some(&found), &entry, &mut edit)?;
            let mut record = key_record(record, &entry);
            record.version = Some(u64::from(number));
            let logged = self.commit(edit, record).await?;
            Ok(Done::Logged(active.key_view(&entry).await?, logged))
        })
        .await
    }

    /// The key that comes of it.
    async fn agreed(&self, mount: &Mount, agreement: KeyAgreement<'_>) -> Result<KeyMaterial, Error> {
        let base = self.active.key_entry(mount.id, agreement.base).await?.ok_or_else(Error::not_found)?.value;
        let curve = base.algorithm;
        if !CURVES.contains(&curve) {
            let vault = format!("base key type {} does not support key agreement", curve.name());
            let native = format!("keys of the algorithm {} agree on none; ecdsa-p256 and its like do", curve.name());
            return Err(Error::invalid(native).in_vault(vault));
        }
        let number = agreement.base_version.unwrap_or(base.latest);
        if number > base.latest {
            let vault = "requested version of the base key is higher than the latest key version";
            return Err(Error::invalid("the base key has no such version yet").in_vault(vault));
        }
        let usage = match self.cx.dialect {
            Dialect::Native => Usage::Derive,
            Dialect::Vault => Usage::Sign,
        };
        let number = base.for_protect(usage, Some(number))?.number;
        let peer = PublicKey::from_pem(curve, agreement.peer_pem).map_err(|_| {
            let is_of_another = |other: &Algorithm| PublicKey::from_pem(*other, agreement.peer_pem).is_ok();
            if CURVES.iter().any(is_of_another) {
                let name = curve.name();
                let vault = format!("base private key type {name} does not match peer public key curve");
                let native = format!("the peer's public key is of another curve than {name}");
                return Error::invalid(native).in_vault(vault);
            }
            let vault = "failed to parse supplied peer public key PEM: data does not contain any valid public keys";
            Error::invalid("the peer's public key is no PEM of one").in_vault(vault)
        })?;
        let ours = self.active.key_material(&base, number).await?.material;
        Ok(ours.agree(&peer, agreement.algorithm)?)
    }
}

/// Whose keys agree on others.
pub(in super::super) const CURVES: [Algorithm; 3] = [Algorithm::EcdsaP256, Algorithm::EcdsaP384, Algorithm::EcdsaP521];
