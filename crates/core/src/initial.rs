//! Initial tokens: made at the first start and by the recovery at the server's own machine, exchanged for an
//! administrator's.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use coffer_api::{Sensitive, token::TokenKind};
use coffer_storage::Expect;
use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::{
    Config, Context, Error,
    activate::write_private,
    active::Active,
    codec::{self, Persisted},
    commit::{Edit, Urgency},
    engine::cubbyhole::cubbyhole_lock,
    identity::{self, AliasKey},
    keys,
    mount::Mount,
    ops,
    policies::{ADMINISTRATOR, PolicyRow},
    policy::builtin,
    record::{Actor, Record},
    token::{create::Wanted, manage::forget},
};

/// What a recovery at the server's own machine did.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// The file that now holds a fresh initial token.
    pub initial_token_path: PathBuf,
    /// The policy `administrator` was gone or changed, and is the built-in text again.
    pub administrator_policy_restored: bool,
    /// The entity of earlier initial logins was disabled, had policies or was in groups; it stays as it is, and the next
    /// initial login gets one of its own.
    pub entity_replaced: bool,
}

/// That a store is to get an initial token (`sys/initial-pending`).
#[derive(Deserialize, Serialize)]
struct Pending;

impl Persisted for Pending {}

/// Has the first start of the store that `edit` makes, or the one after it if that one dies, make an initial token.
pub(crate) fn announce(edit: &mut Edit) -> Result<(), Error> {
    edit.put(keys::INITIAL_PENDING, codec::encode(&Pending)?, Some(Expect::Absent));
    Ok(())
}

/// Makes the initial token of a store that has not got one yet; tells the file that holds it.
pub(crate) async fn first(active: &Arc<Active>, config: &Config) -> Result<Option<PathBuf>, Error> {
    if active.row::<Pending>(keys::INITIAL_PENDING).await?.is_none() {
        return Ok(None);
    }
    let made = active.make_token(initial_token(), None).await?;
    // The file comes first: whoever dies here leaves a token that opens nothing, and the next start makes another one.
    let path = write_initial_token(config, &made.grant.token)?;
    crate::failpoint::hit("before-initial-token");
    let mut edit = made.edit;
    edit.delete(keys::INITIAL_PENDING, None);
    active.commit(edit, Record::system(CREATE_INITIAL), Urgency::Ordinary).await?.spend();
    Ok(Some(path))
}

/// Makes an initial token that gives back control, whatever was done to policies and entities, and writes it to its file in
/// place of an older one, whose token lives on until it is exchanged or its 24 hours are over.
pub(crate) async fn recover(active: &Arc<Active>, config: &Config, cx: &Context) -> Result<Recovered, Error> {
    let policy_row = ops::policy::row(ADMINISTRATOR)?;
    let alias_row = identity::alias_row(&active.token_mount()?.accessor, INITIAL);
    let guard = active.locks.lock(&[keys::ENTITY, &alias_row, &policy_row]).await;
    let made = active.make_token(initial_token(), None).await?;
    let token = made.grant.token.clone();
    let mut edit = made.edit;
    let actor = Actor { kind: "local", ..Actor::default() };
    let mut record = Record::of_request(CREATE_INITIAL, String::new(), actor, cx);
    let stored = active.row::<PolicyRow>(&policy_row).await?;
    let restored = stored.is_none_or(|stored| stored.value.text != builtin::ADMINISTRATOR);
    let row = PolicyRow::plain(builtin::ADMINISTRATOR, active.clock.now());
    let policy = row.parse(ADMINISTRATOR).map_err(Error::internal)?;
    if restored {
        edit.put(policy_row, codec::encode(&row)?, None);
        record = record.fact("policy_restored", ADMINISTRATOR);
    }
    let replaced = active.detach_initial_entity(alias_row, &mut edit).await?;
    if let Some(entity) = replaced {
        record = record.fact("entity_replaced", entity.to_string());
    }
    // Whether the store had to change or not: this is the way back from whatever went wrong.
    edit.in_force(move |active| {
        active.policies.put(ADMINISTRATOR, policy);
        active.authority_changed();
    });
    edit.hold(guard);
    active.commit(edit, record, Urgency::Ordinary).await?.spend();
    Ok(Recovered {
        initial_token_path: write_initial_token(config, &token)?,
        administrator_policy_restored: restored,
        entity_replaced: replaced.is_some(),
    })
}

/// Removes the file of an initial token that was exchanged; one that holds another token, written since, stays.
pub(crate) fn remove_token_file(config: &Config, exchanged: &str) {
    let path = initial_token_path(config);
    let held = std::fs::read_to_string(&path).map(Zeroizing::new);
    if held.is_ok_and(|held| held.trim() == exchanged)
        && let Err(error) = std::fs::remove_file(&path)
    {
        tracing::warn!(cause = %error, "the file of the initial token, which is of no use any more, could not be removed");
    }
}

/// The file of the initial token.
pub(crate) fn initial_token_path(config: &Config) -> PathBuf {
    config.seal_key_file.parent().unwrap_or(Path::new(".")).join("initial-token")
}

impl Active {
    /// Exchanges an initial token: a new administrator's token comes, it goes.
    pub(crate) async fn exchange_initial(
        self: &Arc<Self>,
        cx: &Context,
        token: &str,
    ) -> Result<coffer_api::token::TokenGrant, Error> {
        self.may_read()?;
        let found = self.token_state(token).await?.filter(|state| state.entry.initial);
        let Some(state) = found else { return Err(crate::caller::refuse(self, cx).await) };
        let mount = self.token_mount()?;
        let key = AliasKey {
            mount_accessor: &mount.accessor,
            mount_type: mount.kind.name(),
            mount_path: &mount.path,
            name: INITIAL,
            metadata: None,
            entity_name: Some(INITIAL),
        };
        let entity = self.entity_of_login(&key).await?;
        if entity.disabled {
            return Err(crate::caller::refuse(self, cx).await);
        }
        let (direct, inherited) = self.identity.groups_of(entity.id);
        let wanted = Wanted {
            kind: TokenKind::Service,
            policies: vec![ADMINISTRATOR.to_owned()],
            no_default_policy: true,
            entity: Some(entity.id),
            identity_policies: identity::policies_of(Some(&entity), &[direct, inherited].concat()),
            display_name: ADMINISTRATOR.to_owned(),
            path: "login/initial".to_owned(),
            ttl: Some(ADMINISTRATOR_TTL),
            renewable: true,
            ..Wanted::default()
        };
        let made = self.make_token(wanted, None).await?;
        let mut edit = made.edit;
        let row = crate::token::token_row(&state.accessor);
        let guard = self.locks.lock(&[&cubbyhole_lock(&state.accessor)]).await;
        // Of two that exchange it at once, one finds it gone.
        let found = self.token_entry(&state.accessor).await?;
        let Some(found) = found else { return Err(crate::caller::refuse(self, cx).await) };
        edit.delete(row, Some(Expect::Revision(found.revision)));
        if let Some(expires) = found.value.expires_ms {
            edit.delete(crate::token::expiry_row(expires, &state.accessor), None);
        }
        if found.value.cubbyhole {
            for row in self.cubbyhole_rows(&state.accessor).await? {
                edit.delete(row, None);
            }
        }
        edit.hold(guard);
        let actor = Actor {
            kind: "user",
            id: Some(entity.id.to_string()),
            name: Some(INITIAL.to_owned()),
            auth: Some(mount.path.clone()),
            accessor: Some(state.accessor.clone()),
        };
        let record = Record::of_request("auth.login", "login/initial".to_owned(), actor, cx);
        forget(&state.accessor, &mut edit);
        self.commit(edit, record, Urgency::Ordinary).await?.spend();
        Ok(made.grant)
    }

    /// Takes the alias of initial logins off its entity, if that might keep who logs in from anything; tells which.
    async fn detach_initial_entity(&self, alias_row: String, edit: &mut Edit) -> Result<Option<Uuid>, Error> {
        let Some(known) = self.entity_of_alias(&alias_row).await? else { return Ok(None) };
        let (direct, _) = self.identity.groups_of(known.id);
        if !known.disabled && known.policies.is_empty() && direct.is_empty() {
            return Ok(None);
        }
        let Some(found) = self.entity(known.id).await? else { return Ok(None) };
        let mut entity = found.value;
        let is_ours = |accessor: &str, name: &str| identity::alias_row(accessor, name) == alias_row;
        entity.aliases.retain(|alias| !is_ours(&alias.mount_accessor, &alias.name));
        entity.updated_ms = self.clock.now();
        edit.put(identity::entity_row(entity.id), codec::encode(&entity)?, Some(Expect::Revision(found.revision)));
        edit.delete(alias_row, None);
        Ok(Some(entity.id))
    }

    pub(crate) fn token_mount(&self) -> Result<Arc<Mount>, Error> {
        self.mounts.at("auth/token/").ok_or_else(|| Error::internal("the mount of tokens is missing"))
    }
}

fn initial_token() -> Wanted {
    Wanted {
        kind: TokenKind::Service,
        policies: vec![ADMINISTRATOR.to_owned()],
        // It grants nothing that the administrator lacks, and might deny something.
        no_default_policy: true,
        display_name: "initial".to_owned(),
        path: "operator/initial-token".to_owned(),
        ttl: Some(INITIAL_TTL),
        initial: true,
        ..Wanted::default()
    }
}

fn write_initial_token(config: &Config, token: &Sensitive<String>) -> Result<PathBuf, Error> {
    let path = initial_token_path(config);
    write_private(&path, format!("{}\n", token.expose()).as_bytes())
        .map_err(|error| Error::internal(format!("{}: {error}", path.display())))?;
    Ok(path)
}

/// Whom the initial token stands for: their entity's name, and that of its alias on the mount of tokens.
pub(crate) const INITIAL: &str = "initial-administrator";
/// How long an initial token may wait to be exchanged.
const INITIAL_TTL: u64 = 24 * 3600;
/// How long the administrator's token lives that it is exchanged for.
const ADMINISTRATOR_TTL: u64 = 30 * 24 * 3600;
/// The class of records of initial tokens.
const CREATE_INITIAL: &str = "token.create_initial";
