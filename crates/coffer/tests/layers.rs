//! The architecture, checked: which crate may know which, and which file may name what. ARCHITECTURE.md explains why.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Every edge between our crates. A new one is a change of architecture.
const EDGES: [(&str, &str); 14] = [
    ("coffer", "coffer-api"),
    ("coffer", "coffer-client"),
    ("coffer", "coffer-core"),
    ("coffer", "coffer-crypto"),
    ("coffer", "coffer-scan"),
    ("coffer", "coffer-server"),
    ("coffer-client", "coffer-api"),
    ("coffer-core", "coffer-api"),
    ("coffer-core", "coffer-crypto"),
    ("coffer-core", "coffer-storage"),
    ("coffer-crypto", "coffer-evp"),
    ("coffer-crypto", "coffer-lockmem"),
    ("coffer-server", "coffer-api"),
    ("coffer-server", "coffer-core"),
];

/// Crates of others that a crate of ours must not name: what keeps storage from decrypting, crypto from tracing or
/// serialising a key, and the core from knowing HTTP.
const FORBIDDEN: [(&str, &[&str]); 8] = [
    ("coffer-api", &["axum", "http", "hyper", "tokio", "tracing"]),
    ("coffer-client", &["axum", "tracing"]),
    ("coffer-core", &["axum", "clap", "http", "hyper", "hyper-util", "rusqlite", "tokio-postgres", "tower"]),
    ("coffer-crypto", &["log", "serde", "serde_json", "tokio", "tracing"]),
    ("coffer-evp", &["log", "serde", "serde_json", "tokio", "tracing"]),
    ("coffer-lockmem", &["log", "serde", "serde_json", "tokio", "tracing"]),
    ("coffer-scan", &["http", "hyper", "tokio", "tracing"]),
    ("coffer-storage", &["argon2", "aws-lc-rs", "serde", "serde_json"]),
];

#[test]
fn crates_depend_only_along_the_listed_edges() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages.iter().map(name_of).collect();
    assert!(ours.contains("coffer-core") && ours.contains("coffer-lockmem"), "the workspace was not read: {ours:?}");

    let mut wrong = Vec::new();
    for package in &packages {
        // Tests too: one that reaches around a layer is how the next edge begins.
        for (to, _kind) in dependencies(package) {
            if ours.contains(to) && !EDGES.contains(&(name_of(package), to)) {
                wrong.push(format!("{} -> {to}", name_of(package)));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that are not in the list: {wrong:?}");
}

#[test]
fn crates_name_no_crate_forbidden_to_them() {
    let packages = packages();
    let mut wrong = Vec::new();
    for (name, forbidden) in FORBIDDEN {
        let package = packages.iter().find(|package| name_of(package) == name).expect(name);
        let named = dependencies(package).into_iter().filter(|(to, kind)| *kind != "dev" && forbidden.contains(to));
        wrong.extend(named.map(|(to, _)| format!("{name} -> {to}")));
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn crates_take_the_workspace_lints_so_that_none_but_evp_and_lockmem_may_be_unsafe() {
    let mut own = Vec::new();
    for package in packages() {
        let manifest: toml::Table =
            toml::from_str(&read(Path::new(package["manifest_path"].as_str().unwrap()))).unwrap();
        if manifest["lints"].get("workspace") != Some(&toml::Value::Boolean(true)) {
            own.push(name_of(&package).to_owned());
        }
    }
    own.sort_unstable();
    assert_eq!(own, ["coffer-evp", "coffer-lockmem"]);
    let workspace: toml::Table = toml::from_str(&read(&root().join("Cargo.toml"))).unwrap();
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
}

#[test]
fn crates_that_may_be_unsafe_stay_small() {
    for (name, max) in [("evp", 300), ("lockmem", 150)] {
        let lines: usize = rust_files(&root().join("crates").join(name).join("src"))
            .iter()
            .map(|file| read(file).lines().count())
            .sum();
        assert!((1..max).contains(&lines), "{name} has {lines} lines");
    }
}

#[test]
fn sealed_bytes_are_made_by_the_barrier_alone() {
    let barrier = Path::new("core/src/barrier.rs");
    let mut makers = BTreeSet::new();
    for file in rust_files(&root().join("crates")) {
        for line in code_lines(&file) {
            if line.contains("from_barrier") && !line.contains("fn from_barrier") {
                makers.insert(file.clone());
            }
        }
    }
    assert!(
        makers.remove(&root().join("crates").join(barrier)),
        "the barrier was not found: has the function a new name?"
    );
    assert!(makers.is_empty(), "Sealed::from_barrier is named outside {}: {makers:?}", barrier.display());
}

#[test]
fn binary_names_the_core_in_offline_commands_alone() {
    let offline = root().join("crates/coffer/src/cmd/offline");
    let outside: Vec<_> = rust_files(&root().join("crates/coffer"))
        .into_iter()
        .filter(|file| !file.starts_with(&offline) && !file.ends_with("tests/layers.rs"))
        .filter(|file| read(file).contains("coffer_core"))
        .collect();
    assert!(outside.is_empty(), "a command that talks to a server cannot reach inside it: {outside:?}");
}

#[test]
fn binary_names_the_cryptography_where_files_and_wrapped_keys_are_made_alone() {
    let keys = root().join("crates/coffer/src/cmd/keys");
    let outside: Vec<_> = rust_files(&root().join("crates/coffer"))
        .into_iter()
        .filter(|file| !file.starts_with(&keys) && !file.ends_with("tests/layers.rs"))
        .filter(|file| read(file).contains("coffer_crypto"))
        .collect();
    assert!(outside.is_empty(), "keys stay on the server: {outside:?}");
}

#[test]
fn files_open_with_their_purpose_and_are_no_giants() {
    let files = rust_files(&root().join("crates"));
    assert!(files.len() > 20, "the tree was not read");
    let mut wrong = Vec::new();
    for file in files {
        let text = read(&file);
        if !text.starts_with("//!") {
            wrong.push(format!("{} does not open with //!", file.display()));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            wrong.push(format!("{} has {lines} lines, split it", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Lines in a Rust file; over 500 a reviewer asks why.
const MAX_LINES: usize = 800;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Our packages, as `cargo metadata` tells them.
fn packages() -> Vec<Value> {
    let arguments = ["metadata", "--format-version", "1", "--no-deps", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn name_of(package: &Value) -> &str {
    package["name"].as_str().unwrap()
}

/// The declared dependencies with their kind: normal, build or dev.
fn dependencies(package: &Value) -> Vec<(&str, &str)> {
    let declared = package["dependencies"].as_array().unwrap().iter();
    declared.map(|dependency| (name_of(dependency), dependency["kind"].as_str().unwrap_or("normal"))).collect()
}

/// Every Rust file under a folder, tests included.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The lines of a file that are neither comments nor tests: integration tests and files of tests are left out whole, and
/// of the others the unit tests' module up to its closing brace.
fn code_lines(file: &Path) -> Vec<String> {
    let is_test = file.components().any(|part| part.as_os_str() == "tests") || file.ends_with("tests.rs");
    if is_test {
        return Vec::new();
    }
    let text = read(file);
    let (before, tests) = text.split_once("\n#[cfg(test)]\nmod tests {").unwrap_or((&text, ""));
    let (_tests, after) = tests.split_once("\n}").unwrap_or_default();
    let lines = before.lines().chain(after.lines());
    lines.filter(|line| !line.trim_start().starts_with("//")).map(ToOwned::to_owned).collect()
}
