//! The request lists, played to both servers.

use std::time::{Duration, Instant};

use crate::{
    compare::{Side, differences},
    http::Client,
    list::{Known, Request},
    mask::Masks,
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

/// Requests of what a later release brings, that were measured on the original and are in no list.
const UNLISTED: [(&str, usize); 3] = [("cert login", 5), ("jwt login", 29), ("kubernetes login", 30)];

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
            [] => println!("{name}: as the original"),
            differing => println!("{name}: {}", differing.join("\n")),
        }
    }
    let unlisted: usize = UNLISTED.iter().map(|(_, requests)| requests).sum();
    println!(
        "{} requests compared, {} refused as documented, {} left to later releases ({} of them in no list: {UNLISTED:?})",
        tally.compared,
        tally.refused,
        tally.later + unlisted,
        unlisted
    );
    assert!(tally.differing.is_empty(), "{} requests are answered otherwise", tally.differing.len());
    if only.is_none() {
        assert_eq!(masks.unused(), [""; 0], "masks that cover nothing");
    }
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
