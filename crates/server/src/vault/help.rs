//! `?help=1`: what a mount is for and which paths it has, for anybody with a token.

use coffer_core::{Mount, MountKind};
use serde::Serialize;

use super::call::{Failure, Outcome, VaultCall, bare};
use crate::error::{self, Success};

/// Whether a query asks for help; its value does not matter.
pub(crate) fn is_asked_for(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(|pair| pair.split('=').next() == Some("help")))
}

/// Answers with the help of the mount that the path lies in.
pub(crate) async fn answer(call: &mut VaultCall, mount: &Mount) -> Outcome {
    #[derive(Serialize)]
    struct Help<'a> {
        help: &'a str,
        see_also: Option<()>,
    }
    let help = text(mount.kind);
    call.caller.help(&call.path).await.map_err(Failure::Recorded)?;
    Ok(bare(error::success(Success::Body), &Help { help, see_also: None }))
}

fn text(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Approle => {
            "Login of machines with a role id and a secret id.\n\n\
             login                          role id and secret id in, token out\n\
             role/NAME, role/NAME/FIELD     write, read, list, delete\n\
             role/NAME/role-id              write, read\n\
             role/NAME/secret-id            make, list; lookup and destroy by value or by accessor\n\
             tidy/secret-id                 remove what has expired\n"
        }
        MountKind::Cubbyhole => {
            "A store of each token's own. Nobody else sees it, and it goes with the token.\n\n\
             PATH    write, read, list, delete\n"
        }
        MountKind::Identity => {
            "Who the users and programs are: entities, their names at login methods (aliases), and groups.\n\n\
             entity, entity/id/ID, entity/name/NAME    write, read, list, delete, merge\n\
             entity-alias, entity-alias/id/ID          write, read, list, delete\n\
             group, group/id/ID, group/name/NAME       write, read, list, delete\n\
             lookup/entity, lookup/group               find by id, name or alias\n"
        }
        MountKind::Generic | MountKind::KvV1 => {
            "Secrets without versions: the body that is written is the secret.\n\n\
             PATH    write, read, list, delete\n"
        }
        MountKind::KvV2 => {
            "Secrets with versions.\n\n\
             data/PATH               write, patch, read (version=N), delete the current version\n\
             metadata/PATH           write, patch, read, list, scan; delete with all versions\n\
             detailed-metadata/PATH  list and scan with the metadata of each key\n\
             subkeys/PATH            read the structure without the values\n\
             delete/PATH, undelete/PATH, destroy/PATH    versions by number\n\
             config                  settings of the mount\n"
        }
        MountKind::System => {
            "The server itself: mounts and login methods, policies, capabilities, leases, seal and keys.\n\
             docs/COMPATIBILITY.md has every path.\n"
        }
        MountKind::Token => {
            "Tokens.\n\n\
             create, create-orphan, create/ROLE    make a token\n\
             lookup, lookup-self, lookup-accessor  what is known of one\n\
             renew, renew-self, renew-accessor     more time\n\
             revoke, revoke-self, revoke-accessor, revoke-orphan\n\
             accessors                             list\n\
             roles/NAME                            write, read, list, delete\n"
        }
        MountKind::Transit => {
            "Keys that are used here and stay here.\n\n\
             keys/NAME                       make, read, list, delete; keys/NAME/config, rotate, trim change it\n\
             keys/NAME/import, import_version, wrapping_key, derive-key/NAME    keys that come from elsewhere\n\
             encrypt/NAME, decrypt/NAME, rewrap/NAME    one item, or a list in batch_input\n\
             datakey/plaintext/NAME, datakey/wrapped/NAME    a new key, encrypted under this one\n\
             sign/NAME, verify/NAME, hmac/NAME          with the hash at the end of the path, or in the body\n\
             export/KIND/NAME, byok-export/NAME/NAME, backup/NAME, restore/NAME    what may leave\n\
             keys/NAME/csr, keys/NAME/set-certificate   certificates\n\
             random, hash                    bytes by chance, and sums\n\
             config/keys, cache-config       settings of the mount\n"
        }
        MountKind::Userpass => {
            "Login with a name and a password.\n\n\
             login/NAME                    password in, token out\n\
             users/NAME                    write, read, list, delete\n\
             users/NAME/password, users/NAME/policies    write\n"
        }
    }
}
