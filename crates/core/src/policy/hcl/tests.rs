//! Tests of the module around this file.

use super::*;

fn attributes(text: &str) -> Vec<(String, Value)> {
    parse(text).unwrap().items.into_iter().map(|item| (item.key.name, item.value.value)).collect()
}

fn value(text: &str) -> Value {
    attributes(&format!("a = {text}")).remove(0).1
}

fn string(text: &str) -> Value {
    Value::String(text.to_owned())
}

#[test]
fn native_text_with_every_kind_of_value_parses() {
    assert_eq!(value("true"), Value::Bool(true));
    for (text, number) in [("0", 0), ("10", 10), ("-7", -7), ("0x1F", 31), ("-0x10", -16), ("0755", 493), ("00", 0)] {
        assert_eq!(value(text), Value::Integer(number), "{text}");
    }
    for (text, number) in [("1.5", 1.5), ("-0.5", -0.5), (".5", 0.5), ("1.", 1.0), ("1e3", 1000.0), ("2.5E-1", 0.25)] {
        assert_eq!(value(text), Value::Float(number), "{text}");
    }
    assert_eq!(value("\"x\""), string("x"));
    let Value::List(list) = value("[\"a\", 1,\n\"b\",]") else { panic!() };
    assert_eq!(list.len(), 3);
    let Value::Object(items) = value("{ b = 1, \"c\" = 2 d { e = 3 } }") else { panic!() };
    assert_eq!(items.iter().map(|item| item.key.name.as_str()).collect::<Vec<_>>(), ["b", "c", "d"]);
}

#[test]
fn native_blocks_keep_labels_positions_and_order() {
    let document = parse("# c\npath \"a\" \"b\" {x=1 y=2}, path \"a\" {}\n\"q\" {}").unwrap();
    let [first, second, third] = document.items.as_slice() else { panic!() };
    assert_eq!(first.labels.iter().map(|key| key.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(first.key.position, Position { line: 2, column: 1 });
    assert_eq!(first.labels[1].position, Position { line: 2, column: 10 });
    assert_eq!(first.form, Form::Block);
    assert_eq!(second.labels.len(), 1);
    assert_eq!((third.key.name.as_str(), third.labels.len()), ("q", 0));
    assert_eq!(document.syntax, Syntax::Native);
}

#[test]
fn native_comments_of_every_kind_are_skipped() {
    let text = "# one\n// two\n/* three\n * \"four\" **/ a = 1 # five\nb = /* six */ 2 // seven";
    assert_eq!(attributes(text), [("a".to_owned(), Value::Integer(1)), ("b".to_owned(), Value::Integer(2))]);
    assert_eq!(attributes("# only a comment"), []);
    assert_eq!(attributes(""), []);
}

#[test]
fn strings_resolve_escapes_and_keep_interpolations() {
    for (text, expected) in [
        (r#""a\"b\\\n\t""#, "a\"b\\\n\t"),
        (r#""\x41\101\u00e9\U0001F600""#, "AAé😀"),
        (r#""\xc3\xa9""#, "é"),
        (r#""${a.b}""#, "${a.b}"),
        (r#""x ${ f("quoted", {a = 1}) } y""#, r#"x ${ f("quoted", {a = 1}) } y"#),
        (r#""${"\n"}\n""#, "${\"\\n\"}\n"),
        (r#""$${a}""#, "$${a}"),
        (r#""$ { }""#, "$ { }"),
        ("\"${a\nb}\"", "${a\nb}"),
    ] {
        assert_eq!(value(text), string(expected), "{text}");
    }
}

#[test]
fn heredocs_keep_lines_and_take_off_common_indentation() {
    for (text, expected) in [
        ("<<EOF\na\n b\nEOF\n", "a\n b\n"),
        ("<<EOF\nEOF\n", ""),
        ("<<EOF\r\na\r\nEOF\r\n", "a\n"),
        ("<<E\nEE\n  E\n", "EE\n"),
        ("<<-EOF\n    a\n      b\n    EOF\n", "a\n  b\n"),
        ("<<-EOF\n  a\n b\n  EOF\n", "  a\n b\n"),
        ("<<E\n\"${x\\q\nE\n", "\"${x\\q\n"),
    ] {
        assert_eq!(value(text), string(expected), "{text}");
    }
}

#[test]
fn native_text_that_is_malformed_is_refused_with_its_place() {
    for (text, place) in [
        ("junk {", "1:7"),
        ("a", "1:2"),
        ("a =", "1:4"),
        ("a = b", "1:5"),
        ("a b = 1", "1:5"),
        ("= 1", "1:1"),
        ("{}}", "1:3"),
        ("a = [1 2]", "1:8"),
        ("a = [1", "1:7"),
        ("a = 1 }", "1:7"),
        ("a = \"x\n\"", "1:5"),
        ("a = \"${\"", "1:5"),
        ("a = \"\\q\"", "1:5"),
        ("a = \"\\400\"", "1:5"),
        ("a = \"\\xff\"", "1:5"),
        ("a = \"\\ud800\"", "1:5"),
        ("a = <<E\nx", "1:5"),
        ("a = <<E\nE", "1:5"),
        ("a = <<\nE\n", "1:7"),
        ("a = <<E x\nE\n", "1:8"),
        ("a = <x", "1:6"),
        ("a = 08", "1:5"),
        ("a = 1e", "1:5"),
        ("a = 0x", "1:5"),
        ("a = 9223372036854775808", "1:5"),
        ("a = 1e999", "1:5"),
        ("a = -", "1:5"),
        ("a = 5m", "1:7"),
        ("\n  /* x", "2:3"),
        ("a = 1 / 2", "1:7"),
        ("a = \u{0}", "1:5"),
        ("true = 1", "1:1"),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.position.to_string(), place, "{text:?}: {error}");
    }
}

#[test]
fn json_parses_to_the_same_tree() {
    let document = parse(" {\"a\": [1, -2.5, \"x\\u00e9\", true, null, {}],\n \"a\": {\"b\": {}}} \n").unwrap();
    assert_eq!(document.syntax, Syntax::Json);
    let [first, second] = document.items.as_slice() else { panic!() };
    let Value::List(values) = &first.value.value else { panic!() };
    let values: Vec<_> = values.iter().map(|node| node.value.clone()).collect();
    let expected =
        [Value::Integer(1), Value::Float(-2.5), string("xé"), Value::Bool(true), Value::Null, Value::Object(vec![])];
    assert_eq!(values, expected);
    assert_eq!((second.key.name.as_str(), second.key.position), ("a", Position { line: 2, column: 2 }));
    assert!(matches!(&second.value.value, Value::Object(items) if items.len() == 1));
}

#[test]
fn json_that_is_malformed_is_refused() {
    for text in [
        "{",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\": 1,}",
        "{\"a\": [1,]}",
        "{\"a\": 01}",
        "{\"a\": 1.}",
        "{\"a\": 1e999}",
        "{\"a\": tru}",
        "{\"a\": \"\n\"}",
        "{\"a\": \"\\x41\"}",
        "{} {}",
        "{\"a\": 1 \"b\": 2}",
        "{a: 1}",
        "{\"a\": \"",
        "{\"a\": 9223372036854775808}",
        "{\"a\": \"\\",
        "{# c\n}",
    ] {
        assert!(parse(text).is_err(), "{text}");
    }
}

#[test]
fn nesting_up_to_the_bound_parses_and_beyond_is_refused() {
    for (open, close) in [("[", "]"), ("{ a = ", "}"), ("{ a ", "}")] {
        let nested = |depth: usize| {
            let inner = if open == "{ a " { "{}" } else { "1" };
            let depth = if open == "{ a " { depth - 1 } else { depth };
            format!("a = {}{inner}{}", open.repeat(depth), close.repeat(depth))
        };
        assert!(parse(&nested(MAX_DEPTH)).is_ok(), "{open}");
        assert!(parse(&nested(MAX_DEPTH + 1)).unwrap_err().message.contains("nested"), "{open}");
        assert!(parse(&nested(100_000)).is_err(), "{open}");
    }
    assert!(parse(&format!("{{\"a\": {}", "[".repeat(100_000))).unwrap_err().message.contains("nested"));
}

#[test]
fn text_of_the_largest_size_is_read_in_linear_time() {
    let fill = |unit: &str| unit.repeat(MAX_BYTES / unit.len());
    for unit in
        ["a=\"x\"\n", "a=\"${\\n}\"\n", "a {} ", "#\n", "/**/", "a=<<E\nE\n", "a=[1,", "\"", "a=\"\\n", "a ", "<<E\n"]
    {
        let _ = parse(&fill(unit));
        let _ = parse(&format!("a=[{}", fill(unit).get(4..).unwrap()));
        let _ = parse(&format!("{{{}", fill(unit).get(1..).unwrap()));
    }
    let string = format!("a=\"{}\"", "\\n${\\n}".repeat(MAX_BYTES / 8));
    assert!(parse(&string).is_ok());
    assert!(parse(&"a".repeat(MAX_BYTES + 1)).unwrap_err().message.contains("larger"));
}
