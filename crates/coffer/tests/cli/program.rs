//! What only a running program shows: signals, exit codes by signal, pipes whose reader went away.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::ExitStatusExt,
    process::{Child, Command, Stdio},
};

use rustix::process::{Pid, Signal};

use crate::stub::Stub;

/// Two secrets of a scope, nothing hidden.
const EFFECTIVE: &str = r#"{"secrets":[
    {"scope":"acme","name":"A","value":"it's \"a\"\n","created_time":"t","state":"active","version":1},
    {"scope":"acme","name":"B","value":"","created_time":"t","state":"active","version":1}],"hidden":0}"#;

fn coffer(stub: &Stub, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("COFFER_ADDR", stub.url())
        .env("COFFER_TOKEN", "canary-token")
        .env("COFFER_PROJECT", "acme")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run_shell(script: &str) -> std::process::Output {
    let stub = Stub::always(EFFECTIVE);
    coffer(&stub, &["run", "--", "sh", "-c", script]).output().unwrap()
}

/// Waits until the program below says that it is ready.
fn until_ready(child: &mut Child) {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
}

fn send(child: &Child, signal: Signal) {
    rustix::process::kill_process(Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap(), signal).unwrap();
}

#[test]
fn program_gets_values_and_returns_its_code() {
    let output = run_shell(r#"printf '%s|%s|%s' "$A" "${B-unset}" "$PATH"; exit 7"#);
    let path = std::env::var("PATH").unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("it's \"a\"\n||{path}"));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn program_does_not_get_coffers_own_token() {
    assert_eq!(run_shell("env").stdout.windows(12).filter(|window| window == b"canary-token").count(), 0);
    let stub = Stub::always(EFFECTIVE);
    let kept = coffer(&stub, &["run", "--keep-token", "--", "sh", "-c", "printf %s $COFFER_TOKEN"]).output().unwrap();
    assert_eq!(kept.stdout, b"canary-token");
}

#[test]
fn program_ended_by_a_signal_gives_128_and_its_number() {
    for (signal, code) in [("KILL", 137), ("TERM", 143), ("SEGV", 139)] {
        assert_eq!(run_shell(&format!("kill -{signal} $$")).status.code(), Some(code), "{signal}");
    }
}

#[test]
fn signals_are_passed_on_and_the_program_decides() {
    for (signal, name) in [
        (Signal::TERM, "TERM"),
        (Signal::INT, "INT"),
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        let stub = Stub::always(EFFECTIVE);
        let script = format!("trap 'echo told; exit 9' {name}; echo ready; read x");
        // A session of its own, so that no terminal of whoever runs the test counts.
        let mut child = {
            let mut command = Command::new("setsid");
            let inner = coffer(&stub, &["run", "--", "sh", "-c", &script]);
            command.arg("--wait").arg(inner.get_program()).args(inner.get_args()).env_clear();
            for (name, value) in inner.get_envs() {
                command.env(name, value.unwrap());
            }
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        // Kept open, for its end would end the shell's `read`.
        let _input = child.stdin.take();
        until_ready(&mut child);
        send(&child, signal);
        let output = child.wait_with_output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "told\n", "{name}");
        assert_eq!(output.status.code(), Some(9), "{name}");
    }
}

#[test]
fn signal_that_the_program_does_not_catch_ends_it_and_not_coffer_alone() {
    let stub = Stub::always(EFFECTIVE);
    let mut child = coffer(&stub, &["run", "--", "sh", "-c", "echo ready; read x"]).spawn().unwrap();
    let _input = child.stdin.take();
    until_ready(&mut child);
    send(&child, Signal::TERM);
    let status = child.wait().unwrap();
    assert_eq!((status.code(), status.signal()), (Some(143), None));
}

#[test]
fn input_reaches_the_program() {
    let stub = Stub::always(EFFECTIVE);
    let mut child = coffer(&stub, &["run", "--", "cat"]).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    assert_eq!(child.wait_with_output().unwrap().stdout, b"hello");
}

#[test]
fn reader_that_goes_away_ends_coffer_quietly() {
    let stub = Stub::always(EFFECTIVE);
    let mut child = coffer(&stub, &["completion", "bash"]).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    // 141 where the pipe was gone before the first write; a script shorter than the pipe may all have been written.
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert!(matches!(output.status.code(), Some(141)), "{:?}", output.status);
}

#[test]
fn full_disk_at_stdout_is_an_error() {
    let stub = Stub::always(r#"{"status":"ok"}"#);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut child = coffer(&stub, &["health"]).stdout(full).spawn().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "error: cannot write to stdout: no space left on device\n");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn completion_scripts_are_accepted_by_their_shells() {
    let stub = Stub::always("{}");
    for shell in ["bash", "zsh", "fish"] {
        let script = coffer(&stub, &["completion", shell]).output().unwrap();
        assert_eq!(script.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&script.stdout).contains("secrets"), "{shell}");
        if shell == "bash" {
            let mut check = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
            check.stdin.take().unwrap().write_all(&script.stdout).unwrap();
            assert!(check.wait().unwrap().success());
        }
    }
}
