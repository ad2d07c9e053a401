//! The rules of Coffer: barrier, seal, identity, policy, engines, audit log.
//!
//! Nothing here knows HTTP. A request enters through [`Core::caller`], which authenticates it, and each operation is
//! a method of [`Caller`], which authorises, acts and records before it returns. Persisted types live here and
//! never leave; what leaves is `coffer_api`'s.

// So that the harness of the tests from outside is that of the tests within.
#[cfg(test)]
extern crate self as coffer_core;

mod activate;
mod active;
mod audit;
mod auth;
pub mod backup;
mod barrier;
mod cache;
mod caller;
mod cidr;
pub mod clock;
mod codec;
mod commit;
mod config;
mod context;
mod engine;
mod error;
mod failpoint;
mod generate;
mod housekeeping;
mod identity;
mod initial;
mod keyring;
mod keys;
mod lease;
mod leftovers;
mod locks;
mod memory;
mod metrics;
mod mount;
mod node;
mod object;
mod ops;
mod outbox;
mod policies;
pub mod policy;
mod record;
mod refusals;
mod seal;
mod space;
mod spelled;
mod start;
mod time;
pub mod tlog;
mod token;
pub mod verify;
mod versions;

#[cfg(test)]
mod tests;

pub use auth::{
    approle::{AppRole, Destroyed, SecretIdFound, SecretIdInfo, SecretIdIssue, SecretIdIssued, SecretIdRef},
    login::is_of_gone_user,
    parameters::{LoginKind, OldSpelling, TokenParameters},
    userpass::{LockedUsers, Password, User},
};
pub use caller::Caller;
pub use coffer_crypto::{
    age,
    hash::Algorithm as HashAlgorithm,
    keys::{Algorithm as KeyAlgorithm, Marshal, PublicKey, RsaPadding, Salt, SignOptions, Usage as KeyUsage},
};
pub use config::{
    AuditConfig, BackupSchedule, BackupTime, Config, Dev, FreeSpace, Keep, Limits, ReadDurability, SealKind,
    ShareGivers,
};
pub use context::{Context, Dialect};
pub use engine::key::{
    configure::KeyConfigure,
    create::{Begin, IfExists, KeyCreate},
    entry::Usages,
    list::{Kept, KeyFilter, MAX_KEYS_LISTED},
    operate::{
        Batch, DataKey, DataKeyBits, DecryptItem, Decrypted, Encapsulation, EncryptItem, Encrypted, Existing,
        ExportFormat, ExportKind, Exported, FaultKind, HmacVerifyItem, ImportKey, ImportSource, ImportWrap, Input,
        InputField, KeyAgreement, KeyFault, KeyOperation, MAX_BATCH, Mac, NewDataKey, PublicFormat, Reveal, RewrapItem,
        SignItem, Signed, Signing, TextFault, TextKind, VerifyItem, VersionChoice, WrappedBy,
    },
    settings::{DESTROY_AFTER_MS, KeySettings, MAX_DESTROY_AFTER_MS, MIN_DESTROY_AFTER_MS},
    state::KeyState,
    view::{KeyVersionView, KeyView},
    wire::no_such_algorithm,
};
pub use engine::kv::{
    KvConfig, KvMetadata, KvPatched, KvRead, KvVersionMeta, KvWrite, MetadataWrite, ValueSearch,
    list::{KvReach, MAX_LISTED},
    native::Depth,
};
pub use error::{Error, Kind};
pub use identity::GroupKind;
pub use initial::Recovered;
pub use mount::{
    GrantedPath, LeaseTtls, Listing, LoginTokenType, Mount, MountEnable, MountKind, MountMove, MountTune, ResultantAcl,
    Tuned, Tuning,
};
pub use node::Core;
pub use ops::{
    devices::{AUDIT_DEVICE, AuditHash},
    identity::{By, EntityView, IdentityWrite, Upsert},
    identity_alias::{AliasView, AliasWrite},
    identity_delete::Deleted,
    identity_find::IdentityClue,
    identity_group::{GroupBrief, GroupView},
    identity_merge::EntityMerge,
    list::ListPart,
    policy::{PolicyEnd, PolicyFound, PolicyNames, PolicyWrite},
    settings::{Cors, LoggedHeader, UiHeader},
    system::{KeyStatus, RotateKey, Rotation},
    tools::MAX_RANDOM,
};
pub use policies::PolicySettings;
pub use policy::{Loaded, Operation, Parameters, Unreadable};
pub use seal::{
    asker::{Asker, Ceremony},
    backup::{KeptShares, ShareBackup},
    file::FileSealError,
    generate_root::{RootAttempt, RootGeneration, RootOtp, RootProgress},
    init::{InitSeal, Initialised},
    migrate::{MigrateSeal, Migrated},
    rekey::{Rekey, RekeyEnd, RekeyProgress, RekeyStart, Verification, VerificationProgress},
    shares::{AskedSplit, NewShares, Share, Split},
};
pub use start::{StartError, Started};
pub use time::rfc3339;
pub use token::{
    create::{CreatePath, ROOT_PATH},
    leases::LeaseInfo,
    role::{OldNames, RoleRow},
    wanted::CreateMore,
    wrap::{MAX_WRAPPED, NOT_VALID, Tells, Unwrapped, Wrap, WrapInfo, Wrapped},
    wrap_jwt::WrapForm,
};
pub use versions::InstalledVersion;

/// The version that Vault clients are told: plain semantic version in the range they know.
pub const DIALECT_VERSION: &str = "1.21.4";
