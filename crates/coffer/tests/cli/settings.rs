//! Every key of the configuration file is a flag and a variable too.

use std::{collections::BTreeSet, process::Command};

use toml::Value;

const SAMPLE: &str = include_str!("../../../../docs/samples/full.toml");

/// Options that are not settings of the server, and so in no file.
const NOT_IN_THE_FILE: [&str; 3] = ["config", "dev", "dev-root-token-id"];

#[test]
fn every_key_of_the_sample_is_a_flag_with_its_variable_and_the_other_way_round() {
    let of_server = options("server");
    let of_every_command: BTreeSet<String> = options("whoami").into_iter().map(|(name, _)| name).collect();
    let keys = keys();
    assert!(keys.len() >= 18, "{keys:?}");
    for key in &keys {
        let flag = key.replace('_', "-");
        let variable = format!("COFFER_{}", key.to_uppercase());
        let option = of_server.iter().find(|(name, _)| *name == flag);
        let (_, text) = option.unwrap_or_else(|| panic!("no flag --{flag}"));
        assert!(text.contains(&format!("[env: {variable}")), "--{flag} does not name {variable}: {text}");
    }
    for (name, _) in of_server.iter().filter(|(name, _)| !of_every_command.contains(name)) {
        let is_known = keys.contains(&name.replace('-', "_")) || NOT_IN_THE_FILE.contains(&name.as_str());
        assert!(is_known, "--{name} is in no sample: docs/samples/full.toml shows every key");
    }
}

#[test]
fn number_that_is_none_is_refused_by_flag_and_by_variable() {
    for key in keys().iter().filter(|key| NUMBERS.iter().any(|end| key.ends_with(end))) {
        let flag = format!("--{}", key.replace('_', "-"));
        let variable = format!("COFFER_{}", key.to_uppercase());
        let by_flag = coffer("server", &[&flag, "nonsense"], None);
        let by_variable = coffer("server", &[], Some((&variable, "nonsense")));
        for said in [by_flag, by_variable] {
            assert!(said.contains("nonsense") && said.contains(&flag), "{key}: {said}");
        }
    }
}

/// Ends of the keys whose values are numbers.
const NUMBERS: [&str; 5] = ["_bytes", "_changes", "_reads", "_ttl", "_connections"];

/// As `listen`, `audit_dir`: a section's name stands before its key, but that of the limits.
fn keys() -> BTreeSet<String> {
    let sample: toml::Table = SAMPLE.parse().unwrap();
    let mut keys = BTreeSet::new();
    for (name, value) in sample {
        match value {
            Value::Table(section) if name == "backup" => {
                // That of two which the sample, having the other, cannot show but in a comment.
                assert!(SAMPLE.contains("daily_at = "));
                keys.insert("backup_daily_at".to_owned());
                keys.extend(section.into_iter().map(|(key, _)| format!("backup_{key}")));
            }
            Value::Table(section) if name == "limits" => keys.extend(section.into_iter().map(|(key, _)| key)),
            Value::Table(section) => keys.extend(section.into_iter().map(|(key, _)| format!("{name}_{key}"))),
            _ => drop(keys.insert(name)),
        }
    }
    keys
}

/// Each long option of a command with its text in `--help`.
fn options(command: &str) -> Vec<(String, String)> {
    let help = coffer(command, &["--help"], None);
    let mut options: Vec<(String, String)> = Vec::new();
    for line in help.lines() {
        let option = line.trim_start().trim_start_matches("-h, ").strip_prefix("--");
        match (option, options.last_mut()) {
            (Some(option), _) => {
                let name = option.split([' ', '=']).next().unwrap();
                options.push((name.to_owned(), line.to_owned()));
            }
            (None, Some((_, text))) => text.push_str(line),
            (None, None) => {}
        }
    }
    options
}

fn coffer(name: &str, arguments: &[&str], variable: Option<(&str, &str)>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
    let output = command.arg(name).args(arguments).env_clear().envs(variable).output().unwrap();
    String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
}
