//! Transit on any mount: keys that are used here and stay here.

mod certificate;
mod cipher;
mod export;
mod fault;
mod import;
mod item;
mod keys;
mod kind;
mod mac;
mod reply;
mod settings;
mod shown;
mod sign;

use coffer_core::Mount;

pub(crate) use self::kind::type_name;
use super::{
    call::{Failure, Outcome, VaultCall, Verb},
    tools::{self, Tools},
};

/// Answers a request below a mount of transit.
pub(crate) async fn answer(call: &mut VaultCall, mount: &Mount, rest: &str) -> Outcome {
    let Some((path, verb)) = Path::parse(rest, call.verb) else { return Err(Failure::unsupported_path()) };
    match (path, verb) {
        (Path::Decrypt(name), Verb::Write) => cipher::decrypt(call, mount, name).await,
        (Path::Encrypt(name), Verb::Write) => cipher::encrypt(call, mount, name).await,
        (Path::Sign { name, hash }, Verb::Write) => sign::sign(call, mount, name, hash).await,
        (Path::Verify { name, hash }, Verb::Write) => sign::verify(call, mount, name, hash).await,
        (path, verb) => Box::pin(seldom(call, mount, path, verb)).await,
    }
}

/// What is asked for less often than keys are used.
async fn seldom(call: &mut VaultCall, mount: &Mount, path: Path<'_>, verb: Verb) -> Outcome {
    match (path, verb) {
        (Path::Backup(name), Verb::Read) => export::backup(call, mount, name).await,
        (Path::ByokExport { wrapping, name, version }, Verb::Read) => {
            export::byok(call, mount, wrapping, name, version).await
        }
        (Path::CacheConfig, Verb::Read) => settings::cache_read(call, mount).await,
        (Path::CacheConfig, Verb::Write) => settings::cache_write(call, mount).await,
        (Path::ConfigKeys, Verb::Read) => settings::keys_read(call, mount).await,
        (Path::ConfigKeys, Verb::Write) => settings::keys_write(call, mount).await,
        (Path::DataKey { how, name }, Verb::Write) => cipher::data_key(call, mount, how, name).await,
        (Path::DeriveKey(name), Verb::Write) => import::derive(call, mount, name).await,
        (Path::Export { kind, name, version }, Verb::Read) => export::export(call, mount, kind, name, version).await,
        (Path::Hmac { name, hash }, Verb::Write) => mac::make(call, mount, name, hash).await,
        (Path::Key { name, step: "" }, Verb::Write) => keys::create(call, mount, name).await,
        (Path::Key { name, step: "" }, Verb::Read) => keys::read(call, mount, name).await,
        (Path::Key { name, step: "" }, Verb::Delete) => keys::delete(call, mount, name).await,
        (Path::Key { name, step: "config" }, Verb::Write) => keys::configure(call, mount, name).await,
        (Path::Key { name, step: "csr" }, Verb::Write) => certificate::request(call, mount, name).await,
        (Path::Key { name, step: "import" }, Verb::Write) => import::import(call, mount, name).await,
        (Path::Key { name, step: "import_version" }, Verb::Write) => import::import_version(call, mount, name).await,
        (Path::Key { name, step: "rotate" }, Verb::Write) => keys::rotate(call, mount, name).await,
        (Path::Key { name, step: "set-certificate" }, Verb::Write) => certificate::set(call, mount, name).await,
        (Path::Key { name, step: "soft-delete" }, Verb::Delete) => keys::soft_delete(call, mount, name).await,
        (Path::Key { name, step: "soft-delete-restore" }, Verb::Write) => keys::soft_restore(call, mount, name).await,
        (Path::Key { name, step: "trim" }, Verb::Write) => keys::trim(call, mount, name).await,
        (Path::Keys, Verb::List) => keys::list(call, mount).await,
        (Path::Restore(name), Verb::Write) => export::restore(call, mount, name).await,
        (Path::Rewrap(name), Verb::Write) => cipher::rewrap(call, mount, name).await,
        (Path::Tool(rest), Verb::Write) => tools::answer(call, Tools::Transit, rest).await,
        (Path::WrappingKey, Verb::Read) => import::wrapping_key(call, mount).await,
        (_, Verb::Patch) => {
            // Its media type is looked at first.
            call.params().await?;
            Err(Failure::unsupported_operation())
        }
        (_, _) => Err(Failure::unsupported_operation()),
    }
}

/// A path below the mount.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Path<'a> {
    Backup(&'a str),
    ByokExport {
        wrapping: &'a str,
        name: &'a str,
        version: &'a str,
    },
    CacheConfig,
    ConfigKeys,
    DataKey {
        how: &'a str,
        name: &'a str,
    },
    Decrypt(&'a str),
    DeriveKey(&'a str),
    Encrypt(&'a str),
    Export {
        kind: &'a str,
        name: &'a str,
        version: &'a str,
    },
    Hmac {
        name: &'a str,
        hash: &'a str,
    },
    Key {
        name: &'a str,
        step: &'a str,
    },
    Keys,
    Restore(&'a str),
    Rewrap(&'a str),
    Sign {
        name: &'a str,
        hash: &'a str,
    },
    /// `random…` and `hash…`.
    Tool(&'a str),
    Verify {
        name: &'a str,
        hash: &'a str,
    },
    WrappingKey,
}

impl<'a> Path<'a> {
    /// The path, and what is asked of it. What ends in `/` is a list, and there is one list only.
    fn parse(rest: &'a str, verb: Verb) -> Option<(Self, Verb)> {
        let lists = matches!(verb, Verb::List | Verb::Scan);
        if matches!(rest, "keys" | "keys/") {
            return Some((Self::Keys, verb));
        }
        let (first, below) = rest.split_once('/').unwrap_or((rest, ""));
        let (second, third) = below.split_once('/').unwrap_or((below, ""));
        let path = match first {
            "random" | "hash" if !lists || !second.is_empty() => Self::Tool(rest),
            // What follows the name may be anything here, a slash at its end too.
            "hmac" if is_name(second) => Self::Hmac { name: second, hash: third },
            "sign" if is_name(second) => Self::Sign { name: second, hash: third },
            "verify" if is_name(second) => Self::Verify { name: second, hash: third },
            _ if lists => return None,
            "backup" if is_name(below) => Self::Backup(below),
            "byok-export" if is_name(second) => match third.split_once('/').unwrap_or((third, "")) {
                (name, version) if is_name(name) && !version.contains('/') => {
                    Self::ByokExport { wrapping: second, name, version }
                }
                _ => return None,
            },
            "cache-config" if below.is_empty() => Self::CacheConfig,
            "config" if below == "keys" => Self::ConfigKeys,
            "datakey" if is_name(second) && is_name(third) => Self::DataKey { how: second, name: third },
            "decrypt" if is_name(below) => Self::Decrypt(below),
            "derive-key" if is_name(below) => Self::DeriveKey(below),
            "encrypt" if is_name(below) => Self::Encrypt(below),
            "export" if is_name(second) => match third.split_once('/').unwrap_or((third, "")) {
                (name, version) if is_name(name) && !version.contains('/') => {
                    Self::Export { kind: second, name, version }
                }
                _ => return None,
            },
            "keys" if is_name(second) && (third.is_empty() || STEPS.contains(&third)) => {
                Self::Key { name: second, step: third }
            }
            "restore" => Self::Restore(below),
            "rewrap" if is_name(below) => Self::Rewrap(below),
            "wrapping_key" if below.is_empty() => Self::WrappingKey,
            _ => return None,
        };
        let listed_name_alone = lists && below.ends_with('/') && third.is_empty();
        (!listed_name_alone).then_some((path, verb))
    }
}

/// Letters, digits and `_`, with `-` and `.` within.
fn is_name(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = name.as_bytes();
    bytes.first().is_some_and(|first| is_word(*first))
        && bytes.last().is_some_and(|last| is_word(*last))
        && bytes.iter().all(|byte| is_word(*byte) || matches!(byte, b'-' | b'.'))
}

/// What a key's path may end in.
const STEPS: [&str; 9] = [
    "config",
    "csr",
    "import",
    "import_version",
    "rotate",
    "set-certificate",
    "soft-delete",
    "soft-delete-restore",
    "trim",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_original() {
        let parse = |rest, verb| Path::parse(rest, verb).map(|(path, _)| path);
        for (rest, path) in [
            ("keys/", Path::Keys),
            ("keys", Path::Keys),
            ("keys/a.b-c_d", Path::Key { name: "a.b-c_d", step: "" }),
            ("keys/a/rotate", Path::Key { name: "a", step: "rotate" }),
            ("sign/a/sha2-256/x", Path::Sign { name: "a", hash: "sha2-256/x" }),
            ("verify/a", Path::Verify { name: "a", hash: "" }),
            ("export/signing-key/a", Path::Export { kind: "signing-key", name: "a", version: "" }),
            ("export/signing-key/a/latest", Path::Export { kind: "signing-key", name: "a", version: "latest" }),
            ("byok-export/w/a/1", Path::ByokExport { wrapping: "w", name: "a", version: "1" }),
            ("datakey/plaintext/a", Path::DataKey { how: "plaintext", name: "a" }),
            ("config/keys", Path::ConfigKeys),
            ("restore", Path::Restore("")),
            ("restore/a/b", Path::Restore("a/b")),
            ("random/platform/5", Path::Tool("random/platform/5")),
        ] {
            assert_eq!(parse(rest, Verb::Write), Some(path), "{rest}");
        }
        for rest in [
            "",
            "nosuch",
            "keys/a b",
            "keys/-a",
            "keys/a.",
            "keys/a/nosuch",
            "keys/a/rotate/x",
            "encrypt",
            "encrypt/a/b",
            "export/a",
            "export",
            "export/a/b/c/d",
            "byok-export/a",
            "config",
            "config/x",
            "datakey/a",
            "wrapping_key/x",
            "hmac",
            "sign/",
        ] {
            assert_eq!(parse(rest, Verb::Write), None, "{rest}");
        }
        for rest in ["keys/a/", "encrypt/a/", "sign/a/", "export/a/b/", "random/", "wrapping_key/"] {
            assert_eq!(parse(rest, Verb::List), None, "{rest}");
        }
        for rest in ["keys/", "sign/a/b/", "hash/a/b/"] {
            assert!(parse(rest, Verb::List).is_some(), "{rest}");
        }
    }

    #[test]
    fn names_begin_and_end_with_a_letter_or_a_digit() {
        for name in ["a", "A1", "_", "a-b.c", "0"] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-", "a-", ".a", "a b", "ä", "a/b"] {
            assert!(!is_name(name), "{name}");
        }
    }
}
