//! Random bytes from the kernel's generator. It knows of forks, and where the hypervisor tells it (vmgenid) of copies of
//! the machine; the library's own takes 50 ms to gather randomness besides when a process first asks it.

use crate::Error;

/// Fills `out` with random bytes.
///
/// # Errors
/// [`Error::Random`] if the generator fails; `out` must then not be used.
pub fn fill(out: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(out).map_err(|_| Error::Random)
}

/// `N` random bytes, for what is not a secret: nonces, salts, identifiers. A key is made by [`crate::Secret::random`].
///
/// # Errors
/// As [`fill`].
pub fn bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut out = [0; N];
    fill(&mut out)?;
    Ok(out)
}

/// Random bytes for the nonces of a batch of messages, drawn for a few dozen at once: a call of the kernel takes as long
/// as to encrypt a short message, ten times a nonce's share of one for many. No byte is given out twice.
///
/// Not for keys, and only for messages that are all there when the first is encrypted: a copy of the machine's memory then
/// encrypts the same ones under the same nonces, which tells nobody anything.
pub struct Nonces {
    /// What was drawn ahead and nobody has yet; taken from its end.
    drawn: Vec<u8>,
    /// Messages that are still to come.
    messages: usize,
}

impl Nonces {
    /// For so many messages; those beyond are drawn for one by one.
    pub fn of(messages: usize) -> Self {
        Self { drawn: Vec::new(), messages }
    }

    /// Fills `out` for the next message.
    ///
    /// # Errors
    /// As [`fill`].
    pub fn fill(&mut self, out: &mut [u8]) -> Result<(), Error> {
        let messages = self.messages;
        self.messages = messages.saturating_sub(1);
        if self.drawn.len() < out.len() {
            let ahead = messages.min(MOST_DRAWN / out.len());
            if ahead <= 1 {
                return fill(out);
            }
            let mut drawn = std::mem::take(&mut self.drawn);
            drawn.resize(ahead * out.len(), 0);
            // What was not filled is never given out.
            fill(&mut drawn)?;
            self.drawn = drawn;
        }
        let left = self.drawn.len() - out.len();
        out.iter_mut().zip(self.drawn.drain(left..)).for_each(|(byte, drawn)| *byte = drawn);
        Ok(())
    }
}

/// The nonces of 64 messages under most ciphers.
const MOST_DRAWN: usize = 64 * 12;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_nonce_comes_twice_whatever_was_said_about_how_many_there_are() {
        for said in [0, 1, 2, 63, 64, 65, 1000, usize::MAX] {
            for len in [12, 24] {
                let (mut nonces, mut seen) = (Nonces::of(said), HashSet::new());
                for _ in 0..300 {
                    let mut nonce = vec![0; len];
                    nonces.fill(&mut nonce).unwrap();
                    assert!(nonce.iter().any(|byte| *byte != 0));
                    // No half of one is that of another either.
                    assert!(nonce.chunks(6).all(|part| seen.insert(part.to_vec())), "{said} of {len}");
                }
            }
        }
    }

    #[test]
    fn bytes_of_any_length_are_filled() {
        let mut nonces = Nonces::of(10);
        nonces.fill(&mut []).unwrap();
        for len in [1, 700, 769, 5000, 24, 12] {
            let mut out = vec![0; len];
            nonces.fill(&mut out).unwrap();
            assert!(
                len < 12
                    || out.chunks(12).filter(|part| part.len() == 12).all(|part| part.iter().any(|byte| *byte != 0))
            );
        }
    }
}
