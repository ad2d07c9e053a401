//! OpenPGP (RFC 4880, RFC 9580), as much of it as seals a few bytes to somebody's public key, and no more: there are no
//! private keys, no armour and no signatures of our own here. docs/adr/0003-openpgp.md says why it is our own.
//!
//! `packet` cuts a key into packets, `key` and `signature` read them, `certificate` decides which part of it may be sealed
//! to, and `message` seals.

mod certificate;
mod key;
mod message;
mod packet;
mod signature;

/// Somebody's public key of version 4, whose self-signatures were verified, and the part of it that encrypts.
pub struct Recipient {
    fingerprint: [u8; FINGERPRINT_LEN],
    key: message::EncryptionKey,
}

impl Recipient {
    /// The fingerprint of the primary key, by which people know the whole.
    pub fn fingerprint(&self) -> [u8; FINGERPRINT_LEN] {
        self.fingerprint
    }
}

const FINGERPRINT_LEN: usize = 20;
