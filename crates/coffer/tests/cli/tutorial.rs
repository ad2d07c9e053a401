//! docs/TUTORIAL.md, command by command: each prints what stands below it.

use std::process::{Command, Stdio};

use crate::{expect, server::Server};

const TUTORIAL: &str = include_str!("../../../../docs/TUTORIAL.md");

/// A command of the tutorial and what it says.
struct Step {
    command: String,
    said: String,
}

#[test]
fn tutorial_is_true_from_the_first_command_to_the_last() {
    let steps = steps();
    assert!(steps.len() > 25, "{}", steps.len());
    // `coffer server`, on a port of the system's choice.
    let server = Server::start(&[]);
    let mut script = String::from("exec 2>&1\n");
    for step in &steps {
        // Each in the same shell, so that one finds what another left.
        script.push_str(&format!("{}\nprintf '\\n{MARK} %d\\n' $?\n", step.command.replace(ADDRESS, server.url())));
    }
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_coffer")).parent().unwrap().to_owned();
    let path =
        std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap())));
    let output = Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .env("PATH", path.unwrap())
        .env("HOME", server.home())
        .env("COFFER_DATA", server.home().join("data"))
        .env("COFFER_ADDR", server.url())
        .current_dir(server.home())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let output = String::from_utf8(output.stdout).unwrap();
    let mut rest = output.as_str();
    let kinds = ["ID", "TIME", "N", "LINE", "SPACES"].map(str::to_owned);
    for step in &steps {
        let (said, after) =
            rest.split_once(&format!("\n{MARK} ")).unwrap_or_else(|| panic!("{}: {rest}", step.command));
        let (code, after) = after.split_once('\n').unwrap();
        let expected = step.said.replace(ADDRESS, server.url());
        let said = said.trim_end_matches('\n');
        assert!(
            expect::matches(expected.trim_end_matches('\n'), said, &kinds),
            "$ {}\n--- the tutorial says\n{expected}--- it said\n{said}",
            step.command
        );
        assert_eq!(code != "0", expected.starts_with("error: "), "$ {}: code {code}", step.command);
        rest = after;
    }
}

/// What the blocks of a console hold: `$` begins a command, and what follows is what it says.
fn steps() -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut is_console = false;
    for line in TUTORIAL.lines() {
        match (line, line.strip_prefix("$ ")) {
            ("```console", _) => is_console = true,
            ("```", _) => is_console = false,
            (_, Some(command)) if is_console => {
                steps.push(Step { command: command.to_owned(), said: String::new() });
            }
            (said, None) if is_console => {
                let step = steps.last_mut().expect("a block begins with a command");
                step.said.push_str(said);
                step.said.push('\n');
            }
            _ => {}
        }
    }
    steps
}

const ADDRESS: &str = "http://127.0.0.1:8200";
const MARK: &str = "--- next step, after code";
