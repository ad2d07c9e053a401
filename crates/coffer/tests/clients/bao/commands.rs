//! Which commands `bao` has, by its own help, and whether each stands in the table or is left to later.

use std::path::Path;

use super::Table;
use crate::servers::{bao, command};

/// Reports commands in neither list or in both, and entries without a command. Returns how many are left out.
pub fn gaps(table: &Table, home: &Path, wrong: &mut Vec<String>) -> usize {
    let known = commands(home);
    // The Agent has a test of its own.
    let rows: Vec<&str> = table.row.iter().map(|row| row.call.as_str()).chain(["agent"]).collect();
    let is_later = |name: &str| table.later.keys().any(|entry| name == entry || name.starts_with(&format!("{entry} ")));
    for name in &known {
        let listed = rows.iter().filter(|row| *row == name).count() + usize::from(is_later(name));
        if listed != 1 {
            wrong.push(format!("{name}: {listed} times in the table and the later list"));
        }
    }
    let unknown = rows.iter().filter(|row| !known.iter().any(|name| name == *row));
    wrong.extend(unknown.map(|row| format!("{row}: bao has no such command")));
    for entry in table.later.keys().filter(|entry| !known.iter().any(|name| name.starts_with(entry.as_str()))) {
        wrong.push(format!("{entry}: bao has no such command"));
    }
    known.iter().filter(|name| is_later(name)).count()
}

/// Every command that does something, a group's by both names.
fn commands(home: &Path) -> Vec<String> {
    let mut open: Vec<Vec<String>> = vec![Vec::new()];
    let mut found = Vec::new();
    while let Some(words) = open.pop() {
        let inner = subcommands(&words, home);
        // The Agent runs without a subcommand, and has one.
        if inner.is_empty() || words == ["agent"] {
            found.push(words.join(" "));
        }
        open.extend(inner.into_iter().map(|name| [words.as_slice(), &[name]].concat()));
    }
    assert!(found.len() > 80, "the help was not understood: {found:?}");
    found
}

fn subcommands(words: &[String], home: &Path) -> Vec<String> {
    let output = command(bao(), home).args(words).arg("-h").output().unwrap();
    let help = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    let mut listed = help.lines().skip_while(|line| !line.to_lowercase().ends_with("commands:")).peekable();
    if listed.peek().is_none() {
        return Vec::new();
    }
    let lines = listed.filter_map(|line| line.strip_prefix("    ")).filter(|line| !line.starts_with(' '));
    lines.filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}
