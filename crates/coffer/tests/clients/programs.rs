//! Tables that are programs in the client's own language: hvac, node-vault and vaultrs.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

use crate::servers::{Server, command, installed};

#[test]
fn hvac_every_call_in_scope_succeeds_and_is_refused() {
    let folder = here().join("hvac_table");
    table(|home| {
        let mut python = command(installed(".venv/bin/python"), home);
        python.env("PYTHONDONTWRITEBYTECODE", "1").arg(&folder);
        python
    });
}

#[test]
fn node_vault_every_call_in_scope_succeeds_and_is_refused() {
    installed("crates/coffer/tests/clients/node-vault/node_modules/node-vault");
    table(|home| {
        let mut node = command("node", home);
        node.arg(here().join("node-vault/main.js"));
        node
    });
}

#[test]
fn vaultrs_every_call_in_scope_succeeds_and_is_refused() {
    let manifest = here().join("vaultrs/Cargo.toml");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients");
    let mut build = cargo("build", &manifest);
    let built = build.args(["--quiet", "--target-dir"]).arg(&target).status().unwrap();
    assert!(built.success(), "the table for vaultrs does not build");

    let metadata = cargo("metadata", &manifest).args(["--format-version", "1"]).output().unwrap();
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let vaultrs = packages.iter().find(|package| package["name"] == "vaultrs").unwrap();
    let source = Path::new(vaultrs["manifest_path"].as_str().unwrap()).parent().unwrap().join("src");
    table(|home| {
        let mut program = command(target.join("debug/coffer-clients-vaultrs"), home);
        program.arg(&source);
        program
    });
}

/// Runs a table against two servers of its own. It prints what is wrong, then its counts.
fn table(program: impl FnOnce(&Path) -> Command) {
    let (dev, shamir) = (Server::dev(), Server::shamir());
    let mut program = program(dev.home());
    program.env("DEV_URL", dev.url()).env("SHAMIR_URL", shamir.url());
    if let Some(oracle) = std::env::var_os("COFFER_ORACLE") {
        program.env("COFFER_ORACLE", oracle);
    }
    let output = program.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let problems = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{}:\n{said}{problems}", output.status);
    print_counts(said.lines().last().expect("a line with the counts"));
}

/// Prints a table's counts (`NAME: 3 calls, …, 2 later`), which docs/COMPATIBILITY.md must have as well.
pub fn print_counts(line: &str) {
    print(line);
    let (name, counts) = line.split_once(": ").unwrap();
    let first = |text: &str| text.split_whitespace().next().unwrap_or_default().to_owned();
    let (calls, later) = (first(counts), first(counts.rsplit(", ").next().unwrap()));
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/COMPATIBILITY.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut rows = page.lines().map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let is_of_it = |row: &Vec<&str>| row.len() == 6 && first(row[1]).trim_matches('`') == name && row[1].contains('(');
    let told = rows.find(is_of_it).map(|row| (row[3].to_owned(), row[4].to_owned()));
    assert_eq!(told, Some((calls, later)), "what docs/COMPATIBILITY.md says of {name}, and what there is");
}

/// Prints past the test harness, which keeps to itself what a test that passes prints.
pub fn print(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).unwrap();
}

fn cargo(what: &str, manifest: &Path) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([what, "--locked", "--manifest-path"]).arg(manifest);
    cargo
}

/// The folder of these tests.
pub fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}
