//! Searches, with and without summaries.

use std::path::Path;

use super::{
    super::{
        Log,
        disk::Disk,
        index::{Budget, Index, Order, Query, QueryPage},
        summary::{Summary, TimeRange},
    },
    append,
    dice::Dice,
    open,
    sim::SimDisk,
};

/// An entry with a time, an actor and a path.
fn entry(time: u64, actor: u64, path: u64) -> Vec<u8> {
    format!("{time} actor-{actor} path-{path}").into_bytes()
}

fn facts(entry: &[u8]) -> Option<(u64, Vec<&str>)> {
    let text = str::from_utf8(entry).ok()?;
    let mut words = text.split(' ');
    Some((words.next()?.parse().ok()?, words.collect()))
}

fn term(word: &str) -> u64 {
    word.bytes().fold(7, |hash, byte| hash * 31 + u64::from(byte))
}

fn summarise(entry: &[u8]) -> Option<Summary> {
    let (time_ms, words) = facts(entry)?;
    Some(Summary { time_ms, terms: words.into_iter().map(term).collect() })
}

fn index_of(log: &Log) -> Index {
    Index::open(log, Box::new(summarise)).unwrap()
}

async fn log_of(count: u64) -> (SimDisk, Log, Vec<Vec<u8>>) {
    let disk = SimDisk::new();
    let (log, _) = open(&disk, None).unwrap();
    let mut dice = Dice(5);
    let entries: Vec<Vec<u8>> = (0..count)
        .map(|i| {
            if i % 97 == 13 {
                b"not summarised".to_vec()
            } else {
                entry(1000 + i + dice.below(20), i / 300, dice.below(40))
            }
        })
        .collect();
    for chunk in entries.chunks(60) {
        append(&log, chunk.to_vec()).await.unwrap();
    }
    (disk, log, entries)
}

const ENOUGH: Budget = Budget { summaries: 1000, bundles: 1000 };

fn query(order: Order, words: &[&str], times: TimeRange, limit: usize, budget: Budget) -> Query {
    Query {
        order,
        cursor: None,
        terms: words.iter().map(|word| term(word)).collect(),
        any_of: Vec::new(),
        times,
        limit,
        budget,
    }
}

fn matches(entry: &[u8], words: &[&str], times: &TimeRange) -> bool {
    facts(entry).is_some_and(|(time, found)| {
        words.iter().all(|word| found.contains(word))
            && times.from_ms.is_none_or(|from| time >= from)
            && times.until_ms.is_none_or(|until| time < until)
    })
}

/// All pages of a search, and how many entries were looked at.
fn search(index: &Index, mut query: Query, words: &[&str]) -> (Vec<(u64, Vec<u8>)>, u64) {
    let (mut found, mut scanned) = (Vec::new(), 0);
    let times = query.times;
    for _ in 0..10_000 {
        let QueryPage { entries, next, scanned: more } =
            index.query(&query, &|entry| matches(entry, words, &times)).unwrap();
        assert!(entries.len() <= query.limit && more <= query.budget.bundles.max(1) * 256);
        found.extend(entries);
        scanned += more;
        match next {
            Some(next) => query.cursor = Some(next),
            None => return (found, scanned),
        }
    }
    panic!("the search does not end");
}

#[tokio::test]
async fn search_finds_what_a_full_scan_finds_in_either_order_and_any_budget() {
    let (_disk, log, entries) = log_of(2000).await;
    let index = index_of(&log);
    for indexed in [0, 3, 100] {
        index.catch_up(indexed).unwrap();
        for words in [&["actor-1"][..], &["actor-5", "path-7"], &["path-39"], &["actor-99"], &[]] {
            for times in [
                TimeRange::default(),
                TimeRange { from_ms: Some(1500), until_ms: Some(1600) },
                TimeRange { from_ms: None, until_ms: Some(1000) },
            ] {
                let mut expected: Vec<(u64, Vec<u8>)> =
                    (0..).zip(entries.clone()).filter(|(_, entry)| matches(entry, words, &times)).collect();
                for budget in [ENOUGH, Budget { summaries: 1, bundles: 1 }, Budget { summaries: 3, bundles: 2 }] {
                    for limit in [1, 7, 5000] {
                        let oldest = query(Order::Oldest, words, times, limit, budget);
                        assert_eq!(search(&index, oldest, words).0, expected, "{words:?} {times:?} {limit}");
                    }
                }
                expected.reverse();
                for limit in [1, 100] {
                    let newest = query(Order::Newest, words, times, limit, Budget { summaries: 2, bundles: 1 });
                    assert_eq!(search(&index, newest, words).0, expected, "{words:?} {times:?} {limit}");
                }
            }
        }
    }
}

#[tokio::test]
async fn search_opens_only_bundles_that_may_have_what_is_looked_for() {
    let (_disk, log, _) = log_of(2000).await;
    let index = index_of(&log);
    assert_eq!(index.catch_up(2).unwrap(), 5);
    assert_eq!(index.catch_up(100).unwrap(), 0);
    let (found, scanned) =
        search(&index, query(Order::Oldest, &["actor-1"], TimeRange::default(), 999, ENOUGH), &["actor-1"]);
    assert!(found.len() > 280);
    // Entries 300 to 600 lie in two bundles; what is no full bundle is looked at in any case.
    assert!(scanned <= 2 * 256 + 2000 % 256 + 256, "{scanned}");
    let page = index.query(
        &query(Order::Oldest, &["actor-1"], TimeRange::default(), 999, Budget { summaries: 1, bundles: 9 }),
        &|_| true,
    );
    assert_eq!(page.unwrap(), QueryPage { entries: vec![], next: Some(256), scanned: 0 });
}

#[tokio::test]
async fn index_missing_damaged_or_of_another_log_is_made_again() {
    let (disk, log, entries) = log_of(2000).await;
    let path = Path::new(super::DIR).join("index");
    let expected = entries.iter().filter(|entry| matches(entry, &["path-7"], &TimeRange::default())).count();
    let check = |log: &Log| {
        let index = index_of(log);
        let find =
            || search(&index, query(Order::Oldest, &["path-7"], TimeRange::default(), 9, ENOUGH), &["path-7"]).0.len();
        assert_eq!(find(), expected);
        assert_eq!(index.catch_up(1000).unwrap(), 0);
        assert_eq!(find(), expected);
    };
    check(&log);
    let whole = disk.contents(&path);
    assert_eq!(whole.len(), 64 + 7 * 1024);
    let damages: [fn(&mut Vec<u8>); 6] = [
        |bytes| bytes.clear(),
        |bytes| bytes[3] ^= 1,
        |bytes| bytes[64 + 1024 + 100] ^= 1,
        |bytes| bytes[64 + 6 * 1024 + 30] ^= 1,
        |bytes| bytes.truncate(64 + 1500),
        |bytes| bytes.extend_from_slice(&[7; 5000]),
    ];
    for damage in damages {
        disk.tamper(&path, damage);
        check(&log);
        disk.tamper(&path, |bytes| *bytes = whole.clone());
    }
    disk.remove(&path).unwrap();
    check(&log);
    assert_eq!(disk.contents(&path), whole);
    // The index of a log with the same name and other entries.
    let other = SimDisk::new();
    let (log, _) = open(&other, None).unwrap();
    for chunk in entries.iter().rev().cloned().collect::<Vec<_>>().chunks(60) {
        append(&log, chunk.to_vec()).await.unwrap();
    }
    other.create(&path).unwrap().write_at(&whole, 0).unwrap();
    check(&log);
}

#[tokio::test]
async fn index_grows_with_the_log_and_is_kept() {
    let (disk, log, _) = log_of(600).await;
    let index = index_of(&log);
    assert_eq!(index.catch_up(10).unwrap(), 0);
    for i in 0..300 {
        append(&log, vec![entry(9000 + i, 500, 3)]).await.unwrap();
    }
    let newest = query(Order::Newest, &["actor-500"], TimeRange { from_ms: Some(9290), until_ms: None }, 99, ENOUGH);
    assert_eq!(search(&index, newest.clone(), &["actor-500"]).0.len(), 10);
    assert_eq!(index.catch_up(10).unwrap(), 0);
    drop(index);
    log.close().unwrap();
    let (log, _) = open(&disk, None).unwrap();
    let index = index_of(&log);
    assert_eq!(index.catch_up(0).unwrap(), 0, "nothing is left to do");
    assert_eq!(search(&index, newest, &["actor-500"]).0.len(), 10);
}
