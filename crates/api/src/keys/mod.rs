//! Keys of the key engine: requests and replies of `keys/…`. Times are RFC 3339, durations whole seconds, bytes standard
//! base64 with padding. Secret parts are in what is made to carry them ([`moving`]) and nowhere else.

pub mod batch;
pub mod life;
pub mod moving;
pub mod operations;
mod schema;

pub use batch::{KeyBatch, KeyItemError, KeyItems, KeyReply, KeyResult, KeyResults, MAX_ITEMS, NoOptions};
pub use life::{
    Key, KeyCompromise, KeyConfigure, KeyCreate, KeyDestroy, KeyRecover, KeyRollback, KeyRotate, KeySettings,
    KeyVersion, KeyVersions,
};
pub use moving::{
    KeyAgree, KeyBackup, KeyCertificate, KeyCsr, KeyCsrMade, KeyExport, KeyExported, KeyExportedVersion,
    KeyImportBegin, KeyImportKey, KeyImportVersion, KeyPublic, KeyRestore, KeySource, KeyWrap, KeyWrapped,
    KeyWrappedBy, KeyWrappedKey, KeyWrappedVersion, KeyWrappingKey,
};
pub use operations::{
    Hash, HashMade, KeyDataKey, KeyDataKeyMade, KeyDecapsulate, KeyDecapsulated, KeyDecrypt, KeyDecryptItem,
    KeyDecrypted, KeyEncapsulate, KeyEncapsulated, KeyEncrypt, KeyEncryptItem, KeyEncrypted, KeyMac, KeyMacItem,
    KeyMacMade, KeyMacOptions, KeyRewrap, KeyRewrapItem, KeySign, KeySignItem, KeySignOptions, KeySigned, KeyVerified,
    KeyVerify, KeyVerifyItem, KeyVerifyMac, KeyVerifyMacItem, KeyVerifyMacOptions, KeyVerifyOptions, Random,
    RandomMade,
};
