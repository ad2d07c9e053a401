//! Texts of any length, in pieces of any length: the same is found, at the same place.

use coffer_scan::{Place, TextScan};
use proptest::prelude::*;

use crate::sample::{filled, found, rules, scan};

#[test]
fn place_is_line_and_character_of_the_secret() {
    let rules = rules();
    let text = format!("first\n  ä🙂 token: {} end\nlast", filled("ghp_{w36}"));
    let scanned = scan(&rules, "a/b", &text);
    let [finding] = scanned.findings.as_slice() else { panic!("one was expected") };
    assert_eq!((finding.line, finding.column, finding.end_line, finding.end_column), (2, 13, 2, 53));
    assert_eq!((&*finding.path, &*finding.rule), ("a/b", "github-token"));
    assert_eq!(finding.secret(), filled("ghp_{w36}").as_bytes());
    assert_eq!((scanned.files, scanned.bytes, scanned.more), (1, u64::try_from(text.len()).unwrap(), 0));
}

#[test]
fn secret_is_found_wherever_a_long_text_is_cut() {
    let rules = rules();
    let secret = filled("ghp_{w36}");
    let key = filled("-----BEGIN RSA PRIVATE KEY-----\n{p4000}\n-----END RSA PRIVATE KEY-----");
    // Around every border between chunks and between what is kept of them.
    let step = 37 * 1024;
    for start in (0..20).map(|at| 200 * 1024 + at * step) {
        for line in ["x".repeat(99) + "\n", "y".repeat(100)] {
            let mut text = line.repeat(start / line.len());
            let lines = u64::try_from(text.matches('\n').count()).unwrap();
            let before = u64::try_from(text.rsplit('\n').next().unwrap().len()).unwrap();
            text.push_str(&format!(" {secret} {key}\n"));
            text.push_str(&line.repeat(4000));
            text.push_str(&format!(" {secret} "));
            let findings = scan(&rules, "f", &text).findings;
            let places: Vec<_> = findings.iter().map(|found| (&*found.rule, found.line, found.column)).collect();
            assert_eq!(places.len(), 3, "{start}: {places:?}");
            assert_eq!(places[0], ("github-token", lines + 1, before + 2), "{start}");
            assert_eq!(places[1], ("private-key", lines + 1, before + 3 + 40), "{start}");
            assert_eq!(findings[1].secret(), key.as_bytes());
            assert_eq!(places[2].0, "github-token");
        }
    }
}

#[test]
fn secret_longer_than_a_chunk_is_told_once() {
    let rules = rules();
    let text = filled("-----BEGIN PRIVATE KEY-----\n{p700000}\n-----END PRIVATE KEY-----\n");
    let ids = found(&rules, text + &filled("ghp_{w36}"));
    assert_eq!(ids, ["private-key", "github-token"]);
}

#[test]
fn binary_files_are_passed_over_and_utf_16_is_read() {
    let rules = rules();
    let secret = filled("ghp_{w36}");
    let scanned = scan(&rules, "f", [b"\x7fELF\0\0", secret.as_bytes()].concat());
    assert_eq!((scanned.findings.len(), scanned.binary, scanned.files), (0, 1, 1));
    // A zero far inside makes no binary file of a text.
    let late = [vec![b'\n'; 9000], vec![0], secret.clone().into_bytes()].concat();
    assert_eq!(scan(&rules, "f", late).findings.len(), 1);
    let utf16: Vec<u8> = format!("\u{feff}a\r\n{secret}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let scanned = scan(&rules, "f", utf16);
    assert_eq!((scanned.findings.len(), scanned.binary), (1, 0));
    assert_eq!((scanned.findings[0].line, scanned.findings[0].column), (2, 1));
}

#[test]
fn empty_and_odd_texts_hold_nothing() {
    let rules = rules();
    for text in [&b""[..], b"\n", b"\xff\xfe", b"\xff", b"ghp_", b"-----BEGIN PRIVATE KEY-----"] {
        assert!(found(&rules, text).is_empty());
    }
}

#[test]
fn text_made_to_be_slow_is_over_soon() {
    let rules = rules();
    let start = std::time::Instant::now();
    for unit in
        ["password=\"", "eyJeyJ.", "://a:", "-----BEGIN PRIVATE KEY-----", "s.s.s.s.", "AKIA", "token = \"aA1", "ghp_"]
    {
        found(&rules, unit.repeat(2_000_000 / unit.len()));
    }
    // Megabytes; what grows with the square would take hours.
    assert!(start.elapsed().as_secs() < 120, "{:?}", start.elapsed());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pieces_make_no_difference(
        parts in proptest::collection::vec((0_usize..6, 0_usize..40_000), 1..12),
        cuts in proptest::collection::vec(1_usize..90_000, 1..20),
    ) {
        let rules = rules();
        let mut text = String::new();
        for (kind, len) in parts {
            match kind {
                0 => text.push_str(&filled("\nghp_{w36}\n")),
                1 => text.push_str(&filled(" DB_PASSWORD={w20}\n")),
                2 => text.push_str(&filled("-----BEGIN PRIVATE KEY-----\n{p1600}\n-----END PRIVATE KEY-----")),
                3 => text.push_str(&"ab \n".repeat(len / 4)),
                4 => text.push_str(&"ä".repeat(len)),
                _ => text.push_str(&"long line ".repeat(len / 10)),
            }
        }
        let mut scan = TextScan::new(&rules, Place::file("f"));
        let mut rest = text.as_bytes();
        for cut in cuts.iter().cycle() {
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            scan.feed(now);
            rest = later;
            if rest.is_empty() {
                break;
            }
        }
        let mut whole = TextScan::new(&rules, Place::file("f"));
        whole.feed(text.as_bytes());
        let places = |scan: TextScan<'_>| -> Vec<_> {
            let (findings, _) = scan.finish();
            findings.iter().map(|found| (found.rule.to_string(), found.line, found.column, found.end_line)).collect()
        };
        let (pieces, whole) = (places(scan), places(whole));
        prop_assert_eq!(&pieces, &whole);
        // And each lies where the text has it.
        for (_, line, column, _) in whole {
            let line = text.split('\n').nth(usize::try_from(line - 1).unwrap()).unwrap();
            prop_assert!(line.chars().count() >= usize::try_from(column - 1).unwrap());
        }
    }

    #[test]
    fn any_bytes_are_scanned_without_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let rules = rules();
        let mut scan = TextScan::new(&rules, Place::file("f"));
        scan.feed(&bytes);
        scan.finish();
    }
}
