//! What happens on a terminal alone: hidden prompts, questions, hints. `script` (of util-linux) makes the terminal.

use std::{
    io::{Read, Write},
    process::{Child, ChildStdout, Command, Stdio},
};

use crate::server::Server;

/// A command on a terminal of its own.
struct Terminal {
    child: Child,
    screen: ChildStdout,
    shown: String,
}

impl Terminal {
    fn run(server: &Server, command: &str) -> Self {
        let mut child = Command::new("script")
            .args(["-qec", &format!("{} {command}", env!("CARGO_BIN_EXE_coffer")), "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SHELL", "/bin/sh")
            .env("HOME", server.home())
            .env("COFFER_ADDR", server.url())
            .env("COFFER_TOKEN", "root")
            .env("COFFER_PROJECT", "acme")
            .env("NO_COLOR", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let screen = child.stdout.take().unwrap();
        Self { child, screen, shown: String::new() }
    }

    /// Waits for a question, for what is typed before it would be shown, and types the answer.
    fn answer(mut self, question: &str, answer: &str) -> Self {
        self = self.see(question);
        self.child.stdin.as_mut().unwrap().write_all(format!("{answer}\n").as_bytes()).unwrap();
        self
    }

    /// Waits until something is shown.
    fn see(mut self, text: &str) -> Self {
        let mut byte = [0];
        while !self.shown.ends_with(text) {
            assert_eq!(self.screen.read(&mut byte).unwrap(), 1, "no {text:?} in {:?}", self.shown);
            self.shown.push(char::from(byte[0]));
        }
        self
    }

    /// The exit code and all that was shown.
    fn end(mut self) -> (i32, String) {
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        self.shown.push_str(&String::from_utf8_lossy(&rest));
        (self.child.wait().unwrap().code().unwrap(), self.shown.replace("\r\n", "\n"))
    }
}

#[test]
fn bare_name_asks_without_echo() {
    let server = Server::dev();
    let (code, shown) = Terminal::run(&server, "secrets set A").answer("value of A: ", "canary two").end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("canary"), "{shown}");
    assert!(shown.ends_with("set A in acme, version 1\n"), "{shown}");
    let (_, shown) = Terminal::run(&server, "secrets get A").end();
    assert_eq!(shown, "canary two\n", "a line break is added on a terminal");
    let (_, shown) = Terminal::run(&server, "secrets get -n A").end();
    assert_eq!(shown, "canary two");
}

#[test]
fn empty_answer_sets_nothing() {
    let server = Server::dev();
    let (code, shown) = Terminal::run(&server, "secrets set A").answer("value of A: ", "").end();
    assert_eq!(code, 1);
    assert!(shown.ends_with("error: nothing was typed\n"), "{shown}");
}

#[test]
fn value_on_the_command_line_gets_a_hint_unless_quiet() {
    let server = Server::dev();
    let (code, shown) = Terminal::run(&server, "secrets set A=x").end();
    assert_eq!(code, 0);
    assert_eq!(
        shown,
        "hint: the value now stands in your shell's history; NAME, NAME=- and NAME=@FILE keep it out\nset A in acme, version 1\n"
    );
    assert_eq!(Terminal::run(&server, "secrets set -q A=x").end(), (0, String::new()));
}

#[test]
fn destroying_asks_and_yes_alone_goes_on() {
    let server = Server::dev();
    Terminal::run(&server, "secrets set -q A=x").end();
    let question = "version 1 of A in acme will be gone for good; type 'yes' to go on: ";
    let (code, shown) = Terminal::run(&server, "secrets destroy A --version 1").answer(question, "y").end();
    assert_eq!(code, 1);
    assert!(shown.ends_with("error: not confirmed\n"), "{shown}");
    assert_eq!(Terminal::run(&server, "secrets get A").end(), (0, "x\n".to_owned()));
    let (code, shown) = Terminal::run(&server, "secrets destroy A --version 1").answer(question, "yes").end();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(Terminal::run(&server, "secrets get A").end().0, 3);
}

#[test]
fn retiring_a_key_asks_and_yes_alone_goes_on() {
    let server = Server::dev();
    Terminal::run(&server, "operator rotate -q --key batch").end();
    let question = "every batch token under an older batch key will end; type 'yes' to go on: ";
    let (code, shown) = Terminal::run(&server, "operator retire batch").answer(question, "y").end();
    assert_eq!(code, 1);
    assert!(shown.ends_with("error: not confirmed\n"), "{shown}");
    let (code, shown) = Terminal::run(&server, "operator retire batch").answer(question, "yes").end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.ends_with("batch key 1 is removed, 2 remains\n"), "{shown}");
}

#[test]
fn token_is_asked_for_without_echo() {
    let server = Server::dev();
    let (code, shown) = Terminal::run(&server, "login").answer("token: ", "root").end();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.split("logged in").next().unwrap().contains("root"), "{shown}");
}

#[test]
fn variable_that_the_outer_shell_replaced_is_explained() {
    let server = Server::dev();
    Terminal::run(&server, "secrets set -q A=x").end();
    let (code, shown) = Terminal::run(&server, "run -- echo $A").end();
    assert_eq!(code, 0);
    assert!(shown.starts_with("hint: did your shell replace $NAME before coffer started?"), "{shown}");
    let (_, shown) = Terminal::run(&server, "run -- sh -c 'echo $A'").end();
    assert_eq!(shown, "x\n");
}

#[test]
fn text_of_the_server_cannot_hide_anything_on_a_terminal() {
    let server = Server::dev();
    let odd = r##"# a\u200bb\u001b[2J\npath \"x\" {\n  capabilities = [\"read\"]\n}"##;
    server.vault("sys/policies/acl/odd", &format!(r#"{{"policy":"{odd}"}}"#));
    let (code, shown) = Terminal::run(&server, "policy read odd").end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.starts_with("# a\\u{200b}b\\u{1b}[2J\npath \"x\" {\n"), "{shown:?}");
}

#[test]
fn long_scan_shows_how_far_it_is_and_leaves_nothing_of_it() {
    let server = Server::dev();
    let pipe = server.home().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (option, is_shown) in [("", true), ("-q ", false)] {
        let terminal = Terminal::run(&server, &format!("scan {option}{}", pipe.display()));
        // Opened once it is read, and written to until the bar is there.
        let mut writer = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let began = std::time::Instant::now();
        let writing = std::thread::spawn(move || {
            let line = "nothing of interest\n".repeat(1000);
            // Without a bar, as long as one would have needed to appear.
            while match is_shown {
                true => receiver.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty),
                false => began.elapsed().as_millis() < 1500,
            } {
                writer.write_all(line.as_bytes()).unwrap();
            }
        });
        let terminal = if is_shown { terminal.see("MiB/s") } else { terminal };
        drop(sender);
        writing.join().unwrap();
        let (code, shown) = terminal.end();
        assert_eq!((code, shown.contains("\rscanning  ")), (0, is_shown), "{shown:?}");
        let last = shown.rsplit("\x1b[K").next().unwrap();
        assert_eq!(last, if is_shown { "no secrets in 1 file\n" } else { "" }, "{shown:?}");
    }
}
