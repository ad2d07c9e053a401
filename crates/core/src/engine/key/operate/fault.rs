//! Why an operation with a key failed on one item. The texts are the original's wherever it has the case: clients compare them.

use coffer_api::Code;
use coffer_crypto::keys::Algorithm;

use crate::Error;

/// Why an operation failed on one item. Its text never holds what was sent, nor what came out.
#[derive(Debug, thiserror::Error)]
pub enum KeyFault {
    /// Associated data for a key whose algorithm has no such thing.
    #[error("'associated_data' provided for non-AEAD cipher suite {}", .algorithm.name())]
    AssociatedDataUnsupported {
        /// The key's.
        algorithm: Algorithm,
    },
    /// The ciphertext is not of this key, context and associated data, or was altered.
    #[error("cipher: message authentication failed")]
    Authentication,
    /// What should be base64 is not.
    #[error("{}illegal base64 data at input byte {at}", .field.before())]
    Base64 {
        /// What it was.
        field: InputField,
        /// Where in it.
        at: usize,
    },
    /// A derived key without a context.
    #[error(
        "missing 'context' for key derivation; the key was created using a derived key, which means additional, \
         per-request information must be included in order to perform operations with the key"
    )]
    ContextMissing,
    /// A context for a key that is not derived: natively refused, as it would be of no effect.
    #[error("context: the key is not derived, so that a context would be of no effect; leave it out")]
    ContextUnused,
    /// The key has a public half alone.
    #[error("requested version for {} does not contain a private part", .operation.noun())]
    NoPrivatePart {
        /// What was asked for.
        operation: KeyOperation,
    },
    /// Input that was hashed already has not the length of that hash, or the choice of hash, padding and key type is none
    /// that there is.
    #[error("{vault}")]
    Parameters {
        /// What the native API says of it.
        native: &'static str,
        /// What Vault's clients are told.
        vault: &'static str,
    },
    /// What was asked of it does not go with its state, its usages, its floors, or its permissions; or the store failed.
    #[error("{}", .0.vault_words())]
    Refused(#[from] Error),
    /// The text of a ciphertext, a signature or an HMAC is not one.
    #[error("{}", text_fault(.fault, .kind))]
    Text {
        /// What it should have been.
        kind: TextKind,
        /// What it lacks.
        fault: TextFault,
    },
    /// Keys of this algorithm have no such operation.
    #[error("message {} not supported for key type {}", .operation.noun(), .algorithm.name())]
    Unsupported {
        /// What was asked for.
        operation: KeyOperation,
        /// The key's.
        algorithm: Algorithm,
    },
    /// A version was asked for that no key has.
    #[error("requested version for {} is negative", .operation.noun())]
    VersionNegative {
        /// What was asked for.
        operation: KeyOperation,
    },
}

/// What a caller can do about a [`KeyFault`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum FaultKind {
    /// Ask for the permission.
    Denied,
    /// Report it.
    Internal,
    /// Correct the item.
    Invalid,
    /// Change the key's state, or use another version.
    State,
}

/// What an operation with a key does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeyOperation {
    /// Open an encapsulated secret.
    Decapsulate,
    /// Open a ciphertext.
    Decrypt,
    /// Make a shared secret and its capsule.
    Encapsulate,
    /// Make a ciphertext.
    Encrypt,
    /// Make or check an HMAC.
    Mac,
    /// Make a signature.
    Sign,
    /// Check a signature.
    Verify,
}

/// Which part of an item.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum InputField {
    /// Additional authenticated data.
    AssociatedData,
    /// Context of a derived key.
    Context,
    /// Message to be signed or checked.
    Input,
    /// Message to be encrypted.
    Plaintext,
}

/// What a text claims to be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextKind {
    /// From encrypt, rewrap, data key or encapsulate.
    Ciphertext,
    /// From hmac.
    Hmac,
    /// From sign.
    Signature,
}

/// What a text lacks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TextFault {
    /// It is no base64.
    Base64 {
        /// Where.
        at: usize,
    },
    /// No second `:`.
    Fields,
    /// It is shorter than any.
    Length,
    /// It does not begin with `vault:v`.
    Prefix,
    /// The key has no version of that number yet.
    TooNew,
    /// The key's floor lies above its version.
    TooOld,
    /// Its version is no number.
    Version,
}

impl KeyFault {
    /// What a caller can do about it.
    pub fn kind(&self) -> FaultKind {
        match self {
            Self::AssociatedDataUnsupported { .. }
            | Self::Authentication
            | Self::Base64 { .. }
            | Self::ContextMissing
            | Self::ContextUnused
            | Self::NoPrivatePart { .. }
            | Self::Parameters { .. }
            | Self::Text { .. }
            | Self::Unsupported { .. }
            | Self::VersionNegative { .. } => FaultKind::Invalid,
            Self::Refused(error) => match error.code() {
                Code::Denied => FaultKind::Denied,
                Code::KeyState => FaultKind::State,
                Code::Invalid | Code::NotFound | Code::TooLarge | Code::Unsupported => FaultKind::Invalid,
                Code::AuditUnavailable
                | Code::Conflict
                | Code::DiskFull
                | Code::Integrity
                | Code::Internal
                | Code::InvalidCredentials
                | Code::MethodNotAllowed
                | Code::RateLimited
                | Code::Sealed
                | Code::Standby
                | Code::Unauthenticated
                | Code::Unavailable
                | Code::Unresolved => FaultKind::Internal,
            },
        }
    }

    /// The code that a record of it bears.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::Refused(error) => error.code(),
            Self::AssociatedDataUnsupported { .. }
            | Self::Authentication
            | Self::Base64 { .. }
            | Self::ContextMissing
            | Self::ContextUnused
            | Self::NoPrivatePart { .. }
            | Self::Parameters { .. }
            | Self::Text { .. }
            | Self::Unsupported { .. }
            | Self::VersionNegative { .. } => Code::Invalid,
        }
    }

    /// What the primitive says of an item, in terms of the item.
    pub(super) fn of_crypto(error: coffer_crypto::Error, operation: KeyOperation, algorithm: Algorithm) -> Self {
        use coffer_crypto::Error as Crypto;
        match error {
            Crypto::Authentication => Self::Authentication,
            Crypto::Truncated => Self::Text { kind: TextKind::Ciphertext, fault: TextFault::Length },
            Crypto::Parameters(why) => Self::Parameters { native: why, vault: why },
            // A key that makes MACs makes them with its own hash alone.
            Crypto::Unsupported(why) if operation == KeyOperation::Mac => Self::Parameters { native: why, vault: why },
            Crypto::Unsupported(_) => Self::Unsupported { operation, algorithm },
            other => Self::Refused(other.into()),
        }
    }
}

impl From<KeyFault> for Error {
    fn from(fault: KeyFault) -> Self {
        let words = fault.to_string();
        match fault {
            KeyFault::Refused(error) => error,
            other => Error::invalid(native_words(&other)).in_vault(words),
        }
    }
}

/// What the native API says of a fault.
fn native_words(fault: &KeyFault) -> String {
    match fault {
        KeyFault::AssociatedDataUnsupported { algorithm } => {
            format!("associated_data: keys of the algorithm {} bind none", algorithm.name())
        }
        KeyFault::Authentication => {
            "the ciphertext does not open: it was altered, or is of another key, context or associated data".to_owned()
        }
        KeyFault::Base64 { field, .. } => format!("{} is no base64 text", field.name()),
        KeyFault::ContextMissing => "a derived key is used with a context, and none was sent".to_owned(),
        KeyFault::ContextUnused => fault.to_string(),
        KeyFault::NoPrivatePart { operation } => {
            format!("{} needs the private part, and of this version the public part alone is here", operation.noun())
        }
        KeyFault::Parameters { native, .. } => (*native).to_owned(),
        KeyFault::Refused(error) => error.public().to_owned(),
        KeyFault::Text { kind, fault } => {
            let name = kind.name();
            match fault {
                TextFault::Base64 { .. } => format!("invalid {name}: what follows its version is no base64 text"),
                TextFault::Fields | TextFault::Prefix | TextFault::Version => {
                    format!("invalid {name}: it does not begin with vault:v<version>:")
                }
                TextFault::Length => format!("invalid {name}: it is too short"),
                TextFault::TooNew => format!("invalid {name}: the key has no such version yet"),
                TextFault::TooOld => {
                    format!("the version of this {name} is below the key's min_decryption_version")
                }
            }
        }
        KeyFault::Unsupported { operation, algorithm } => {
            format!("keys of the algorithm {} are not for {}", algorithm.name(), operation.noun())
        }
        KeyFault::VersionNegative { .. } => "no version has a negative number".to_owned(),
    }
}

impl InputField {
    /// As the native API calls it.
    fn name(self) -> &'static str {
        match self {
            Self::AssociatedData => "associated_data",
            Self::Context => "context",
            Self::Input => "input",
            Self::Plaintext => "plaintext",
        }
    }
}

impl TextKind {
    /// As the native API calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Ciphertext => "ciphertext",
            Self::Hmac => "mac",
            Self::Signature => "signature",
        }
    }
}

impl KeyOperation {
    /// As faults speak of it.
    fn noun(self) -> &'static str {
        match self {
            Self::Decapsulate => "decapsulation",
            Self::Decrypt => "decryption",
            Self::Encapsulate => "encapsulation",
            Self::Encrypt => "encryption",
            Self::Mac => "authentication",
            Self::Sign => "signing",
            Self::Verify => "verification",
        }
    }
}

impl InputField {
    /// What the original says before it tells the place.
    fn before(self) -> &'static str {
        match self {
            Self::AssociatedData => "unable to decode associated_data as base64: ",
            Self::Input => "unable to decode input as base64: ",
            Self::Context | Self::Plaintext => "",
        }
    }
}

fn text_fault(fault: &TextFault, kind: &TextKind) -> String {
    let name = match kind {
        TextKind::Ciphertext => "ciphertext",
        TextKind::Hmac => "HMAC",
        TextKind::Signature => "signature",
    };
    match (*fault, *kind) {
        (TextFault::Base64 { .. }, TextKind::Ciphertext) => "invalid ciphertext: could not decode base64".to_owned(),
        (TextFault::Base64 { at }, TextKind::Hmac) => {
            format!("unable to decode verification HMAC as base64: illegal base64 data at input byte {at}")
        }
        (TextFault::Base64 { .. }, TextKind::Signature) => "invalid base64 signature value".to_owned(),
        (TextFault::Fields, _) => format!("invalid {name}: wrong number of fields"),
        (TextFault::Length, TextKind::Ciphertext) => "invalid ciphertext length".to_owned(),
        (TextFault::Length, TextKind::Hmac | TextKind::Signature) => format!("invalid {name}: too short"),
        (TextFault::Prefix, TextKind::Hmac) => "invalid HMAC to verify: no prefix".to_owned(),
        (TextFault::Prefix, TextKind::Ciphertext | TextKind::Signature) => format!("invalid {name}: no prefix"),
        (TextFault::TooNew, _) => format!("invalid {name}: version is too new"),
        (TextFault::TooOld, TextKind::Hmac) => {
            "cannot verify HMAC: version is too old (disallowed by policy)".to_owned()
        }
        (TextFault::TooOld, TextKind::Ciphertext | TextKind::Signature) => {
            "ciphertext or signature version is disallowed by policy (too old)".to_owned()
        }
        (TextFault::Version, _) => format!("invalid {name}: version number could not be decoded"),
    }
}
