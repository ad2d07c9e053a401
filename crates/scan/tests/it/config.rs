//! Files of users of gitleaks.

use std::path::Path;

use coffer_scan::{Error, Origin, Place, Rules, scan_reader};
use proptest::prelude::*;

use crate::sample::{filled, found, scan};

fn load(text: &str) -> Result<Rules, Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gitleaks.toml");
    std::fs::write(&path, text).unwrap();
    Rules::load(Origin::File(&path))
}

fn rules(text: &str) -> Rules {
    load(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn refusal(text: &str) -> String {
    let error = load(text).err().unwrap_or_else(|| panic!("taken: {text}"));
    let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error} {source}")
}

#[test]
fn rule_has_groups_entropy_path_and_keywords() {
    let own = rules(
        r#"
        title = "x"
        minVersion = "v8.25.0"
        [[rules]]
        id = "a"
        description = "A"
        regex = '''key=(\w+);(\w+)'''
        secretGroup = 2
        keywords = ["KEY="]
        tags = ["t"]
        [[rules]]
        id = "b"
        regex = '''first=(\w*)(\d+)?'''
        [[rules]]
        id = "c"
        regex = '''random=(\w+)'''
        entropy = 2.0
        [[rules]]
        id = "d"
        regex = '''x{2}'''
        path = '''\.txt$'''
        [[rules]]
        id = "e"
        path = '''\.p12$'''
        "#,
    );
    let secret = |path: &str, text: &str| -> Vec<(String, Vec<u8>)> {
        let scanned = scan(&own, path, text);
        scanned.findings.iter().map(|found| (found.rule.to_string(), found.secret().to_vec())).collect()
    };
    assert_eq!(secret("f", "key=one;two"), [("a".to_owned(), b"two".to_vec())]);
    // The keyword need not stand in the match, but in the file.
    assert_eq!(secret("f", "first=abc12"), [("b".to_owned(), b"abc12".to_vec())]);
    assert_eq!(secret("f", "random=aaaa"), []);
    assert_eq!(secret("f", "random=abab"), []);
    assert_eq!(secret("f", "random=abcde"), [("c".to_owned(), b"abcde".to_vec())]);
    assert_eq!(secret("f", "xx"), []);
    assert_eq!(secret("f.txt", "xx"), [("d".to_owned(), b"xx".to_vec())]);
    assert_eq!(secret("f.p12", "\0\0"), [("e".to_owned(), Vec::new())]);
    assert_eq!(&*scan(&own, "f", "key=one;two").findings[0].tags, ["t".to_owned()]);
}

#[test]
fn allowlists_of_both_forms_hold() {
    for list in ["[[allowlists]]\nregexes = ['''^ok''']", "[allowlist]\nregexes = ['''^ok''']"] {
        let own = rules(&format!("[[rules]]\nid = \"a\"\nregex = '''key=(\\w+)'''\n{list}\n"));
        assert_eq!(found(&own, "key=ok1 key=nok"), ["a"], "{list}");
    }
    for list in ["[[rules.allowlists]]\nstopwords = [\"TEST\"]", "[rules.allowlist]\nstopwords = [\"TEST\"]"] {
        let own = rules(&format!("[[rules]]\nid = \"a\"\nregex = '''key=(\\w+)'''\n{list}\n"));
        assert_eq!(found(&own, "key=atest1 key=nok"), ["a"], "{list}");
    }
    let own = rules(
        r#"
        [[rules]]
        id = "a"
        regex = '''key=(\w+)'''
        [[rules.allowlists]]
        condition = "AND"
        paths = ['''\.md$''']
        regexTarget = "line"
        regexes = ['''fine''']
        [[rules]]
        id = "b"
        regex = '''word=(\w+)'''
        [[allowlists]]
        targetRules = ["b"]
        paths = ['''^docs/''']
        [[allowlists]]
        paths = ['''^vendor/''']
        commits = ["ABCDEF"]
        "#,
    );
    let ids = |path: &str, text: &str| scan(&own, path, text).findings.len();
    assert_eq!(ids("a.md", "key=one is fine"), 0);
    assert_eq!(ids("a.rs", "key=one is fine") + ids("a.md", "key=one"), 2);
    assert_eq!(ids("docs/a", "word=one key=two"), 1);
    assert_eq!(ids("vendor/a", "word=one key=two"), 0);
    let place = Place { commit: Some("abcdef".into()), ..Place::file("f") };
    assert!(scan_reader(&own, place, &mut &b"key=one"[..], &mut Vec::new()).unwrap().findings.is_empty());
}

#[test]
fn pattern_means_what_it_means_in_go() {
    let own = rules(
        r#"
        [[rules]]
        id = "a"
        regex = '''(?i)[[a]key\b[\s&&]*=(?P<v>{\w+})'''
        "#,
    );
    assert_eq!(found(&own, "[KEY && ={x}"), ["a"]);
    assert_eq!(found(&own, "aäkey={x}"), Vec::<String>::new());
    // A letter beyond ASCII is no part of a word.
    assert_eq!(found(&rules("[[rules]]\nid = \"a\"\nregex = '''\\bkey'''"), "äkey"), ["a"]);
}

#[test]
fn file_extends_coffers_own_rules_and_other_files() {
    let own = rules(
        "[extend]\nuseDefault = true\ndisabledRules = [\"npm-token\"]\n[[rules]]\nid = \"github-token\"\nentropy = 7.9\n[[rules]]\nid = \"mine\"\nregex = '''mine-\\d+'''\n",
    );
    assert_eq!(found(&own, filled("mine-1 npm_{w36} ghp_{w36} glpat-{b20}")), ["mine", "gitlab-token"]);

    let directory = tempfile::tempdir().unwrap();
    let (base, top) = (directory.path().join("base.toml"), directory.path().join("top.toml"));
    std::fs::write(&base, "[[rules]]\nid = \"a\"\nregex = '''key=(\\w+)'''\n[[allowlists]]\nstopwords = [\"fine\"]\n")
        .unwrap();
    std::fs::write(&top, format!("[extend]\npath = {:?}\n[[rules]]\nid = \"a\"\nkeywords = [\"extra\"]\n", base))
        .unwrap();
    let own = Rules::load(Origin::File(&top)).unwrap();
    assert_eq!(found(&own, "key=one"), Vec::<String>::new());
    assert_eq!(found(&own, "extra key=one key=fine"), ["a"]);

    std::fs::write(&base, format!("[extend]\npath = {:?}\n", top)).unwrap();
    let error = Rules::load(Origin::File(&top)).err().unwrap().to_string();
    assert!(error.ends_with("files extend each other more than 8 deep, or in a circle"), "{error}");
}

#[test]
fn what_makes_no_sense_is_refused_and_says_where() {
    for (text, says) in [
        ("[[rules]]\nid = \"a\"\n", "rule a: it has neither a regex nor a path"),
        ("[[rules]]\nregex = '''a'''\n", "a rule has no id"),
        ("[[rules]]\nid = \"a\"\nregex = '''('''\n", "rule a: a pattern cannot be used"),
        ("[[rules]]\nid = \"a\"\nregex = '''(a)'''\nsecretGroup = 2\n", "rule a: its pattern has no group 2"),
        (
            "[[rules]]\nid = \"a\"\nregex = '''a'''\n[[rules.allowlists]]\ndescription = \"x\"\n",
            "an allowlist has no commits",
        ),
        ("[[rules]]\nid = \"a\"\nregex = '''a'''\n[[rules.allowlists]]\npaths = [\"(\"]\n", "rule a: a pattern"),
        ("[allowlist]\npaths = [\"a\"]\n[[allowlists]]\npaths = [\"a\"]\n", "it has both"),
        ("[[allowlists]]\npaths = [\"a\"]\ncondition = \"NOT\"\n", "condition is AND or OR"),
        ("[[allowlists]]\npaths = [\"a\"]\nregexTarget = \"file\"\n", "regexTarget is secret, match or line"),
        ("[[allowlists]]\npaths = [\"a\"]\ntargetRules = [\"none\"]\n", "targets the rule none"),
        ("[extend]\nuseDefault = true\npath = \"x\"\n", "both useDefault and path"),
        ("rules = 1\n", "the rules in"),
        ("[[rules]\n", "the rules in"),
    ] {
        let error = refusal(text);
        assert!(error.contains(says), "{text:?}: {error}");
    }
    assert!(Rules::load(Origin::File(Path::new("/nonexistent/x.toml"))).is_err());
}

#[test]
fn file_that_another_names_is_bounded_and_nothing_of_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let top = directory.path().join("top.toml");
    let refused = |other: &str| {
        std::fs::write(&top, format!("[extend]\npath = {other:?}\n")).unwrap();
        let error = Rules::load(Origin::File(&top)).err().unwrap();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error} {source}")
    };
    assert!(refused("/dev/zero").contains("/dev/zero: it is no file"));
    let fifo = directory.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert!(refused(fifo.to_str().unwrap()).contains("it is no file"));
    let other = directory.path().join("credentials");
    for text in ["[default]\nkey = canary\n", "rules = \"canary\"\n"] {
        std::fs::write(&other, text).unwrap();
        let said = refused(other.to_str().unwrap());
        assert!(said.contains("is not as in a file of rules") && !said.contains("canary"), "{said}");
    }
    // What is named by hand may be endless by mistake.
    let error = Rules::load(Origin::File(Path::new("/dev/zero"))).err().unwrap().to_string();
    assert!(error.contains("longer than 16 MiB"), "{error}");
}

#[test]
fn what_means_nothing_here_is_told() {
    let own = rules(
        "[extend]\nurl = \"https://x\"\n[[rules]]\nid = \"a\"\nregex = '''a'''\n[[rules.required]]\nid = \"b\"\n",
    );
    assert_eq!(own.notes().len(), 2, "{:?}", own.notes());
}

proptest! {
    #[test]
    fn any_pattern_is_taken_or_refused(pattern in "[\\\\\\[\\](){}|?*+^$.:&~<>a-z0-9é-]{1,30}") {
        let text = format!("[[rules]]\nid = \"a\"\nregex = {}\n", toml_string(&pattern));
        if let Ok(rules) = load(&text) {
            found(&rules, &pattern);
        }
    }

    #[test]
    fn any_text_is_taken_or_refused(text in "\\PC{0,200}") {
        let _ = load(&text);
    }
}

fn toml_string(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
