//! What a context makes of a key, as far as anybody may know it.

use std::collections::BTreeMap;

use coffer_crypto::keys::{Algorithm, PublicKey};
use zeroize::Zeroizing;

use super::{
    super::{keys_path, state::KeyState, view::KeyView},
    input::Input,
};
use crate::{Caller, Error, caller::Done, mount::Mount, policy::Operation};

impl Caller {
    /// A key, and the public keys that a context makes of the versions of a derived one that signs.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `{mount}keys/{name}`; [`coffer_api::Code::NotFound`] without such a
    /// key; [`coffer_api::Code::Invalid`] where the context is no base64.
    pub async fn key_read_derived(
        &self,
        mount: &Mount,
        name: &str,
        context: Input<'_>,
    ) -> Result<(KeyView, BTreeMap<u32, PublicKey>), Error> {
        let logical = keys_path(mount, name, None);
        self.recorded(self.record("key.read", &logical), async {
            self.authorise(&logical, Operation::Read, &())?;
            let key = self.active.loaded_key(mount, name).await?.ok_or_else(Error::not_found)?;
            let mut buffer = Zeroizing::default();
            let context = context.bytes(&mut buffer);
            let context = context
                .map_err(|_| Error::invalid("context is no base64 text").in_vault("failed to base64-decode context"))?;
            let mut made = BTreeMap::new();
            if key.entry.derived && key.entry.algorithm == Algorithm::Ed25519 && !context.is_empty() {
                let floor = key.entry.min_decryption.max(key.entry.min_available);
                let is_shown = |state| state != KeyState::Destroyed;
                let there =
                    key.entry.versions.iter().filter(|version| version.number >= floor && is_shown(version.state));
                for version in there {
                    let loaded = key.version(&self.active, version.number).await?;
                    let derived = loaded.key.derive(context)?;
                    made.extend(derived.public().map(|public| (version.number, public.clone())));
                }
            }
            Ok(Done::Unlogged((self.active.key_view(&key.entry).await?, made)))
        })
        .await
    }

    /// What a key is, for the answer to a caller who was granted something of it. It is not recorded, and tells nobody
    /// that there is such a key who does not know it.
    ///
    /// # Errors
    /// [`coffer_api::Code::NotFound`] where it is gone.
    pub async fn key_algorithm(&self, mount: &Mount, name: &str) -> Result<Algorithm, Error> {
        let key = self.active.loaded_key(mount, name).await?.ok_or_else(Error::not_found)?;
        Ok(key.entry.algorithm)
    }
}
