//! `coffer scan --against-store`: which secrets of a store hold what was found. The server is asked with the values themselves,
//! over the user's own connection, and tells what this token may read.

use std::collections::BTreeMap;

use coffer_api::{
    Sensitive,
    secrets::{ValueIndex, ValuesIdentify},
};
use coffer_scan::{Entry, Finding, Match};

use crate::{failure::Failure, session::Session};

/// Writes to each entry the secrets that hold it; entries and findings are in the same order.
///
/// # Errors
/// Where the server refuses.
pub(super) async fn identify(session: &Session, findings: &[Finding], entries: &mut [Entry]) -> Result<(), Failure> {
    // Each value once, and once more with the line break that files end with.
    let mut asked: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, finding) in findings.iter().enumerate() {
        let Ok(value) = std::str::from_utf8(finding.secret()) else { continue };
        for value in [value.to_owned(), format!("{value}\n")] {
            if value.len() <= LONGEST {
                asked.entry(value).or_default().push(index);
            }
        }
    }
    let client = session.client()?;
    let mut rest: Vec<(Sensitive<String>, Vec<usize>)> =
        asked.into_iter().map(|(value, of)| (Sensitive::new(value), of)).collect();
    let mut index = ValueIndex::Complete;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = rest.iter().take(MOST).take_while(|(value, _)| {
            bytes += value.expose().len();
            bytes <= TOGETHER
        });
        let some: Vec<_> = rest.drain(..fits.count().max(1)).collect();
        let values = some.iter().map(|(value, _)| value.clone()).collect();
        let identified = client.secret_identify(&ValuesIdentify { values }).await?;
        index = identified.index;
        if index == ValueIndex::Off {
            break;
        }
        for found in identified.matches {
            let of = usize::try_from(found.index).ok().and_then(|index| some.get(index));
            for at in of.into_iter().flat_map(|(_, of)| of) {
                if let Some(entry) = entries.get_mut(*at) {
                    let (scope, name) = (found.scope.to_string(), found.name.to_string());
                    entry.stored.push(Match { scope, name, version: found.version });
                }
            }
        }
    }
    for entry in entries {
        entry.stored.sort();
        entry.stored.dedup();
    }
    if let Some(note) = note(index) {
        session.output.note(note);
    }
    Ok(())
}

/// The call that would be made, where calls are shown instead.
///
/// # Errors
/// That it is planned.
pub(super) async fn plan(session: &Session) -> Result<(), Failure> {
    let values = vec![Sensitive::from("")];
    Ok(session.client()?.secret_identify(&ValuesIdentify { values }).await.map(|_| ())?)
}

/// What an answer leaves open.
pub(crate) fn note(index: ValueIndex) -> Option<&'static str> {
    match index {
        ValueIndex::Building => Some("note: the server is still indexing its secrets' values, so some may be missing"),
        ValueIndex::Complete => None,
        ValueIndex::Off => {
            Some("note: the server does not search values; 'coffer operator value-search on' switches it on")
        }
    }
}

/// Values in one request.
const MOST: usize = 1000;
/// Bytes of values in one request, but for one that is longer by itself.
const TOGETHER: usize = 256 << 10;
/// Bytes of a value that is asked about.
const LONGEST: usize = 512 << 10;
