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
            .args(["-qec", &format!("exec {} {command}", env!("CARGO_BIN_EXE_coffer")), "/dev/null"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("SHELL", "/bin/sh")
            .env("HOME", server.home())
            .env("COFFER_ADDR", server.url())
            .env("COFFER_TOKEN", "root")
            .env("COFFER_PROJECT", "acme")
            .env("NO_COLOR", "1")
            .env("EDITOR", "sh edit.sh")
            .current_dir(server.home())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let screen = child.stdout.take().unwrap();
        Self { child, screen, shown: String::new() }
    }

    /// Waits for a question, for what is typed before it would be shown, and types the answer.
    fn answer(self, question: &str, answer: &str) -> Self {
        self.press(question, &format!("{answer}\n"))
    }

    /// The same with keys alone, and no new line behind them.
    fn press(mut self, question: &str, keys: &str) -> Self {
        self = self.see(question);
        self.child.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
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

const SAVE: &str = "save it as a new version? type 'yes' to go on: ";
const AGAIN: &str = "open the editor again? type 'yes' to go on: ";

/// An editor that writes what lies in a file of the home.
fn editor(server: &Server, text: &str) {
    std::fs::write(server.home().join("typed"), text).unwrap();
    std::fs::write(server.home().join("edit.sh"), "cat typed > \"$1\"\n").unwrap();
}

#[test]
fn edited_value_is_shown_and_saved_only_after_a_yes() {
    let server = Server::dev();
    Terminal::run(&server, "secrets set -q A=one").end();
    editor(&server, "two\n");
    let (code, shown) = Terminal::run(&server, "secrets edit A").answer(SAVE, "no").answer(AGAIN, "no").end();
    assert_eq!(code, 1);
    assert!(shown.starts_with("changed: 3 and 3 characters\n") && shown.ends_with("error: not confirmed\n"), "{shown}");
    let (code, shown) =
        Terminal::run(&server, "secrets edit A").answer(SAVE, "no").answer(AGAIN, "yes").answer(SAVE, "yes").end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.ends_with("set A in acme, version 2\n"), "{shown}");
    assert_eq!(Terminal::run(&server, "secrets get A").end().1, "two\n");
    // Quiet, the question itself says what is asked about.
    editor(&server, "three\n");
    let question = format!("3 and 5 characters; {SAVE}");
    let (code, shown) = Terminal::run(&server, "secrets edit -q A").answer(&question, "yes").end();
    assert_eq!(code, 0, "{shown}");
}

#[test]
fn edited_value_that_somebody_else_changed_is_compared_with_theirs_and_can_be_saved() {
    let server = Server::dev();
    Terminal::run(&server, "secrets set -q A=one").end();
    editor(&server, "mine");
    let bin = env!("CARGO_BIN_EXE_coffer");
    let meanwhile =
        format!("[ -e done ] || {bin} secrets set -q A=of-theirs -p acme; touch done; cat typed > \"$1\"\n");
    std::fs::write(server.home().join("edit.sh"), meanwhile).unwrap();
    let edit = Terminal::run(&server, "secrets edit A --show-values");
    let (code, shown) = edit.answer(SAVE, "yes").answer(AGAIN, "yes").answer(SAVE, "yes").end();
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("-one\n+mine\n") && shown.contains("-of-theirs\n+mine\n"), "{shown}");
    assert!(shown.ends_with("set A in acme, version 3\n"), "{shown}");
}

#[test]
fn bytes_that_are_no_value_lead_back_to_the_editor() {
    let server = Server::dev();
    Terminal::run(&server, "secrets set -q A=one").end();
    std::fs::write(server.home().join("typed"), [0xff, 0xfe]).unwrap();
    std::fs::write(server.home().join("edit.sh"), "cat typed > \"$1\"; printf fine > typed\n").unwrap();
    let (code, shown) = Terminal::run(&server, "secrets edit A").answer(AGAIN, "yes").answer(SAVE, "yes").end();
    assert_eq!(code, 0, "{shown}");
    assert_eq!(Terminal::run(&server, "secrets get A").end().1, "fine\n");
}

#[test]
fn key_that_interrupts_ends_a_question() {
    let server = Server::dev();
    Terminal::run(&server, "secrets set -q A=one").end();
    editor(&server, "two\n");
    let (code, shown) = Terminal::run(&server, "secrets edit A").press(SAVE, "\u{3}").end();
    assert_eq!(code, 1, "{shown}");
    assert!(shown.ends_with("error: the command was told to end, and nothing was saved\n"), "{shown}");
    assert_eq!(Terminal::run(&server, "secrets get A").end().1, "one\n");
}

#[test]
fn import_and_going_back_ask_and_yes_alone_goes_on() {
    let server = Server::dev();
    std::fs::write(server.home().join("a.env"), "A=one\n").unwrap();
    let question = "this goes into acme: 1 added, 0 changed, 0 removed, 0 unchanged; type 'yes' to go on: ";
    let (code, shown) = Terminal::run(&server, "env import a.env").answer(question, "no").end();
    assert_eq!((code, shown.ends_with("error: not confirmed\n")), (1, true), "{shown}");
    assert_eq!(Terminal::run(&server, "secrets get A").end().0, 3);
    let (code, shown) = Terminal::run(&server, "env import a.env").answer(question, "yes").end();
    assert_eq!(code, 0, "{shown}");
    let question = "this happens to acme: 0 rolled back, 2 deleted, 0 undeleted, 0 unchanged; type 'yes' to go on: ";
    let (code, shown) = Terminal::run(&server, "env snapshot restore 1").answer(question, "no").end();
    assert_eq!((code, shown.ends_with("error: not confirmed\n")), (1, true), "{shown}");
    let (code, shown) = Terminal::run(&server, "env snapshot restore 1").answer(question, "yes").end();
    assert_eq!(code, 0, "{shown}");
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
