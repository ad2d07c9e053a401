//! Every prefix of the store's keys, and the closed list of those whose rows are bookkeeping.
//!
//! Keys are UTF-8. What a row holds is documented where its type is; docs/CRYPTO.md has the table.

use uuid::Uuid;

/// Wrapped root keys, one per seal, and the cluster's id.
pub(crate) const ROOT: &str = "sys/root";
/// New shares of the last rekey with a backup, each encrypted to its holder's OpenPGP key.
pub(crate) const SHARE_BACKUP: &str = "sys/share-backup";
/// Present from a store's first commit until its initial token is stored.
pub(crate) const INITIAL_PENDING: &str = "sys/initial-pending";
/// Term keys, wrapped under the root key: `sys/term/{term:08x}`.
pub(crate) const TERM: &str = "sys/term/";
/// When the current term began.
pub(crate) const TERM_BEGAN: &str = "sys/term-began";
/// Named keys, wrapped under the root key: `sys/key/{purpose}/{number:08x}`, and of logs `sys/key/log/{node}/{number:08x}`.
pub(crate) const KEY: &str = "sys/key/";
/// What each node's log is called and signed with: `log/{node}`.
pub(crate) const LOG: &str = "log/";
/// Mounts: `mount/{path}`, auth methods below `mount/auth/`.
pub(crate) const MOUNT: &str = "mount/";
/// Mounts that were disabled, with data left to be deleted: `mount-purge/{mount id}`.
pub(crate) const MOUNT_PURGE: &str = "mount-purge/";
/// Releases that ran on the store: `version/{version}`.
pub(crate) const VERSION: &str = "version/";
/// Policy texts: `policy/{name}`.
pub(crate) const POLICY: &str = "policy/";
/// Password policies: `password-policy/{name}`.
pub(crate) const PASSWORD_POLICY: &str = "password-policy/";
/// What clients set of the server: `setting/cors`, `setting/logged-header/{name}`, `setting/ui-header/{name}`.
pub(crate) const SETTING: &str = "setting/";
/// Entities: `entity/{id}`, with their names and aliases as index rows.
pub(crate) const ENTITY: &str = "entity/";
/// `entity-name/{name}` -> id.
pub(crate) const ENTITY_NAME: &str = "entity-name/";
/// `entity-merged/{id}` -> id of the entity that it was merged into.
pub(crate) const ENTITY_MERGED: &str = "entity-merged/";
/// `alias/{mount accessor}/{name}` -> entity id.
pub(crate) const ALIAS: &str = "alias/";
/// `alias-id/{id}` -> entity id.
pub(crate) const ALIAS_ID: &str = "alias-id/";
/// Groups: `group/{id}`.
pub(crate) const GROUP: &str = "group/";
/// Service tokens: `token/{accessor}`.
pub(crate) const TOKEN: &str = "token/";
/// `token-child/{parent accessor}/{child accessor}`.
pub(crate) const TOKEN_CHILD: &str = "token-child/";
/// `token-expiry/{minute:010x}/{accessor}`: the index by which the sweep finds what expired or is used up.
pub(crate) const TOKEN_EXPIRY: &str = "token-expiry/";
/// Token roles: `token-role/{name}`.
pub(crate) const TOKEN_ROLE: &str = "token-role/";
/// Trees being revoked: `revoking/{accessor}`.
pub(crate) const REVOKING: &str = "revoking/";
/// Private entries of a service token: `cubbyhole/{accessor}/{path}`.
pub(crate) const CUBBYHOLE: &str = "cubbyhole/";
/// The key that JWTs of wrapping tokens are signed with, from the first one on.
pub(crate) const WRAPPING_KEY: &str = "wrapping-key";
/// Wrapped responses: `wrapped/{accessor of the wrapping token}`.
pub(crate) const WRAPPED: &str = "wrapped/";
/// Users of a userpass mount: `user/{mount id}/{name}`.
pub(crate) const USER: &str = "user/";
/// `user-cost/{mount id}/bcrypt`: of the costliest bcrypt hash that a userpass mount ever had.
pub(crate) const USER_COST: &str = "user-cost/";
/// Roles of an AppRole mount: `approle/{mount id}/{name}`.
pub(crate) const APPROLE: &str = "approle/";
/// `approle-id/{mount id}/{SHA-256 of the role id}` -> the role's name.
pub(crate) const APPROLE_ID: &str = "approle-id/";
/// Secret ids: `secret-id/{mount id}/{role's own id}/{accessor}`.
pub(crate) const SECRET_ID: &str = "secret-id/";
/// Roles that are deleted, with secret ids left to be deleted: `secret-id-purge/{mount id}/{role's own id}`.
pub(crate) const SECRET_ID_PURGE: &str = "secret-id-purge/";
/// `secret-id-expiry/{minute:010x}/{mount id}/{role's own id}/{accessor}`: the index by which the sweep finds them.
pub(crate) const SECRET_ID_EXPIRY: &str = "secret-id-expiry/";
/// KV keys with their metadata and current version: `kv/{mount id}/{path}`.
pub(crate) const KV: &str = "kv/";
/// Superseded versions: `kv-version/{mount id}/{path}\0{slot:08x}`.
pub(crate) const KV_VERSION: &str = "kv-version/";
/// What the values of a mount that is searched by value are fingerprinted with: `value-key/{mount id}/{generation}`.
pub(crate) const VALUE_KEY: &str = "value-key/";
/// Object keys, one per shredded version and per version of a key: `object/{id}`.
pub(crate) const OBJECT: &str = "object/";
/// Keys with their versions, without their secret parts: `key/{mount id}/{key id}`.
pub(crate) const KEY_ENTRY: &str = "key/";
/// `key-name/{mount id}/{name}` -> key id, and what lists filter by.
pub(crate) const KEY_NAME: &str = "key-name/";
/// `key-deleted/{mount id}/{name}\0{key id}`: the same of keys that lost their name.
pub(crate) const KEY_DELETED: &str = "key-deleted/";
/// Secret parts, sealed under an object key: `key-material/{mount id}/{key id}/{version:08x}`.
pub(crate) const KEY_MATERIAL: &str = "key-material/";
/// Public parts and certificates: `key-public/{mount id}/{key id}/{version:08x}`.
pub(crate) const KEY_PUBLIC: &str = "key-public/";
/// Settings of a key engine: `key-config/{mount id}`.
pub(crate) const KEY_CONFIG: &str = "key-config/";

/// Records that are committed and perhaps not yet in the log: `outbox/{node}/{record id}`.
pub(crate) const OUTBOX: &str = "outbox/";
/// Reserved blocks of counters: `counter/{name}`.
pub(crate) const COUNTER: &str = "counter/";
/// High-water mark of the clock.
pub(crate) const CLOCK: &str = "clock";
/// Size and root up to which a node's log is known to be whole: `log-head/{node}`.
pub(crate) const LOG_HEAD: &str = "log-head/";
/// The key that keys from elsewhere are wrapped under.
pub(crate) const KEY_IMPORT_WRAPPING: &str = "key-import/wrapping";
/// One-time import keys: `key-import/once/{id}`.
pub(crate) const KEY_IMPORT_ONCE: &str = "key-import/once/";
/// `key-due/{minute:010x}/{mount id}/{key id}`: the index by which the sweep finds keys to rotate, deactivate or destroy.
pub(crate) const KEY_DUE: &str = "key-due/";
/// What was restored from a backup, until a server has started on it.
pub(crate) const RESTORED: &str = "restored";
/// `value-index/{mount id}/{generation}/{fingerprint}/{path}`: which entry of a mount holds a value.
pub(crate) const VALUE_INDEX: &str = "value-index/";
/// How far such an index is built: `value-built/{mount id}/{generation}`.
pub(crate) const VALUE_BUILT: &str = "value-built/";
/// Uses left of use-limited tokens: `token-uses/{accessor}`.
pub(crate) const TOKEN_USES: &str = "token-uses/";

/// Prefixes whose rows change without a record. Everything else in the store must have one; `audit verify
/// --store` and the scrub hold the store to that.
///
/// `restored` is written before there is a log to have its record; `log-head/` belongs here because registering what the log holds cannot itself be logged without end;
/// `token-expiry/`, `secret-id-expiry/`, `key-due/` and `value-index/` are indexes that `token/`, `secret-id/`, `key/` and `kv/`
/// rebuild.
pub(crate) const BOOKKEEPING: [&str; 11] = [
    CLOCK,
    COUNTER,
    KEY_DUE,
    LOG_HEAD,
    OUTBOX,
    RESTORED,
    SECRET_ID_EXPIRY,
    TOKEN_EXPIRY,
    TOKEN_USES,
    VALUE_BUILT,
    VALUE_INDEX,
];

/// Prefixes whose rows, sealed as they are, are kept in the cache: what reads and logins ask for again and again. Of
/// these none may change but by a commit with a record, or with its own word to the cache.
const CACHED: [&str; 6] = [ALIAS, APPROLE, APPROLE_ID, ENTITY, KV, SECRET_ID];

/// Prefixes below which a mount's rows lie under its id: its data is in no other rows but object keys, which its entries
/// name, and the index of expiry, which goes in its time.
const OF_MOUNT: [&str; 11] = [
    KV,
    KV_VERSION,
    VALUE_KEY,
    VALUE_INDEX,
    VALUE_BUILT,
    APPROLE,
    APPROLE_ID,
    SECRET_ID,
    SECRET_ID_PURGE,
    USER,
    USER_COST,
];

/// The prefixes of a mount's rows, its KV entries first.
pub(crate) fn of_mount(id: Uuid) -> impl Iterator<Item = String> {
    OF_MOUNT.into_iter().map(move |prefix| match prefix {
        KV | KV_VERSION => format!("{prefix}{}/", id.simple()),
        prefix => format!("{prefix}{id}/"),
    })
}

/// Whether the cache keeps a row of this key.
pub(crate) fn is_cached(key: &str) -> bool {
    CACHED.iter().any(|prefix| key.starts_with(prefix))
}

/// Whether a key belongs to [`BOOKKEEPING`].
pub(crate) fn is_bookkeeping(key: &str) -> bool {
    BOOKKEEPING.iter().any(|prefix| key.starts_with(prefix))
}
