//! What git takes for binary, and what somebody tells it to take for binary, is scanned as files are.

use super::{Repository, STAGED};

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn attributes_do_not_hide_what_is_staged_or_committed() {
    let repository = Repository::new();
    repository.write(".gitattributes", "* -diff\n*.bin binary\n");
    let first = repository.commit("first");
    repository.write("a", "x\ndemo-1111111111111111\n");
    repository.write("b.bin", "demo-2222222222222222\n");
    repository.git(&["add", "--all"]);
    let expected = "a:2:1: demo demo… (21 characters)\nb.bin:1:1: demo demo… (21 characters)\n";
    let (code, stdout, _) = repository.scan(&STAGED);
    assert_eq!((code, stdout.as_str()), (10, expected));
    let commit = repository.commit("leak");
    let range = format!("{first}..HEAD");
    let (code, stdout, _) = repository.scan(&["--git-range", &range, "--config", "rules.toml", "-q"]);
    let told: String = expected.lines().map(|line| format!("{}:{line}\n", &commit[..12])).collect();
    assert_eq!((code, stdout), (10, told));
    // What is large to git is like everything else.
    repository.git(&["config", "core.bigFileThreshold", "1"]);
    assert_eq!(repository.scan(&["--git-range", &range, "--config", "rules.toml", "-q"]).0, 10);
}

#[test]
fn utf_16_is_read_where_it_is_new_and_where_it_is_changed() {
    let repository = Repository::new();
    repository.write("new.ps1", utf16("one\r\n$key = 'demo-1111111111111111'\r\n"));
    repository.git(&["add", "--all"]);
    assert_eq!(repository.scan(&STAGED).1, "new.ps1:2:9: demo demo… (21 characters)\n");
    repository.commit("one");
    repository.write("new.ps1", utf16("one\r\ntwo\r\nkey = demo-3333333333333333 # and more of it\r\nlast\r\n"));
    repository.git(&["add", "--all"]);
    let (code, stdout, _) = repository.scan(&STAGED);
    assert_eq!((code, stdout.as_str()), (10, "new.ps1:3:7: demo demo… (21 characters)\n"));
}

#[test]
fn file_without_text_is_counted_and_not_scanned() {
    let repository = Repository::new();
    repository.commit("first");
    let bytes = [&[0x7f, b'E', b'L', b'F', 0, 0, 0, 0, 0, 0][..], b"demo-1111111111111111\n", &[0, 0]].concat();
    repository.write("program", bytes);
    repository.git(&["add", "--all"]);
    let (code, stdout, _) = repository.scan(&["--staged", "--config", "rules.toml", "-q", "-f", "json"]);
    assert_eq!(code, 0, "{stdout}");
    assert!(stdout.contains("\"binary\": 1"), "{stdout}");
}
