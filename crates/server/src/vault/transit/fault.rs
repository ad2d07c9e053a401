//! Why an operation with a key failed, in the words that clients of transit know.

use coffer_api::Code;
use coffer_core::{Caller, Error, InputField, KeyFault, KeyOperation, Mount};

use super::{super::call::Failure, kind::type_name};

/// The text of an item's fault; the item is the `at`-th of its list, from 0.
pub(super) fn text(fault: &KeyFault, at: usize) -> String {
    match fault {
        KeyFault::AssociatedDataUnsupported { algorithm } => {
            format!("'[{at}].associated_data' provided for non-AEAD cipher suite {}", type_name(*algorithm))
        }
        KeyFault::Base64 { field: InputField::AssociatedData, at } => format!(
            "unable to get associated_data/additional_data from factory[0]: illegal base64 data at input byte {at}"
        ),
        KeyFault::Unsupported { operation: KeyOperation::Sign, algorithm } => {
            format!("key type {} does not support signing", type_name(*algorithm))
        }
        KeyFault::Unsupported { operation: KeyOperation::Verify, algorithm } => {
            format!("key type {} does not support verification", type_name(*algorithm))
        }
        KeyFault::Unsupported { operation: KeyOperation::Encrypt, algorithm } => {
            format!("message encryption not supported for key type {}", type_name(*algorithm))
        }
        KeyFault::Unsupported { operation: KeyOperation::Decrypt, algorithm } => {
            format!("message decryption not supported for key type {}", type_name(*algorithm))
        }
        other => other.to_string(),
    }
}

/// As [`text`], in the words of data keys.
pub(super) fn text_of_data_key(fault: &KeyFault, at: usize) -> String {
    match fault {
        KeyFault::Base64 { field: InputField::Context, .. } => "failed to base64-decode context".to_owned(),
        other => text(other, at),
    }
}

/// As [`text`], in the words of signatures.
pub(super) fn text_of_signing(fault: &KeyFault, at: usize) -> String {
    match fault {
        KeyFault::ContextMissing => format!("error deriving key: {fault}"),
        other => text_of_data_key(other, at),
    }
}

/// The failure of a request with one item.
pub(super) fn lone(fault: KeyFault, text: fn(&KeyFault, usize) -> String) -> Failure {
    match fault {
        KeyFault::Refused(error) => Failure::Recorded(error),
        other => Failure::Recorded(Error::invalid(text(&other, 0))),
    }
}

/// The failure of a whole request, where an absent key is told in the words of its operation.
pub(super) fn whole(error: Error, absent: &'static str) -> Failure {
    match error.code() {
        Code::NotFound => Failure::Recorded(Error::invalid(absent)),
        _ => Failure::Recorded(error),
    }
}

/// An error of a key's, with transit's name of the key's type where it has the native one.
pub(super) async fn in_transits_words(caller: &Caller, mount: &Mount, name: &str, error: Error) -> Failure {
    if error.code() == Code::Invalid
        && let Ok(algorithm) = caller.key_algorithm(mount, name).await
        && type_name(algorithm) != algorithm.name()
        && error.vault_words().contains(algorithm.name())
    {
        return Failure::Recorded(Error::invalid(error.vault_words().replace(algorithm.name(), type_name(algorithm))));
    }
    Failure::Recorded(error)
}

pub(super) const NO_KEY: &str = "encryption key not found";
