//! What leaves the scanner: reports without secrets, SARIF as OASIS has it, baselines.

use std::path::Path;

use coffer_scan::{Baseline, Match, Report, Scanned, sarif};
use serde_json::Value;

use crate::{
    sample::{filled, rules, scan},
    schema,
};

const TEXT: &str =
    "ghp_{w36}\nDB_PASSWORD={w24}\n-----BEGIN PRIVATE KEY-----\n{p64}\n{p64}\n-----END PRIVATE KEY-----\n";

fn report(path: &str) -> Report {
    let scanned = scan(&rules(), path, filled(TEXT));
    let mut report = Report::new(&scanned, &scanned.findings, 2);
    report.findings[0].commit = Some("0123abc".into());
    report.findings[1].stored = vec![Match { scope: "acme:prod:api".into(), name: "DB_PASSWORD".into(), version: 6 }];
    report
}

#[test]
fn sarif_fits_the_schema_of_oasis() {
    let schema: Value = serde_json::from_str(include_str!("../../testdata/sarif-schema-2.1.0.json")).unwrap();
    for path in ["a/b c.rs", "/etc/ä"] {
        let log = sarif(&report(path), &rules(), "0.1.0");
        schema::assert_fits(&schema, &log);
    }
    let empty = scan(&rules(), "f", "");
    schema::assert_fits(&schema, &sarif(&Report::new(&empty, &[], 0), &rules(), "0.1.0"));
    // And the check can fail.
    let mut wrong = sarif(&report("f"), &rules(), "0.1.0");
    wrong["runs"][0]["results"][0]["level"] = "bad".into();
    assert!(!schema::faults(&schema, &wrong).is_empty());
    wrong = sarif(&report("f"), &rules(), "0.1.0");
    wrong["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"] = 0.into();
    assert!(!schema::faults(&schema, &wrong).is_empty());
}

#[test]
fn sarif_names_rule_place_and_fingerprint() {
    let log = sarif(&report("a/b c.rs"), &rules(), "0.1.0");
    let run = &log["runs"][0];
    let result = &run["results"][1];
    assert_eq!(result["ruleId"], "environment-secret");
    let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
    assert_eq!(run["tool"]["driver"]["rules"][index]["id"], "environment-secret");
    let place = &result["locations"][0]["physicalLocation"];
    assert_eq!(place["artifactLocation"]["uri"], "a/b%20c.rs");
    assert_eq!((place["region"]["startLine"].as_u64(), place["region"]["startColumn"].as_u64()), (Some(2), Some(13)));
    let message = result["message"]["text"].as_str().unwrap();
    assert!(message.ends_with("… (24 characters); the value of acme:prod:api/DB_PASSWORD, version 6"), "{message}");
    assert_eq!(run["results"][0]["properties"]["commit"], "0123abc");
}

#[test]
fn sarif_of_a_scan_that_could_not_read_all_says_that_it_did_not_succeed() {
    let successful = |unreadable: Vec<(String, String)>| {
        let scanned = Scanned { unreadable, ..Scanned::default() };
        let log = sarif(&Report::new(&scanned, &[], 0), &rules(), "0.1.0");
        log["runs"][0]["invocations"][0]["executionSuccessful"].as_bool().unwrap()
    };
    assert!(successful(Vec::new()));
    assert!(!successful(vec![("a".to_owned(), "permission denied".to_owned())]));
}

#[test]
fn no_report_holds_a_secret() {
    let scanned = scan(&rules(), "f", filled(TEXT));
    assert_eq!(scanned.findings.len(), 3);
    let report = Report::new(&scanned, &scanned.findings, 0);
    let texts = [
        serde_json::to_string(&report).unwrap(),
        sarif(&report, &rules(), "0").to_string(),
        Baseline::text(&scanned.findings),
        format!("{report:?}"),
    ];
    for finding in &scanned.findings {
        let secret = std::str::from_utf8(finding.secret()).unwrap();
        // Not even its second half.
        let part = &secret[secret.len() / 2..];
        assert!(texts.iter().all(|text| !text.contains(part) && !text.contains(&part[..10])), "{}", finding.rule);
    }
}

#[test]
fn baseline_knows_findings_again_wherever_they_move() {
    let scanned = scan(&rules(), "f", filled(TEXT));
    let text = Baseline::text(&scanned.findings);
    let baseline = Baseline::parse(Path::new("b"), &text).unwrap();
    let moved = scan(&rules(), "f", format!("first\n\n   {}{}", filled(TEXT), filled("npm_{w36}")));
    let new: Vec<_> = moved.findings.iter().filter(|found| !baseline.knows(found)).map(|found| &*found.rule).collect();
    assert_eq!(new, ["npm-token"]);
    let elsewhere = scan(&rules(), "g", filled(TEXT));
    assert!(elsewhere.findings.iter().all(|found| !baseline.knows(found)));
    // The same twice is one line, and the text does not depend on the order.
    let twice = scan(&rules(), "f", filled(TEXT).repeat(2));
    assert_eq!(Baseline::text(&twice.findings), text);
}

#[test]
fn baseline_that_is_none_is_refused() {
    for text in ["", "[]", "{}", "{\"version\":2,\"findings\":[]}", "{\"version\":1,\"findings\":[{}]}"] {
        assert!(Baseline::parse(Path::new("b"), text).is_err(), "{text}");
    }
    assert!(Baseline::parse(Path::new("b"), "{\"version\":1,\"findings\":[]}").is_ok());
}
