//! What vaultrs can do, read from its source, and what the table leaves out, with the reason.

use std::{fs, path::Path};

use crate::table::{Table, is_oracle};

/// Functions, or modules with all that is in them, that are left out.
const LATER: [(&str, &str); 13] = [
    ("api::auth", "what the functions are made of"),
    ("api::exec_with_empty", "what the functions are made of"),
    ("api::exec_with_empty_result", "what the functions are made of"),
    ("api::exec_with_no_result", "what the functions are made of"),
    ("api::exec_with_result", "what the functions are made of"),
    ("auth::aws::", "no login by AWS"),
    ("auth::cert::", "login by certificate comes later"),
    ("auth::kubernetes::", "login by Kubernetes comes later"),
    ("auth::oidc::", "login by OIDC comes later"),
    ("aws::", "no AWS engine"),
    ("database::", "dynamic credentials come later"),
    ("pki::", "certificates come later"),
    ("ssh::", "no SSH engine"),
];

/// Functions that have no refusal, with the reason.
const OPEN: [(&str, &str); 2] = [("sys::status", "it answers everyone"), ("client::status", "it answers everyone")];

/// Functions in neither list or in both, entries without a function, and rows that lack one of the two halves.
pub fn gaps(table: &Table, source: &Path) -> Vec<String> {
    let known = functions(source);
    let mut wrong = Vec::new();
    for name in &known {
        match (table.names().any(|(row, ..)| row == name), is_later(name)) {
            (false, false) => wrong.push(format!("{name}: neither in the table nor in the later list")),
            (true, true) => wrong.push(format!("{name}: listed twice")),
            _ => {}
        }
    }
    for (name, successes, refusals) in table.names() {
        let has_none = successes == 0 && !(is_oracle() && name == "sys::health");
        let is_open = OPEN.iter().any(|(open, _)| *open == name);
        if !known.iter().any(|known| known == name) {
            wrong.push(format!("{name}: vaultrs has no such function"));
        }
        if has_none || (refusals == 0) != is_open {
            wrong.push(format!("{name}: {successes} successes and {refusals} refusals"));
        }
    }
    let unused = LATER.iter().filter(|(entry, _)| !known.iter().any(|name| stands_for(entry, name)));
    wrong.extend(unused.map(|(entry, _)| format!("{entry}: vaultrs has nothing of this name")));
    wrong
}

/// How many functions are left out.
pub fn later(source: &Path) -> usize {
    functions(source).iter().filter(|name| is_later(name)).count()
}

/// Every public asynchronous function, by its path in the crate.
fn functions(source: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![source.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the source of vaultrs") {
            let path = entry.expect("an entry").path();
            // The modules below `api` hold what is sent and received.
            if path.is_dir() && path != source.join("api") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = path.strip_prefix(source).expect("it lies in the source").with_extension("");
                let module = module.to_str().expect("a name in ASCII").replace('/', "::");
                found.extend(of_module(&module, &fs::read_to_string(&path).expect("a readable file")));
            }
        }
    }
    assert!(found.len() > 200, "the source of vaultrs was not read: {found:?}");
    found
}

/// The functions of a file. The modules in it nest as deep as their lines are indented.
fn of_module(module: &str, text: &str) -> Vec<String> {
    // The methods of the trait `Client` are public without saying so.
    let sign = if module == "client" { "async fn " } else { "pub async fn " };
    let mut nested: Vec<&str> = Vec::new();
    let mut found = Vec::new();
    for line in text.lines() {
        let code = line.trim_start();
        let depth = (line.len() - code.len()) / 4;
        if let Some(inner) = code.strip_prefix("pub mod ").and_then(|rest| rest.strip_suffix(" {")) {
            nested.truncate(depth);
            nested.push(inner);
        } else if let Some(rest) = code.strip_prefix(sign) {
            let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next().expect("a name");
            let inner = nested.iter().take(depth).map(|inner| format!("{inner}::")).collect::<String>();
            found.push(format!("{module}::{inner}{name}"));
        }
    }
    found
}

fn is_later(name: &str) -> bool {
    LATER.iter().any(|(entry, _)| stands_for(entry, name))
}

fn stands_for(entry: &str, name: &str) -> bool {
    if entry.ends_with("::") { name.starts_with(entry) } else { name == entry }
}
