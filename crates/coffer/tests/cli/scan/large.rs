//! Large trees: what a scan holds of them, and what it finds of the passwords that Coffer makes.

use std::{io::Read, process::Stdio};

use super::Repository;
use crate::server::Server;

/// The most that a scan of a folder with a file of so many bytes ever held, in KiB.
fn peak(megabytes: usize) -> u64 {
    let repository = Repository::new();
    let line = "    let value = self.parameters.get(\"name\").map(|text| text.trim().to_owned()); // é token\n";
    repository.write("large.rs", line.repeat((megabytes << 20) / line.len()));
    // More than a pipe holds, so that the program waits at its end, where its memory can be read.
    let many = (0..4000).map(|at| format!("demo-{at:016}\n")).collect::<String>();
    repository.write("many", many);
    let mut command = repository.command(env!("CARGO_BIN_EXE_coffer"));
    command.args(["scan", "--config", "rules.toml", "-f", "text", "-q"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert_eq!((child.wait().unwrap().code(), rest.split(|byte| *byte == b'\n').count()), (Some(10), 4001));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn memory_stays_flat_whatever_the_length_of_the_files() {
    let (small, large) = (peak(1), peak(48));
    println!("peaks of memory in KiB for 1 and 48 MiB: {small}, {large}");
    assert!(large < small + 4096, "{small} {large}");
}

#[test]
fn passwords_that_coffer_makes_are_found_wherever_they_are_assigned() {
    let server = Server::dev();
    server.coffer_with_input(&["login"], "root\n");
    let repository = Repository::new();
    let count = 60;
    for at in 0..count {
        server.stdout(&["secrets", "generate", &format!("DB{at:02}_PASSWORD"), "-p", "acme", "-q"]);
    }
    let scan = |name: &str| {
        let said = repository.scan(&["-f", "text", "-q", name]);
        said.1.lines().filter(|line| line.contains("-secret ")).count()
    };
    for (format, name) in [("json", "of.json"), ("env", "of.sh"), ("dotenv", ".env")] {
        repository.write(name, server.stdout(&["env", "export", "-f", format, "-p", "acme"]));
        let found = scan(name);
        // One in a hundred may look like code or a place for a value.
        assert!(found * 100 >= count * 95, "{found} of {count} in {name}");
    }
}
