//! What files are read to, and where they are refused.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::dotenv::{References, fuzz, quote::automatic};

fn values(text: &str) -> Vec<(String, String)> {
    pairs(&read(text, Interpolation::Literal))
}

fn pairs(document: &Document) -> Vec<(String, String)> {
    document.entries().map(|(_, entry)| (entry.name.to_string(), entry.value.expose().clone())).collect()
}

fn read(text: &str, interpolation: Interpolation) -> Document {
    Document::parse(text, interpolation).unwrap_or_else(|faults| panic!("{text:?}: {faults:?}"))
}

fn faults(text: &str, interpolation: Interpolation) -> Vec<String> {
    let faults = Document::parse(text, interpolation).expect_err("it was read");
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn every_way_to_write_a_value_is_read() {
    for (line, value) in [
        ("A=", ""),
        ("A=b", "b"),
        ("  A = b c  ", "b c"),
        ("export A=b", "b"),
        ("export\tA=b", "b"),
        ("A=b # a comment", "b"),
        ("A=b#c", "b#c"),
        ("A=#b", "#b"),
        ("A= # nothing", ""),
        ("A=a=b==", "a=b=="),
        ("A=C:\\new\\dir", "C:\\new\\dir"),
        ("A=it's", "it's"),
        ("A='b # c'", "b # c"),
        ("A='b' # c", "b"),
        ("A='b'#c", "b"),
        ("A='$b ${c} \\n \"'", "$b ${c} \\n \""),
        ("A=`it's \"b\"`", "it's \"b\""),
        ("A=\"b\\nc\\r\\t\\\\ \\\" \\' \\` \\$d $e\"", "b\nc\r\t\\ \" ' ` $d $e"),
        ("A=\"C:\\dir\\ä\"", "C:\\dir\\ä"),
        ("A='b\nc\n'", "b\nc\n"),
        ("A='it'\\''s'", "it's"),
        ("A=${B}$C", "${B}$C"),
        ("\u{feff}A=b", "b"),
    ] {
        assert_eq!(values(line), [("A".to_owned(), value.to_owned())], "{line:?}");
    }
    assert_eq!(values("export=1\nexport = 2 # twice is another name\n".split('\n').next().unwrap())[0].0, "export");
    assert_eq!(values("# only\n\n  \t\n"), []);
}

#[test]
fn line_ends_of_windows_are_plain_ones_in_values() {
    let text = "A='b\r\nc'\r\n# d\r\n\r\nB=\"e\r\nf\" # g\r\nC=h\r\n";
    let found = values(text);
    assert_eq!(found.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), ["b\nc", "e\nf", "h"]);
    assert_eq!(*read(text, Interpolation::Literal).render(), text);
}

#[test]
fn what_is_wrong_is_told_with_its_line_and_without_its_text() {
    for (text, fault) in [
        ("A=b\nA='c'\n", "line 2: A stands in line 1 already"),
        ("A='b\n\nc\nA='d'", "line 4: something stands behind the quote that closes the one of line 1"),
        ("A=b\n\nB='canary\nc\n", "line 3: the quote ' is never closed"),
        ("A=\"canary\\", "line 1: the quote \" is never closed"),
        ("A=\"b\"canary", "line 1: something stands behind the closing quote"),
        ("canary", "line 1: there is no = behind the name"),
        ("export canary", "line 1: there is no = behind the name"),
        ("A: canary", "line 1: write NAME=value, not NAME: value"),
        ("A canary=1", "line 1: behind the name stands something else than ="),
        ("=canary", "line 1: a name is 1 to 128 letters, digits, '_', '.' or '-', and starts with a letter or '_'"),
        (
            "A=b\n1canary=c",
            "line 2: a name is 1 to 128 letters, digits, '_', '.' or '-', and starts with a letter or '_'",
        ),
        ("A=b\0canary", "line 1: a NUL stands there, which no environment can hold"),
        ("A='b\n\0canary'", "line 2: a NUL stands there, which no environment can hold"),
        ("A=b\rB=canary\n", "line 1: a carriage return stands inside of the line"),
    ] {
        let told = faults(text, Interpolation::Literal);
        assert_eq!(told[0], fault, "{text:?}");
        assert!(!told.iter().any(|fault| fault.contains("canary")), "{told:?}");
    }
    let many = "1=\n".repeat(100);
    assert_eq!(faults(&many, Interpolation::Literal).len(), MOST_FAULTS);
    assert_eq!(faults("1=\nA=b\n2=\n", Interpolation::Literal).len(), 2, "a line does not hide the others");
}

#[test]
fn references_are_followed_upwards_and_only_when_asked() {
    let text = "A=a\nE=\nB=$A-${A}_\nC=\"\\$A ${A} $5 ${E:-d} ${E-d} ${N:-${A} ${N-}\"\nD='$A'\nF=\\$A$$\n";
    let text = text.replace("${N:-${A}", "${N:-x$A}");
    let found = pairs(&read(&text, Interpolation::Expand));
    let found: Vec<&str> = found.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(found, ["a", "", "a-a_", "$A a $5 d  x$A ", "$A", "$A$$"]);
    for (text, fault) in [
        ("B=$A\nA=b", "line 1: A, which the value refers to, is not set above"),
        ("A=$A", "line 1: A, which the value refers to, is not set above"),
        ("A=b\nB=\"${A\"", "line 2: ${A is neither closed nor followed by a default, as in ${A:-b}"),
        ("A=${1}", "line 1: behind ${ stands no name"),
        ("A=${HOME:-x", "line 1: ${HOME is not closed"),
        ("A=$HOME", "line 1: HOME, which the value refers to, is not set above"),
    ] {
        assert_eq!(faults(text, Interpolation::Expand), [fault], "{text:?}");
        assert!(Document::parse(text, Interpolation::Literal).is_ok(), "{text:?}");
    }
}

#[test]
fn references_that_multiply_are_refused_in_time() {
    let mut text = format!("A0={}\n", "x".repeat(1000));
    for n in 1..60 {
        text.push_str(&format!("A{n}=$A{0}$A{0}\n", n - 1));
    }
    let told = faults(&text, Interpolation::Expand);
    assert_eq!(told[0], "line 12: what the value refers to makes it larger than 1 MiB");
}

#[test]
fn order_comments_and_quotes_come_back_with_new_values() {
    let text = "# Database\n  export URL=\"http://${HOST}/\"   # main\n\nKEY='a\nb'\nPEM=\"x\ny\"\nN = 5 # five\nGONE=1\nB=`c`";
    let document = read(text, Interpolation::Literal);
    assert_eq!(*document.render(), text);
    let layout = document.layout();
    assert_eq!(
        layout.expose(),
        "# Database\n  export URL=\"*$\"   # main\n\nKEY='*'\nPEM=\"*\n\"\nN = * # five\nGONE=*\nB=`*`"
    );
    let laid_out = read(layout.expose(), Interpolation::Literal);
    let values = [("URL", "$x"), ("KEY", "it's"), ("PEM", "1\n2"), ("N", ""), ("NEW", "a b"), ("B", "`")];
    let filled = laid_out.filled(&values.into_iter().collect::<BTreeMap<_, _>>(), References::Kept);
    let expected =
        "# Database\n  export URL=\"$x\"   # main\n\nKEY=\"it's\"\nPEM=\"1\n2\"\nN =  # five\nB='`'\nNEW='a b'\n";
    assert_eq!(*filled, expected);
}

#[test]
fn layout_tells_what_stood_unquoted_and_nothing_else_of_a_value() {
    for (line, layout) in [
        ("A=plain-1", "A=*"),
        ("A=a#b", "A=*#"),
        ("A=\u{e9}t\u{e9}", "A=*#"),
        ("A=http://${HOST}/$P", "A=*$"),
        ("A=${B:-c}", "A=*$"),
        ("A=two words", "A=*;"),
        ("A=$(id)", "A=*;"),
        ("A=${B:-$(id)}", "A=*;"),
        ("A=\"a b\"", "A=\"*\""),
        ("A=\"${B} $5 $\"", "A=\"*$\""),
        ("A=\"$(id)\"", "A=\"*$(\""),
        ("A=\"${staging:B}\"", "A=\"*$(\""),
        ("A=\"`id`\"", "A=\"*`\""),
        ("A=\"\\$(id) \\`id\\`\"", "A=\"*\""),
    ] {
        let document = read(line, Interpolation::Literal);
        assert_eq!(document.layout().expose(), layout, "{line}");
        assert_eq!(*document.render(), line);
    }
}

/// Whoever sources the file got it from a line that a shell could read: then no later value may run anything.
#[test]
fn shell_that_sources_a_file_runs_nothing_of_values_that_came_later() {
    let folder = tempfile::tempdir().unwrap();
    let mut texts = Vec::new();
    for before in ["x", "", "$A", "${A}", "it's ", "\"", "\\", "a\n", "#", "$", "$$", "${A:-", "'$A'", "\u{e9}"] {
        for run in
            ["$(>ran)", "`>ran`", ";>ran", "&>ran;", " >ran", "|>ran", "\n>ran\n", "${A:-$(>ran)}", "${A:-`>ran`}"]
        {
            texts.push(format!("{before}{run}"));
            texts.push(format!("{before}{run}}}'\""));
        }
    }
    for quotes in ["*", "*#", "*$", "'*'", "\"*\"", "\"*$\"", "\"*\n\"", "\"*$\n\""] {
        for references in [References::Kept, References::Resolved] {
            let layout: String = (0..texts.len()).map(|n| format!("A{n}={quotes}\n")).collect();
            let names: Vec<String> = (0..texts.len()).map(|n| format!("A{n}")).collect();
            let values = names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
            let filled = read(&layout, Interpolation::Literal).filled(&values, references);
            std::fs::write(folder.path().join("env"), filled.as_bytes()).unwrap();
            let script = "set -a; . ./env; echo read";
            let mut shell = std::process::Command::new("/bin/sh");
            let output = shell.args(["-c", script]).current_dir(folder.path()).output().unwrap();
            assert_eq!(output.stdout, b"read\n", "{quotes}: {}", String::from_utf8_lossy(&output.stderr));
            assert!(!folder.path().join("ran").exists(), "{quotes} {references:?} ran something of {}", *filled);
        }
    }
}

/// Lines that a person could have written, with all that is special.
fn line() -> impl Strategy<Value = String> {
    let value = "[a-zA-Z0-9 #'\"`$\\\\{}=:\u{e9}\t-]{0,12}";
    let quoted = |quote: char| {
        let inner = match quote {
            '\'' => "[^'\0]{0,12}",
            '`' => "[^`\0]{0,12}",
            _ => "([^\"\\\\\0]|\\\\[nrt\\\\\"$'`x\n]){0,12}",
        };
        inner.prop_map(move |inner| format!("{quote}{inner}{quote}"))
    };
    let any = prop_oneof![value.prop_map(|value| value.to_owned()), quoted('\''), quoted('"'), quoted('`'),];
    prop_oneof![
        1 => "[ \t]{0,3}",
        1 => "[ \t]{0,2}#[^\0\r\n]{0,12}",
        6 => ("[ \t]{0,2}(export )?[A-Z]{1,4}[ \t]{0,2}=[ \t]{0,2}", any, "([ \t]{1,2}(#[a-z '\"]{0,8})?)?")
            .prop_map(|(name, value, comment)| format!("{name}{value}{comment}")),
    ]
}

proptest! {
    #[test]
    fn any_file_that_is_read_is_written_and_read_back(lines in prop::collection::vec(line(), 0..8), windows: bool) {
        fuzz::dotenv(lines.join(if windows { "\r\n" } else { "\n" }).as_bytes());
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[A-C]{0,2}|[A-C='\"`#$\\\\ \t\r\n\0{}:a-]{0,40}|\\PC{0,40}") {
        fuzz::dotenv(text.as_bytes());
    }

    #[test]
    fn any_value_comes_back_from_any_quotes(value in "[^\0]{0,20}|['\"`\\\\$\r\n #a]{0,12}", before in "(A=|A= |export A = )") {
        for quotes in ["*", "*#", "*$", "*;", "'*'", "`*`", "\"*\"", "\"*$\"", "\"*$(`\n\"", "\"*$\n\"", "* # c"] {
            let layout = read(&format!("{before}{quotes}\n"), Interpolation::Literal);
            let again = layout.layout();
            prop_assert_eq!(again.expose(), &format!("{before}{quotes}\n"));
            for references in [References::Kept, References::Resolved] {
                let filled = layout.filled(&[("A", value.as_str())].into(), references);
                prop_assert_eq!(values(&filled), [("A".to_owned(), value.clone())], "{:?}", filled);
                if references == References::Resolved && !quotes.starts_with('`') {
                    let expanded = pairs(&read(&filled, Interpolation::Expand));
                    prop_assert_eq!(expanded, [("A".to_owned(), value.clone())], "{:?}", filled);
                }
            }
        }
        let mut line = "A=".to_owned();
        automatic(&value, &mut line);
        prop_assert_eq!(line.matches('\n').count(), 0);
        let expected = [("A".to_owned(), value)];
        prop_assert_eq!(values(&line), expected.clone());
        // What Coffer writes is not expanded by who does.
        prop_assert_eq!(pairs(&read(&line, Interpolation::Expand)), expected);
    }
}
