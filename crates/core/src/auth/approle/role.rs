//! Roles: create, read, change, list, delete.

use coffer_crypto::rng;
use coffer_storage::Expect;
use uuid::Uuid;

use super::{AppRole, Marker, RoleIdRow, role_id_row, role_row};
use crate::{
    Caller, Error, Mount,
    auth::login::one_error,
    caller::Done,
    codec,
    commit::Edit,
    keys,
    mount::signed,
    ops::list::ListPart,
    policy::{Operation, Parameters},
    time::go_seconds,
};

impl Caller {
    /// A role, or `None`; `field` is the sub-path by which one of its settings is asked for.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `{mount}role/{name}` (and below it, the field).
    pub async fn approle_read(&self, mount: &Mount, name: &str, field: Option<&str>) -> Result<Option<AppRole>, Error> {
        let path = role_path(mount, name, field);
        self.recorded(self.record("approle.read", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            Ok(Done::Unlogged(self.active.approle(mount, name).await?.map(|found| found.value)))
        })
        .await
    }

    /// Creates a role or changes one, as a whole or by the sub-path of a field (which changes roles alone). Gives what
    /// the caller should know.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without create or update on the path; [`coffer_api::Code::Invalid`] where the role
    /// could not be used as it would be; [`coffer_api::Code::NotFound`] for a field of no role.
    pub async fn approle_write(
        &self,
        mount: &Mount,
        name: &str,
        field: Option<&str>,
        parameters: &dyn Parameters,
        change: impl FnOnce(&mut AppRole) -> Result<(), Error>,
    ) -> Result<Vec<String>, Error> {
        let path = role_path(mount, name, field);
        let record = self.record("approle.write", &path);
        self.recorded(record.clone(), async {
            let row = role_row(mount, name)?;
            // Of the mount: a role id stands for one role.
            let guard = self.active.locks.lock(&[&row, &ids_of(mount)]).await;
            let known = self.active.row::<AppRole>(&row).await?;
            let operation = match (&known, field) {
                (None, None) => Operation::Create,
                (None, Some(_)) | (Some(_), _) => Operation::Update,
            };
            self.authorise(&path, operation, parameters)?;
            let expect = known.as_ref().map_or(Expect::Absent, |found| Expect::Revision(found.revision));
            let mut role = match (known, field) {
                (Some(found), _) => found.value,
                (None, None) => new_role()?,
                (None, Some(_)) => {
                    return Err(Error::new(coffer_api::Code::NotFound, one_error("unsupported path")));
                }
            };
            let before = (expect != Expect::Absent).then(|| (role.role_id.clone(), role.local_secret_ids));
            change(&mut role)?;
            self.check_field(mount, field, &role)?;
            role.settle()?;
            let warnings = self.warnings(mount, &role);
            let mut edit = Edit::under(guard);
            match before {
                Some((_, local)) if local != role.local_secret_ids => {
                    return Err(Error::invalid("local_secret_ids can only be modified during role creation"));
                }
                Some((id, _)) if id == role.role_id => {}
                other => {
                    let id_row = role_id_row(mount, &role.role_id);
                    if self.active.row::<RoleIdRow>(&id_row).await?.is_some() {
                        return Err(Error::invalid(one_error("role_id already in use")));
                    }
                    let named = RoleIdRow { name: name.to_lowercase() };
                    edit.put(id_row, codec::encode(&named)?, Some(Expect::Absent));
                    if let Some((old, _)) = other {
                        edit.delete(role_id_row(mount, &old), None);
                    }
                }
            }
            edit.put(row, codec::encode(&role)?, Some(expect));
            Ok(Done::Logged(warnings, self.commit(edit, record).await?))
        })
        .await
    }

    /// Sets a field of a role back by its sub-path; without the role there is nothing to do.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on the path; otherwise as [`Caller::approle_write`].
    pub async fn approle_reset(
        &self,
        mount: &Mount,
        name: &str,
        field: &str,
        reset: impl FnOnce(&mut AppRole),
    ) -> Result<(), Error> {
        let path = role_path(mount, name, Some(field));
        let record = self.record("approle.write", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Delete, &())?;
            let row = role_row(mount, name)?;
            let guard = self.active.locks.lock(&[&row]).await;
            let Some(found) = self.active.row::<AppRole>(&row).await? else { return Ok(Done::Unlogged(())) };
            let mut role = found.value;
            reset(&mut role);
            role.settle()?;
            let mut edit = Edit::under(guard);
            edit.put(row, codec::encode(&role)?, Some(Expect::Revision(found.revision)));
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Deletes a role, and with it every secret id; tokens it gave live on until they expire.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on `{mount}role/{name}`.
    pub async fn approle_delete(&self, mount: &Mount, name: &str) -> Result<(), Error> {
        let path = role_path(mount, name, None);
        let record = self.record("approle.delete", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Delete, &())?;
            let row = role_row(mount, name)?;
            let guard = self.active.locks.lock(&[&row, &ids_of(mount)]).await;
            let Some(found) = self.active.row::<AppRole>(&row).await? else { return Ok(Done::Unlogged(())) };
            let role = found.value;
            let mut edit = Edit::under(guard);
            edit.delete(row, Some(Expect::Revision(found.revision)));
            edit.delete(role_id_row(mount, &role.role_id), None);
            // They are out of reach from here on; what is left of them goes in the background.
            let purge = format!("{}{}/{}", keys::SECRET_ID_PURGE, mount.id, role.uid);
            edit.put(purge, codec::encode(&Marker {})?, None);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Names of roles.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `{mount}role/`.
    pub async fn approle_list(&self, mount: &Mount, part: ListPart<'_>) -> Result<Vec<String>, Error> {
        let path = format!("{}role/", mount.path);
        self.recorded(self.record("approle.list", &path), async {
            let part = self.authorise_list(&path, part)?;
            let prefix = format!("{}{}/", keys::APPROLE, mount.id);
            Ok(Done::Unlogged(self.active.list(&prefix, part).await?.items))
        })
        .await
    }

    /// What is told otherwise where a field is written alone.
    fn check_field(&self, mount: &Mount, field: Option<&str>, role: &AppRole) -> Result<(), Error> {
        let token = &role.token;
        let max = self.active.limits.lease_ttls(Some(mount)).max;
        match field {
            Some("token-ttl") if token.max_ttl > 0 && token.ttl > token.max_ttl => {
                Err(Error::invalid("token_ttl should not be greater than token_max_ttl"))
            }
            Some("period") if signed(token.period) > max => Err(Error::invalid(format!(
                "period of {:?} is greater than the backend's maximum lease TTL of {:?}",
                go_seconds(token.period),
                go_seconds(u64::try_from(max).unwrap_or_default())
            ))),
            Some(_) | None => Ok(()),
        }
    }

    fn warnings(&self, mount: &Mount, role: &AppRole) -> Vec<String> {
        let too_long = signed(role.token.max_ttl) > self.active.limits.lease_ttls(Some(mount)).max;
        let text = "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value \
                    will be truncated";
        too_long.then(|| text.to_owned()).into_iter().collect()
    }
}

/// The logical path of a role, or of a field of it.
pub(super) fn role_path(mount: &Mount, name: &str, field: Option<&str>) -> String {
    let name = name.to_lowercase();
    match field {
        Some(field) => format!("{}role/{name}/{field}", mount.path),
        None => format!("{}role/{name}", mount.path),
    }
}

/// What is locked while a role id finds its role.
fn ids_of(mount: &Mount) -> String {
    format!("{}{}", keys::APPROLE_ID, mount.id)
}

fn new_role() -> Result<AppRole, Error> {
    let role_id = uuid::Builder::from_random_bytes(rng::bytes::<16>()?).into_uuid().to_string();
    Ok(AppRole { uid: Uuid::new_v4(), role_id, bind_secret_id: true, ..AppRole::default() })
}
