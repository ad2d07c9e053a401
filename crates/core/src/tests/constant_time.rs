//! Comparisons by which a secret could be guessed bit by bit: each is in constant time, and in docs/CRYPTO.md.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

const CRATES: [&str; 5] = ["api", "core", "crypto", "server", "storage"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The places that the documentation names, and how many comparisons each has.
fn documented() -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(root().join("docs/CRYPTO.md")).unwrap();
    let section = text.split("## Compared in constant time").nth(1).unwrap().split("\n## ").next().unwrap();
    let mut places = BTreeMap::new();
    for place in section.lines().filter_map(|line| line.strip_prefix("| `crates/")?.split('`').next()) {
        *places.entry(place.to_owned()).or_insert(0) += 1;
    }
    places
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => sources(&entry, found),
            false if entry.extension().is_some_and(|end| end == "rs") => found.push(entry),
            false => {}
        }
    }
}

#[test]
fn comparisons_in_constant_time_are_those_that_the_documentation_names() {
    let crates = root().join("crates");
    let mut files = Vec::new();
    CRATES.iter().for_each(|name| sources(&crates.join(name).join("src"), &mut files));
    let call = [".ct", "_eq("].concat();
    let mut found = BTreeMap::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let own = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        let count = own.lines().filter(|line| !line.trim_start().starts_with("//") && line.contains(&call)).count();
        if count > 0 {
            found.insert(file.strip_prefix(&crates).unwrap().display().to_string(), count);
        }
    }
    assert_eq!(found, documented());
}
