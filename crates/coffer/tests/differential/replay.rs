//! The request lists, played to both servers.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::{
    compare::{Side, differences},
    http::Client,
    list::{Known, Request},
    mask::Masks,
    print,
    servers::{Pair, Start},
};

macro_rules! list {
    ($name:literal, $start:ident) => {
        ($name, Start::$start, include_str!(concat!("lists/", $name, ".json")))
    };
}

/// Every list, with the servers that it is for; each meets two fresh ones.
const LISTS: [(&str, Start, &str); 24] = [
    list!("approle", Dev),
    list!("audit", Dev),
    list!("auth-mounts", Dev),
    list!("clients-kv", Dev),
    list!("clients-sys", Dev),
    list!("cubbyhole", Dev),
    list!("http", Dev),
    list!("http-more", Dev),
    list!("identity", Dev),
    list!("ignored", Dev),
    list!("kv1", Dev),
    list!("kv2", Dev),
    list!("leases", Dev),
    list!("mounts", Dev),
    list!("policies", Dev),
    list!("policy-eval", Dev),
    list!("shamir", Shamir),
    list!("sys-misc", Dev),
    list!("token", Dev),
    list!("transit", Dev),
    list!("transit-import", Dev),
    list!("transit-more", Dev),
    list!("userpass", Dev),
    list!("wrapping", Dev),
];

/// What the original was measured with: how often, the subject, method and path.
const MEASURED: &str = include_str!("measured.txt");
/// Subjects of a later release, whose requests are in no list.
const UNLISTED: [&str; 3] = ["cert", "jwt", "kubernetes"];

/// What a run came to.
#[derive(Default)]
struct Tally {
    compared: usize,
    refused: usize,
    later: usize,
    differing: Vec<String>,
}

#[test]
fn requests_are_answered_as_by_the_original() {
    let masks = Masks::parse(include_str!("masks.json"));
    // For work on one list: COFFER_LISTS=kv2,http
    let only = std::env::var("COFFER_LISTS").ok();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| only.split(',').any(|one| one == name));
    let mut tally = Tally::default();
    for (name, start, json) in LISTS.iter().filter(|(name, ..)| wanted(name)) {
        let before = tally.differing.len();
        play(name, &Request::parse_list(json, name), &Pair::start(*start), &masks, &mut tally);
        match &tally.differing[before..] {
            [] => print(&format!("{name}: as the original")),
            differing => print(&format!("{name}: {}", differing.join("\n"))),
        }
    }
    let unlisted: usize = measured().filter(|one| UNLISTED.contains(&one.subject)).map(|one| one.times).sum();
    print(&format!(
        "{} requests compared, {} refused as documented, {} left to later releases ({unlisted} of them in no list: {})",
        tally.compared,
        tally.refused,
        tally.later + unlisted,
        UNLISTED.join(", ")
    ));
    assert!(tally.differing.is_empty(), "{} requests are answered otherwise", tally.differing.len());
    if only.is_none() {
        assert_eq!(masks.unused(), [""; 0], "masks that cover nothing");
    }
}

#[test]
fn lists_have_every_request_that_was_measured() {
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    for request in LISTS.iter().flat_map(|(name, _, json)| Request::parse_list(json, name)) {
        *lines.entry(without_names(&request.line)).or_default() += 1;
    }
    let mut wanted: BTreeMap<&str, usize> = BTreeMap::new();
    for one in measured().filter(|one| !UNLISTED.contains(&one.subject)) {
        *wanted.entry(one.line).or_default() += one.times;
    }
    let total: usize = wanted.values().sum();
    assert!(wanted.len() > 400 && total > 800, "{} requests, {total} in all: the page is not whole", wanted.len());
    let missing: Vec<_> = wanted.iter().filter(|(line, times)| lines.get(**line).is_none_or(|n| n < *times)).collect();
    assert!(missing.is_empty(), "measured, and in no list so often: {missing:?}");
    print(&format!("{total} requests that the original was measured with are in the lists"));
}

/// A line of [`MEASURED`].
struct Measured {
    times: usize,
    subject: &'static str,
    /// As [`without_names`] makes it.
    line: &'static str,
}

fn measured() -> impl Iterator<Item = Measured> {
    MEASURED.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let mut parts = line.splitn(3, ' ');
        let mut part = || parts.next().unwrap();
        Measured { times: part().parse().unwrap(), subject: part(), line: part() }
    })
}

/// A request's line with `*` for each value that a server gave out.
fn without_names(line: &str) -> String {
    let mut parts = line.split("${");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        out.push('*');
        out.push_str(part.split_once('}').unwrap().1);
    }
    out
}

fn play(name: &str, requests: &[Request], pair: &Pair, masks: &Masks, tally: &mut Tally) {
    let (mut bao, mut coffer) = (pair.bao.client(), pair.coffer.client());
    let (mut bao_known, mut coffer_known) = (Known::default(), Known::default());
    for request in requests {
        if request.later.is_some() {
            tally.later += 1;
            continue;
        }
        if request.no.is_some() {
            tally.refused += 1;
            tally.differing.extend(not_refused(name, request, &mut coffer, &mut coffer_known));
            continue;
        }
        let began = Instant::now();
        let (a, b) = loop {
            let answers = (request.ask(&mut bao, &mut bao_known), request.ask(&mut coffer, &mut coffer_known));
            let reached = request.until.is_none_or(|status| answers.0.status == status && answers.1.status == status);
            if reached || began.elapsed() > PATIENCE {
                break answers;
            }
        };
        tally.compared += 1;
        let (a, b) = (Side { answer: &a, known: &bao_known }, Side { answer: &b, known: &coffer_known });
        let found = differences(&request.line, &a, &b, masks);
        if !found.is_empty() {
            tally.differing.push(format!("{name}: {} {}\n    {}", request.line, request.say, found.join("\n    ")));
        }
    }
}

/// What is not in this release is refused as a client of the dialect expects it.
fn not_refused(name: &str, request: &Request, client: &mut Client, known: &mut Known) -> Option<String> {
    let answer = request.ask(client, known);
    let body: Option<serde_json::Value> = serde_json::from_slice(&answer.body).ok();
    let refused = matches!(answer.status, 400 | 404 | 405 | 413) && body.is_some_and(|body| body["errors"].is_array());
    (!refused).then(|| format!("{name}: {} is \"no\" in docs/COMPATIBILITY.md, yet: {answer}", request.line))
}

const PATIENCE: Duration = Duration::from_secs(20);
