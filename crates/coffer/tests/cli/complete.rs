//! Completion with names as shells ask for it: bash runs the script, with the words as bash takes them apart; the protocol of zsh
//! and fish is spoken by hand.

use std::process::Command;

use crate::server::Server;

/// A server with secrets in two scopes, a key, a policy and a profile.
fn filled() -> Server {
    let server = Server::dev();
    server.coffer_with_input(&["login"], "root\n");
    for (name, scope) in [("DB_PASSWORD", "acme:prod:api"), ("DB_USER", "acme:prod:api"), ("OTHER", "acme:staging")] {
        server.coffer_with_input(&["secrets", "set", &format!("{name}=-"), "--scope", scope], "x");
    }
    server.stdout(&["keys", "create", "signing"]);
    std::fs::write(server.home().join("p.hcl"), "path \"a\" { capabilities = [\"read\"] }").unwrap();
    server.stdout(&["policy", "write", "readers", "p.hcl"]);
    server.stdout(&["profile", "add", "work"]);
    server
}

/// What bash makes of a line with its cursor at the end: the words that it would put in the place of the last part.
fn bash(server: &Server, line: &str) -> Vec<String> {
    // As readline does: blanks part words, and each of these signs is a word of its own.
    let mut words: Vec<String> = Vec::new();
    for part in line.split(' ') {
        let mut word = String::new();
        let before = words.len();
        for c in part.chars() {
            if matches!(c, ':' | '=') {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                words.push(c.to_string());
            } else {
                word.push(c);
            }
        }
        if !word.is_empty() || words.len() == before {
            words.push(word);
        }
    }
    let current = words.last().cloned().unwrap();
    let replaced = if matches!(current.as_str(), ":" | "=") { String::new() } else { current };
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let all: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    let script = format!(
        "source <(coffer completion bash --names)\nCOMP_WORDS=({})\nCOMP_CWORD={}\nCOMP_LINE={}\n\
         COMP_POINT=${{#COMP_LINE}}\nCOMP_TYPE=9\n_coffer_complete coffer {} ''\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        all.join(" "),
        words.len() - 1,
        quoted(line),
        quoted(&replaced),
    );
    said(server, &mut bash_with(server, &script))
}

fn bash_with(server: &Server, script: &str) -> Command {
    let mut command = Command::new("bash");
    command.args(["--norc", "-c", script]);
    command.env("COFFER_ADDR", server.url());
    command
}

/// What the program answers a shell of this name, with the words as that shell hands them on.
fn asked(server: &Server, shell: &str, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
    command.env("COFFER_COMPLETE", shell).env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    command.env("_CLAP_IFS", "\n").env("COFFER_ADDR", server.url()).arg("--").args(words);
    // A description follows a name, after ':' or a tab.
    said(server, &mut command).iter().map(|line| line.split(['\t', ':']).next().unwrap().to_owned()).collect()
}

fn said(server: &Server, command: &mut Command) -> Vec<String> {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_coffer")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output =
        command.env("PATH", path).env("HOME", server.home()).env("COFFER_DATA", server.home()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).filter(|line| !line.is_empty()).collect()
}

#[test]
fn bash_completes_names_of_the_line_so_far() {
    let server = filled();
    for (line, expected) in [
        ("coffer secrets get --scope acme:prod:api D", &["DB_PASSWORD", "DB_USER"][..]),
        ("coffer secrets get --scope=acme:prod:api DB_P", &["DB_PASSWORD"]),
        ("coffer secrets get -p acme -e prod -s api DB_U", &["DB_USER"]),
        ("coffer secrets get -p acme --env=prod --service=api DB_U", &["DB_USER"]),
        ("coffer secrets get --scope acme:staging O", &["OTHER"]),
        ("coffer secrets get --scope acme:prod D", &[]),
        // What is replaced is what stands behind the last sign that takes words apart.
        ("coffer secrets list --scope acme:pr", &["prod:api"]),
        ("coffer secrets list --scope acme:", &["prod:api", "staging"]),
        ("coffer secrets list --scope=acme:st", &["staging"]),
        ("coffer secrets list -p acme -e ", &["prod", "staging"]),
        ("coffer secrets list -p acme --env=st", &["staging"]),
        ("coffer secrets list -p acme -e prod -s a", &["api"]),
        ("coffer keys show s", &["signing"]),
        ("coffer policy read rea", &["readers"]),
        ("coffer profile use w", &["work"]),
        ("coffer whoami --profile w", &["work"]),
        ("coffer secrets hist", &["history"]),
    ] {
        assert_eq!(bash(&server, line), expected, "{line}");
    }
    let line = format!("coffer keys show --addr {} si", server.url());
    assert_eq!(bash(&server, &line), ["signing"], "{line}");
    assert_eq!(bash(&server, "coffer keys show --addr http://127.0.0.1:1 si"), Vec::<String>::new());
}

#[test]
fn other_shells_are_answered_too() {
    let server = filled();
    for shell in ["bash", "fish", "zsh"] {
        let names = asked(&server, shell, &["coffer", "secrets", "get", "--scope", "acme:prod:api", "DB"]);
        assert_eq!(names, ["DB_PASSWORD", "DB_USER"], "{shell}");
        assert_eq!(asked(&server, shell, &["coffer", "policy", "read", "rea"]), ["readers"], "{shell}");
    }
}

#[test]
fn names_far_behind_the_first_page_are_found() {
    let server = Server::dev();
    server.coffer_with_input(&["login"], "root\n");
    let names = (0..1500).map(|at| format!("A_{at:04}=x\n")).chain(["ZEBRA_ONE=x\n".to_owned()]);
    std::fs::write(server.home().join("many.env"), names.collect::<String>()).unwrap();
    server.stdout(&["env", "import", "many.env", "-p", "acme", "-q"]);
    assert_eq!(bash(&server, "coffer secrets get -p acme ZE"), ["ZEBRA_ONE"]);
    assert_eq!(bash(&server, "coffer secrets get -p acme ZEBRA_"), ["ZEBRA_ONE"]);
    assert_eq!(bash(&server, "coffer secrets get -p acme A_0000"), ["A_0000"]);
}
