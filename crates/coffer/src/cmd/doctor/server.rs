//! The way to the server, and what it says of itself: certificate, version, clock, seal; and what it says of the token.

use coffer_api::operator::{NodeState, Status};
use coffer_client::{Client, Handshake};
use jiff::{SignedDuration, Timestamp};

use crate::{
    duration,
    failure::{Exit, Failure},
    session::Session,
};

use super::Finding;

pub(super) async fn look(session: &Session) -> Vec<Finding> {
    let client = match session.anonymous_client() {
        Ok(client) => client,
        Err(failure) => return vec![Finding::of_failure("server", &failure)],
    };
    let mut findings = Vec::new();
    match client.handshake().await {
        Ok(None) => {}
        Ok(Some(shake)) => findings.push(certificates(&shake, Timestamp::now())),
        Err(error) => return vec![Finding::of_failure("server", &error.into())],
    }
    let asked = Timestamp::now();
    let (status, date) = match client.status_dated().await {
        Ok(answer) => answer,
        Err(error) => {
            findings.push(Finding::of_failure("server", &error.into()));
            return findings;
        }
    };
    let took = Timestamp::now().duration_since(asked);
    findings.push(Finding::fine("server", format!("answers within {} ms", took.as_millis().max(1))));
    findings.push(version(&status));
    findings.push(clock(&status, date.as_deref(), asked, Timestamp::now()));
    findings.extend(seal(&status));
    if matches!(status.state, NodeState::Active | NodeState::Standby)
        && let Ok(client) = session.client()
    {
        findings.push(token(&client).await);
    }
    findings
}

fn version(status: &Status) -> Finding {
    let own = env!("CARGO_PKG_VERSION");
    match status.version == own {
        true => Finding::fine("version", format!("{own}, as the server's")),
        false => Finding::warning(
            "version",
            format!("{own} here, {} there", status.version),
            "use the server's release: commands that are newer than the server fail there",
        ),
    }
}

/// The server's clock beside this one, which may be the wrong one of the two.
fn clock(status: &Status, date: Option<&str>, before: Timestamp, after: Timestamp) -> Finding {
    if status.clock_in_doubt {
        return Finding::wrong(
            "clock",
            Exit::Unavailable,
            "the server doubts its clock: nothing is destroyed until that ends",
            "set the server's clock; if it is right, 'coffer operator clock-accept --local' there",
        );
    }
    let there = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()).map(|zoned| zoned.timestamp());
    let Some(there) = there else {
        return Finding::warning("clock", "the server does not tell its time", "look at its clock by hand");
    };
    // The header is cut to whole seconds.
    let there_at_most = there.checked_add(SignedDuration::from_secs(1)).unwrap_or(there);
    let apart = if there_at_most < before {
        before.duration_since(there_at_most)
    } else if there > after {
        there.duration_since(after)
    } else {
        SignedDuration::ZERO
    };
    let seconds = u64::try_from(apart.as_secs()).unwrap_or(0);
    let what = format!("the server's and this one are {} apart", duration::show(seconds));
    match seconds {
        0..=2 => Finding::fine("clock", "the server's and this one agree"),
        3..=59 => Finding::warning("clock", what, "let both follow a time server"),
        _ => {
            Finding::wrong("clock", Exit::Server, what, "set the one that is wrong, and let both follow a time server")
        }
    }
}

fn certificates(shake: &Handshake, now: Timestamp) -> Finding {
    let ends = shake.chain.iter().filter_map(|validity| validity.not_after.parse::<Timestamp>().ok()).min();
    let Some(ends) = ends else {
        return Finding::fine("tls", format!("{}; the certificate does not tell its end", shake.version));
    };
    let left = ends.duration_since(now);
    let days = left.as_hours() / 24;
    let what =
        format!("{}, {} certificates, the first to end does so in {days} days", shake.version, shake.chain.len());
    let mend = "renew it, replace the files of tls.cert_file and tls.key_file, and send the server SIGHUP";
    match days {
        ..0 => Finding::wrong("tls", Exit::Server, format!("{}: a certificate ended at {ends}", shake.version), mend),
        0..=20 => Finding::warning("tls", what, mend),
        21.. => Finding::fine("tls", what),
    }
}

fn seal(status: &Status) -> Vec<Finding> {
    let what = |state: &str| format!("{state}; its kind is {}", status.seal);
    let standing = match status.state {
        NodeState::Active => Finding::fine("seal", what("open, and this node is active")),
        NodeState::Standby => Finding::fine("seal", what("open, and this node stands by")),
        NodeState::Starting => {
            let mend = "wait a moment; the server's log says what it is at";
            Finding::wrong("seal", Exit::Unavailable, what("the server is starting"), mend)
        }
        NodeState::Sealed if !status.initialized => {
            let mend = "run 'coffer operator init'";
            Finding::wrong("seal", Exit::Unavailable, what("nothing is initialised yet"), mend)
        }
        NodeState::Sealed => {
            let mend = match status.shares.as_ref() {
                Some(shares) => format!(
                    "'coffer operator unseal' with {} more of {} shares",
                    shares.threshold.saturating_sub(shares.given),
                    shares.shares
                ),
                None => "'coffer operator unseal --local' on the server".to_owned(),
            };
            Finding::wrong("seal", Exit::Unavailable, what("the server is sealed"), mend)
        }
    };
    let migration = status.seal_migration.then(|| {
        let mend = "start the server with the other seal, or take it back with 'coffer operator seal-migrate'";
        Finding::warning("seal", "the store is on its way to another seal", mend)
    });
    std::iter::once(standing).chain(migration).collect()
}

async fn token(client: &Client) -> Finding {
    let info = match client.token_lookup_self().await {
        Ok(info) => info,
        Err(error) => return Finding::of_failure("login", &Failure::from(error)),
    };
    let mut policies: Vec<String> = info.policies.into_iter().chain(info.identity_policies).collect();
    policies.sort();
    let with = format!("with the policies {}", policies.join(", "));
    match info.ttl {
        0 => Finding::fine("login", format!("the token is good for ever, {with}")),
        ttl if ttl < SOON => Finding::warning(
            "login",
            format!("the token is good for {}, {with}", duration::show(ttl)),
            "'coffer token renew', or log in again",
        ),
        ttl => Finding::fine("login", format!("the token is good for {}, {with}", duration::show(ttl))),
    }
}

/// Seconds from which on a token ends soon.
const SOON: u64 = 3600;

#[cfg(test)]
mod tests {
    use coffer_client::Validity;

    use super::{super::Verdict, *};

    fn status(state: NodeState) -> Status {
        Status {
            active_address: None,
            clock_in_doubt: false,
            cluster_id: None,
            initialized: true,
            log_size: None,
            node: "n".to_owned(),
            seal: "file".to_owned(),
            seal_migration: false,
            shares: None,
            state,
            storage: "memory".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    #[test]
    fn clocks_apart_are_told_and_the_headers_whole_seconds_forgiven() {
        let now: Timestamp = "2026-01-02T03:04:05.900Z".parse().unwrap();
        let verdict = |date: &str| clock(&status(NodeState::Active), Some(date), now, now).verdict;
        for (date, expected) in [
            ("Fri, 02 Jan 2026 03:04:05 GMT", Verdict::Fine),
            ("Fri, 02 Jan 2026 03:04:03 GMT", Verdict::Fine),
            ("Fri, 02 Jan 2026 03:04:15 GMT", Verdict::Warning),
            ("Fri, 02 Jan 2026 03:03:45 GMT", Verdict::Warning),
            ("Fri, 02 Jan 2026 04:04:05 GMT", Verdict::Wrong),
            ("Thu, 01 Jan 2026 03:04:05 GMT", Verdict::Wrong),
            ("nonsense", Verdict::Warning),
        ] {
            assert_eq!(verdict(date), expected, "{date}");
        }
        let doubtful = Status { clock_in_doubt: true, ..status(NodeState::Active) };
        assert_eq!(clock(&doubtful, None, now, now).verdict, Verdict::Wrong);
    }

    #[test]
    fn certificates_near_their_end_are_told() {
        let now: Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
        let ends = |times: &[&str]| {
            let validity = |time: &&str| Validity { not_before: String::new(), not_after: (*time).to_owned() };
            let shake = Handshake { version: "TLSv1_3".to_owned(), chain: times.iter().map(validity).collect() };
            certificates(&shake, now).verdict
        };
        assert_eq!(ends(&["2026-06-01T00:00:00Z"]), Verdict::Fine);
        assert_eq!(ends(&["2026-06-01T00:00:00Z", "2026-01-12T00:00:00Z"]), Verdict::Warning);
        assert_eq!(ends(&["2025-12-31T00:00:00Z"]), Verdict::Wrong);
        assert_eq!(ends(&[]), Verdict::Fine);
    }

    #[test]
    fn every_state_of_a_node_has_its_verdict() {
        let verdict = |status: &Status| seal(status).iter().map(|finding| finding.verdict).collect::<Vec<_>>();
        for (state, expected) in [
            (NodeState::Active, Verdict::Fine),
            (NodeState::Standby, Verdict::Fine),
            (NodeState::Starting, Verdict::Wrong),
            (NodeState::Sealed, Verdict::Wrong),
        ] {
            assert_eq!(verdict(&status(state)), [expected], "{state:?}");
        }
        let moving = Status { seal_migration: true, ..status(NodeState::Active) };
        assert_eq!(verdict(&moving), [Verdict::Fine, Verdict::Warning]);
        let other = Status { version: "0.0.0".to_owned(), ..status(NodeState::Active) };
        assert_eq!(version(&other).verdict, Verdict::Warning);
    }
}
