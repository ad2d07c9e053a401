//! Enums that are stored, by the number of their variant: what is in a store must mean the same for ever, so new variants go last.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::{
    auth::parameters::{LoginKind, OldSpelling},
    backup::restored::Progress,
    engine::key::state::KeyState,
    generate::{Class, Recipe, RsaBits},
    identity::GroupKind,
    mount::{
        MountKind,
        provisional::Standing,
        tune::{Listing, LoginTokenType},
    },
    token::wrap::Tells,
};

/// The bytes of each of these, which are the number of its variant.
fn stored<T: Serialize>(variants: &[T]) -> Vec<u8> {
    variants.iter().flat_map(|variant| postcard::to_extend(variant, Vec::new()).unwrap()).collect()
}

/// One enum's variants in the order in which they are stored, and a match that knows them all.
macro_rules! pinned {
    ($name:ident: $($variant:ident)*) => {{
        let _ = |value: $name| match value { $($name::$variant => ()),* };
        let variants = [$($name::$variant),*];
        let numbers: Vec<u8> = (0..u8::try_from(variants.len()).unwrap()).collect();
        assert_eq!(stored(&variants), numbers, "{}: new variants go last", stringify!($name));
        stringify!($name)
    }};
}

#[test]
fn stored_enums_keep_their_numbers_for_ever() {
    let pinned = [
        pinned!(Class: Digits Lower Symbols Upper),
        pinned!(Progress: Half Whole),
        pinned!(RsaBits: B2048 B3072 B4096),
        recipes(),
        pinned!(GroupKind: External Internal),
        pinned!(KeyState: PreActive Active Suspended Deactivated Compromised DestroyScheduled Destroyed),
        pinned!(Listing: Default Hidden Unauthenticated),
        pinned!(LoginKind: Batch Default Service),
        pinned!(LoginTokenType: Batch DefaultBatch DefaultService Service),
        pinned!(MountKind: Approle Cubbyhole Generic Identity KvV1 KvV2 System Token Userpass Transit),
        pinned!(OldSpelling: BoundCidrs MaxTtl NumUses Period Policies Ttl),
        pinned!(Standing: Chosen Provisional Used),
        pinned!(Tells: Result Absence),
    ];
    // One that is stored and stands in no line above would be free to change.
    let mut found = BTreeSet::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let pinned: BTreeSet<String> = pinned.into_iter().map(str::to_owned).collect();
    assert_eq!(found, pinned, "every enum of the core that is serialised stands in this test");
}

/// As `pinned`, for variants that hold something: the first byte is the variant's number.
fn recipes() -> &'static str {
    let text = String::new;
    let variants = [
        Recipe::Base64 { bytes: 8 },
        Recipe::Base64Url { bytes: 8 },
        Recipe::Hex { bytes: 8 },
        Recipe::Passphrase { words: 3, separator: text() },
        Recipe::Password { length: 4, classes: Vec::new(), exclude: text() },
        Recipe::Rsa(RsaBits::B2048),
        Recipe::SshEd25519 { comment: text() },
        Recipe::Uuid,
        Recipe::X25519Base64,
        Recipe::X25519Pem,
    ];
    for (number, variant) in (0..).zip(&variants) {
        // One that is new is missed here, and goes last above.
        match variant {
            Recipe::Base64 { .. }
            | Recipe::Base64Url { .. }
            | Recipe::Hex { .. }
            | Recipe::Passphrase { .. }
            | Recipe::Password { .. }
            | Recipe::Rsa(_)
            | Recipe::SshEd25519 { .. }
            | Recipe::Uuid
            | Recipe::X25519Base64
            | Recipe::X25519Pem => assert_eq!(stored(std::slice::from_ref(variant)).first(), Some(&number)),
        }
    }
    "Recipe"
}

/// The names of enums that derive `Serialize`.
fn collect(folder: &Path, found: &mut BTreeSet<String>) {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) = entries.partition(|path| path.is_dir());
    for folder in folders {
        collect(&folder, found);
    }
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut derives = false;
        for line in text.lines().map(str::trim_start) {
            match line.split_whitespace().collect::<Vec<_>>().as_slice() {
                [first, ..] if first.starts_with("#[derive(") => derives = line.contains("Serialize"),
                ["enum", name, ..] | [_, "enum", name, ..] if derives => {
                    found.insert((*name).trim_matches('{').to_owned());
                    derives = false;
                }
                [first, ..] if first.starts_with("#[") || first.starts_with("//") => {}
                _ => derives = false,
            }
        }
    }
}
