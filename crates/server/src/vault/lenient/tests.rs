//! What is taken, and as what.

use proptest::prelude::*;

use super::*;

fn body(text: &str) -> Body {
    Body::of_write(Zeroizing::new(text.as_bytes().to_vec()), None).unwrap()
}

fn refused(text: &str) -> String {
    match Body::of_write(Zeroizing::new(text.as_bytes().to_vec()), None) {
        Err(error) => error.to_string(),
        Ok(body) => match body.fields() {
            Err(error) => error.to_string(),
            Ok(_) => panic!("{text:?} was taken"),
        },
    }
}

#[test]
fn empty_and_null_bodies_are_empty_objects() {
    for text in ["", " \n", "null", " null ", "{}"] {
        assert_eq!(body(text).fields().unwrap().iter().count(), 0, "{text:?}");
    }
}

#[test]
fn body_that_is_no_object_is_refused() {
    assert!(refused("[1]").contains("cannot unmarshal array into Go value of type map[string]interface {}"));
    for text in ["{bad json", "{", "\"x\"", "1", "{} x", "{\"a\":1,}", "{\"a\" 1}", "\u{0}"] {
        assert!(refused(text).starts_with("failed to decode JSON input: "), "{text:?}");
    }
}

#[test]
fn refusal_never_repeats_the_value() {
    for text in ["{\"password\":\"hunter2", "{\"password\":\"hunter2\"x", "\"hunter2\"", "hunter2"] {
        assert!(!refused(text).contains("hunter2"), "{}", refused(text));
    }
    let error = body("{\"ttl\":\"hunter2\",\"b\":\"hunter2\",\"l\":{\"x\":\"hunter2\"}}");
    let fields = error.fields().unwrap();
    for error in [
        fields.duration("ttl").unwrap_err(),
        fields.boolean("b").unwrap_err(),
        fields.list("l").unwrap_err(),
        fields.integers("b").unwrap_err(),
    ] {
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[test]
fn nesting_is_bounded_and_brackets_in_strings_do_not_count() {
    let nested = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
    body(&nested(99)).fields().unwrap();
    assert!(refused(&nested(100)).contains("100 levels"));
    assert!(refused(&"{\"a\":".repeat(1 << 20)).contains("100 levels"));
    body(&format!("{{\"a\":\"\\\"{}\"}}", "[".repeat(500))).fields().unwrap();
}

#[test]
fn key_sent_twice_keeps_its_last_value() {
    let body = body(r#"{"a":1,"\u0061":2,"b":3}"#);
    let fields = body.fields().unwrap();
    assert_eq!(fields.integer("a").unwrap(), Some(2));
    assert_eq!(fields.iter().count(), 2);
}

#[test]
fn too_many_fields_are_refused() {
    let text = |n: usize| format!("{{{}}}", (0..n).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(","));
    body(&text(1000)).fields().unwrap();
    assert!(refused(&text(1001)).contains("more than 1000 fields"));
    assert!(refused(&format!("{{{}\"a\":1}}", "\"a\":1,".repeat(1000))).contains("more than 1000 fields"));
}

#[test]
fn scalars_are_converted_as_go_does() {
    let body = body(
        r#"{"s":"x","n":90,"f":1.5,"t":true,"z":null,"one":"1","F":"F","no":"nope","e":"","neg":"-1","big":"9223372036854775808"}"#,
    );
    let fields = body.fields().unwrap();
    assert_eq!(fields.text("s").unwrap().unwrap().as_str(), "x");
    assert_eq!(fields.text("n").unwrap().unwrap().as_str(), "90");
    assert_eq!(fields.text("t").unwrap().unwrap().as_str(), "true");
    assert!(fields.text("z").unwrap().is_none() && fields.text("absent").unwrap().is_none());
    assert_eq!(fields.boolean("t").unwrap(), Some(true));
    assert_eq!(fields.boolean("one").unwrap(), Some(true));
    assert_eq!(fields.boolean("F").unwrap(), Some(false));
    assert_eq!(fields.boolean("e").unwrap(), Some(false));
    fields.boolean("no").unwrap_err();
    assert_eq!(fields.integer("n").unwrap(), Some(90));
    assert_eq!(fields.integer("neg").unwrap(), Some(-1));
    for bad in ["s", "f", "big"] {
        fields.integer(bad).unwrap_err();
    }
}

#[test]
fn list_takes_array_or_commas() {
    let body = body(r#"{"a":["x"," y ",3,""],"c":" x, y ,,z","n":5,"e":"","d":[1,"2"],"bad":[{}],"neg":[-1],"o":{}}"#);
    let fields = body.fields().unwrap();
    assert_eq!(fields.list("a").unwrap().unwrap(), ["x", "y", "3"]);
    assert_eq!(fields.list("c").unwrap().unwrap(), ["x", "y", "z"]);
    assert_eq!(fields.list("e").unwrap().unwrap(), Vec::<String>::new());
    assert_eq!(fields.integers("d").unwrap().unwrap(), [1, 2]);
    assert_eq!(fields.integers("n").unwrap().unwrap(), [5]);
    fields.list("bad").unwrap_err();
    fields.list("o").unwrap_err();
    fields.integers("neg").unwrap_err();
    assert!(fields.list("absent").unwrap().is_none());
}

#[test]
fn list_is_bounded() {
    let body = body(&format!("{{\"l\":\"{}\"}}", "a,".repeat(10_001)));
    assert!(body.fields().unwrap().list("l").is_err());
}

#[test]
fn map_makes_numbers_strings() {
    let body = body(r#"{"m":{"k":5,"t":true,"s":"x","z":null},"bad":{"k":{}},"str":"x"}"#);
    let fields = body.fields().unwrap();
    let map = fields.map("m").unwrap().unwrap();
    assert_eq!((map["k"].as_str(), map["t"].as_str(), map["z"].as_str()), ("5", "true", ""));
    fields.map("bad").unwrap_err();
    fields.map("str").unwrap_err();
}

#[test]
fn form_body_becomes_fields() {
    let form = Some("application/x-www-form-urlencoded; charset=utf-8");
    let body = Body::of_write(Zeroizing::new(b"max_versions=5&p=a&p=b%2Cc&q=+%26".to_vec()), form).unwrap();
    let fields = body.fields().unwrap();
    assert_eq!(fields.integer("max_versions").unwrap(), Some(5));
    assert_eq!(fields.list("p").unwrap().unwrap(), ["a", "b", "c"]);
    assert_eq!(fields.text("q").unwrap().unwrap().as_str(), " &");
    let json = Body::of_write(Zeroizing::new(b"{\"a\":1}".to_vec()), form).unwrap();
    assert_eq!(json.fields().unwrap().integer("a").unwrap(), Some(1));
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..256), form in any::<bool>()) {
        let declared = form.then_some("application/x-www-form-urlencoded");
        if let Ok(body) = Body::of_write(Zeroizing::new(bytes), declared) && let Ok(fields) = body.fields() {
            let _ = (fields.text("a"), fields.list("a"), fields.map("a"), fields.object("a"), fields.duration("a"));
        }
    }

    #[test]
    fn any_json_object_keeps_its_top_level(map in proptest::collection::btree_map(".{0,8}", ".{0,8}", 0..8)) {
        let body = body(&serde_json::to_string(&map).unwrap());
        let fields = body.fields().unwrap();
        prop_assert_eq!(fields.iter().count(), map.len());
        for (key, value) in &map {
            let raw = fields.raw(key).unwrap();
            prop_assert_eq!(&serde_json::from_str::<String>(raw.get()).unwrap(), value);
        }
    }

    #[test]
    fn any_list_is_the_same_as_array_and_as_commas(items in proptest::collection::vec("[a-z0-9]{1,6}", 0..8)) {
        let text = serde_json::json!({"a": items, "c": items.join(",")}).to_string();
        let body = body(&text);
        let fields = body.fields().unwrap();
        prop_assert_eq!(fields.list("a").unwrap(), Some(items.clone()));
        prop_assert_eq!(fields.list("c").unwrap(), Some(items));
    }
}
