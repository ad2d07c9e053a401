//! Keys that are put aside, as OpenBao's transit has it: they are shown and configured, and not used until they are taken
//! up again.

use super::{create::key_record, keys_path, view::KeyView};
use crate::{
    Caller, Error, Mount,
    caller::Done,
    commit::Edit,
    policy::{Operation, Parameters},
};

impl Caller {
    /// Puts a key aside. Gives it, and whether that changed it.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on `{mount}keys/{name}/soft-delete`; [`coffer_api::Code::NotFound`]
    /// without such a key.
    pub async fn key_soft_delete(&self, mount: &Mount, name: &str) -> Result<(KeyView, bool), Error> {
        self.key_put_aside(mount, name, Aside::Delete, &()).await
    }

    /// Takes a key up again. Gives it, and whether that changed it.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}keys/{name}/soft-delete-restore`;
    /// [`coffer_api::Code::NotFound`] without such a key.
    pub async fn key_soft_restore(
        &self,
        mount: &Mount,
        name: &str,
        parameters: &dyn Parameters,
    ) -> Result<(KeyView, bool), Error> {
        self.key_put_aside(mount, name, Aside::Restore, parameters).await
    }

    async fn key_put_aside(
        &self,
        mount: &Mount,
        name: &str,
        aside: Aside,
        parameters: &dyn Parameters,
    ) -> Result<(KeyView, bool), Error> {
        let (verb, class, operation, wanted) = match aside {
            Aside::Delete => ("soft-delete", "key.soft_delete", Operation::Delete, true),
            Aside::Restore => ("soft-delete-restore", "key.soft_restore", Operation::Update, false),
        };
        let logical = keys_path(mount, name, Some(verb));
        let record = self.record(class, &logical);
        self.recorded(record.clone(), async {
            self.authorise(&logical, operation, parameters)?;
            let active = &self.active;
            let guard = active.key_lock(mount.id, name).await;
            let found = active.key_entry(mount.id, name).await?.ok_or_else(Error::not_found)?;
            if found.value.soft_deleted == wanted {
                return Ok(Done::Unlogged((active.key_view(&found.value).await?, false)));
            }
            let mut entry = found.value.clone();
            entry.soft_deleted = wanted;
            entry.updated_ms = active.clock.now();
            let mut edit = Edit::under(guard);
            active.key_put(Some(&found), &entry, &mut edit)?;
            let logged = self.commit(edit, key_record(record, &entry)).await?;
            Ok(Done::Logged((active.key_view(&entry).await?, true), logged))
        })
        .await
    }
}

/// What is asked.
#[derive(Clone, Copy)]
enum Aside {
    Delete,
    Restore,
}
