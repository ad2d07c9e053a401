//! Who leads: the description of the leader, the limits on it, and the record of engines that no other process can open.

use std::time::{Duration, Instant};

use crate::batch::Epoch;
use crate::error::Error;

/// The node that leads, or led last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    /// Its term.
    pub epoch: Epoch,
    /// Its name.
    pub node: String,
    /// Where clients reach it.
    pub address: String,
    /// How long its lease still runs by the database's clock; zero once it is over.
    pub remaining: Duration,
}

/// What a node says of itself when it takes the leadership, within the limits.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) node: String,
    pub(crate) address: String,
    pub(crate) lease: Duration,
}

impl Candidate {
    /// Checks the names (1 to 255 and 0 to 2048 bytes, printable) and the lease (see [`check_lease`]).
    pub(crate) fn new(node: &str, address: &str, lease: Duration) -> Result<Candidate, Error> {
        if node.is_empty() {
            return Err(Error::Invalid("the name of a node is empty".to_owned()));
        }
        for (what, text, limit) in
            [("the name of a node", node, MAX_NODE), ("the address of a node", address, MAX_ADDRESS)]
        {
            if text.len() > limit {
                return Err(Error::TooLarge { what, size: text.len(), limit });
            }
            if text.chars().any(char::is_control) {
                return Err(Error::Invalid(format!("{what} contains a control character")));
            }
        }
        check_lease(lease)?;
        Ok(Candidate { node: node.to_owned(), address: address.to_owned(), lease })
    }
}

/// A lease lasts 1 ms to one day; [`Error::Invalid`] otherwise. Returns it in milliseconds.
pub(crate) fn check_lease(lease: Duration) -> Result<i64, Error> {
    let millis = i64::try_from(lease.as_millis()).unwrap_or(i64::MAX);
    if (1..=MAX_LEASE_MILLIS).contains(&millis) {
        Ok(millis)
    } else {
        Err(Error::Invalid("a lease lasts between a millisecond and a day".to_owned()))
    }
}

/// The leadership of a store that only this process can open: the exclusive lock decides, so the lease need not outlive
/// the process and is kept by the monotonic clock.
#[derive(Debug, Default)]
pub(crate) struct Exclusive {
    current: Option<Term>,
}

#[derive(Debug)]
struct Term {
    epoch: Epoch,
    node: String,
    address: String,
    until: Instant,
}

impl Exclusive {
    /// The leadership as an earlier process left it: its lease is over, because its lock is.
    pub(crate) fn left_by(epoch: Epoch, node: String, address: String) -> Exclusive {
        Exclusive { current: Some(Term { epoch, node, address, until: Instant::now() }) }
    }

    /// The epoch in force; zero before the first.
    pub(crate) fn epoch(&self) -> Epoch {
        self.current.as_ref().map_or(Epoch(0), |term| term.epoch)
    }

    /// The leader, if there ever was one.
    pub(crate) fn leader(&self) -> Option<Leader> {
        self.current.as_ref().map(|term| Leader {
            epoch: term.epoch,
            node: term.node.clone(),
            address: term.address.clone(),
            remaining: term.until.saturating_duration_since(Instant::now()),
        })
    }

    /// Makes `candidate` the leader under `epoch`.
    pub(crate) fn install(&mut self, epoch: Epoch, candidate: Candidate) {
        let until = Instant::now() + candidate.lease;
        self.current = Some(Term { epoch, node: candidate.node, address: candidate.address, until });
    }

    /// Extends the lease to `lease` from now. [`Error::Fenced`] unless `epoch` is in force.
    pub(crate) fn renew(&mut self, epoch: Epoch, lease: Duration) -> Result<(), Error> {
        match &mut self.current {
            Some(term) if term.epoch == epoch => {
                term.until = Instant::now() + lease;
                Ok(())
            }
            Some(_) | None => Err(Error::Fenced),
        }
    }
}

const MAX_NODE: usize = 255;
const MAX_ADDRESS: usize = 2048;
const MAX_LEASE_MILLIS: i64 = 24 * 60 * 60 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidate_outside_the_limits_is_refused() {
        let lease = Duration::from_secs(4);
        assert!(Candidate::new("a", "", lease).is_ok());
        assert!(Candidate::new("", "x", lease).is_err());
        assert!(Candidate::new("a\0", "x", lease).is_err());
        assert!(Candidate::new(&"a".repeat(256), "x", lease).is_err());
        assert!(Candidate::new("a", &"x".repeat(2049), lease).is_err());
        assert!(Candidate::new("a", "x", Duration::ZERO).is_err());
        assert!(Candidate::new("a", "x", Duration::MAX).is_err());
    }
}
