//! Beside GnuPG: what is sealed to its keys it opens, and keys that must not be sealed to are refused.

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use coffer_crypto::Error;
use coffer_crypto::pgp::Recipient;
use proptest::prelude::*;
use tempfile::TempDir;

/// A key ring of its own. Its agent is asked to end with it.
struct Gpg(TempDir);

impl Gpg {
    fn new() -> Self {
        let home = TempDir::new_in("/tmp").unwrap();
        // Nothing of these keys is worth waiting for the kernel's best randomness.
        fs::write(home.path().join("gpg.conf"), "batch\nno-tty\npinentry-mode loopback\npassphrase ''\nquiet\n")
            .unwrap();
        Self(home)
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.0.path()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("no gpg: scripts/install-test-deps.sh puts it there");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// A new key with subkeys of these algorithms and uses; its fingerprint.
    fn key(&self, primary: &str, subkeys: &[(&str, &str)]) -> String {
        self.run(&["--quick-generate-key", "someone@example.org", primary, "sign", "never"], b"");
        let fingerprint = self.listed("fpr").remove(0);
        for (algorithm, usage) in subkeys {
            self.run(&["--quick-add-key", &fingerprint, algorithm, usage, "never"], b"");
        }
        fingerprint
    }

    /// The tenth column of the listing's lines of this kind.
    fn listed(&self, kind: &str) -> Vec<String> {
        let listing = String::from_utf8(self.run(&["--with-colons", "--list-keys"], b"")).unwrap();
        let lines = listing.lines().map(|line| line.split(':').collect::<Vec<_>>()).filter(|line| line[0] == kind);
        lines.map(|line| line[9].to_owned()).collect()
    }

    fn public(&self) -> Vec<u8> {
        self.run(&["--export"], b"")
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.0.path()).args(["--kill", "all"]).output();
    }
}

#[allow(clippy::disallowed_methods, reason = "GnuPG goes by the clock of the machine")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect()
}

/// Why a key is refused.
fn refused(key: &[u8], at: u64) -> String {
    match Recipient::read(key, at) {
        Ok(_) => panic!("the key is taken"),
        Err(error @ (Error::InvalidKey(_) | Error::Unsupported(_))) => error.to_string(),
        Err(error) => panic!("{error:?}"),
    }
}

#[test]
fn what_is_sealed_to_keys_of_each_algorithm_gpg_opens() {
    let share = b"9bf6cbf198a8190e9f8284f51fb688bceb1355bbc010f45f5962e78c5dfb50d82c";
    for (primary, subkey) in [
        ("rsa2048", "rsa2048"),
        ("rsa2048", "rsa4096"),
        ("ed25519", "cv25519"),
        ("nistp256", "nistp256"),
        ("nistp384", "nistp384"),
        ("nistp521", "nistp521"),
        ("ed25519", "rsa3072"),
    ] {
        let gpg = Gpg::new();
        let fingerprint = gpg.key(primary, &[(subkey, "encrypt")]);
        let recipient = Recipient::read(&gpg.public(), now()).unwrap();
        assert_eq!(hex(&recipient.fingerprint()), fingerprint);
        let (one, other) = (recipient.seal(share).unwrap(), recipient.seal(share).unwrap());
        assert_ne!(one, other);
        for (sealed, plain) in [(one, &share[..]), (other, &share[..]), (recipient.seal(b"").unwrap(), b"")] {
            assert_eq!(gpg.run(&["--decrypt"], &sealed), plain, "{primary} {subkey}");
        }
        let long = vec![b'x'; 1 << 16];
        assert_eq!(gpg.run(&["--decrypt"], &recipient.seal(&long).unwrap()), long);
        assert!(matches!(recipient.seal(&[&long[..], b"x"].concat()), Err(Error::Parameters(_))));
    }
}

#[test]
fn message_is_of_the_kind_that_is_documented_and_changed_it_does_not_open() {
    let gpg = Gpg::new();
    gpg.key("ed25519", &[("cv25519", "encrypt")]);
    let sealed = Recipient::read(&gpg.public(), now()).unwrap().seal(b"share").unwrap();
    let packets = String::from_utf8(gpg.run(&["--list-packets"], &sealed)).unwrap();
    for part in ["pubkey enc packet: version 3, algo 18", "mdc_method: 2", "mode b", "raw data: 5 bytes"] {
        assert!(packets.contains(part), "{part}: {packets}");
    }
    for at in [sealed.len() - 1, sealed.len() - 30] {
        let mut changed = sealed.clone();
        changed[at] ^= 1;
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(gpg.0.path()).arg("--decrypt");
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(&changed).unwrap();
        assert!(!child.wait().unwrap().success(), "{at}");
    }
}

#[test]
fn newest_subkey_that_encrypts_and_stands_is_sealed_to() {
    let gpg = Gpg::new();
    let fingerprint = gpg.key("ed25519", &[("cv25519", "encrypt"), ("ed25519", "sign")]);
    let sealed_to = |key: &[u8], at| {
        let sealed = Recipient::read(key, at).unwrap().seal(b"share").unwrap();
        hex(&sealed[3..11])
    };
    let one = sealed_to(&gpg.public(), now());
    // A second later, so that it is newer.
    let later = format!("{}!", now() + 60);
    gpg.run(&["--faked-system-time", &later, "--quick-add-key", &fingerprint, "cv25519", "encrypt", "1d"], b"");
    let ids = gpg.listed("fpr");
    let key = gpg.public();
    assert!(ids[1].ends_with(&one) && ids.len() == 4);
    assert_eq!(sealed_to(&key, now()), one, "the newer one is not there yet");
    assert!(ids[3].ends_with(&sealed_to(&key, now() + 120)));
    assert_eq!(sealed_to(&key, now() + 2 * 86_400), one, "the newer one is expired");
    // The first one is revoked: there is none until the other comes.
    let edit = ["--command-fd", "0", "--expert", "--edit-key", &fingerprint];
    gpg.run(&edit, b"key 1\nrevkey\ny\n0\n\ny\nsave\n");
    let key = gpg.public();
    assert!(refused(&key, now() + 1).contains("no part of the key may encrypt"));
    assert!(ids[3].ends_with(&sealed_to(&key, now() + 120)));
}

#[test]
fn keys_that_must_not_be_sealed_to_are_refused_with_the_reason() {
    let gpg = Gpg::new();
    gpg.key("ed25519", &[("ed25519", "sign")]);
    assert!(refused(&gpg.public(), now()).contains("no part of the key may encrypt"));
    assert!(refused(&gpg.run(&["--export-secret-keys"], b""), now()).contains("a private key"));
    assert!(refused(&gpg.run(&["--armor", "--export"], b""), now()).contains("no OpenPGP key in its binary form"));

    // Neither DSA's keys nor small ones of RSA are taken.
    let gpg = Gpg::new();
    gpg.key("ed25519", &[("rsa1024", "encrypt")]);
    assert!(refused(&gpg.public(), now()).contains("fewer than 2048 bits"));
    let gpg = Gpg::new();
    gpg.key("rsa1024", &[("rsa2048", "encrypt")]);
    assert!(refused(&gpg.public(), now()).contains("fewer than 2048 bits"));

    let gpg = Gpg::new();
    let fingerprint = gpg.key("ed25519", &[("cv25519", "encrypt")]);
    let good = gpg.public();
    assert!(refused(&good, now() - 86_400).contains("made in the future"));
    assert!(refused(&[&good[..], &good].concat(), now()).contains("several keys"));
    assert!(refused(&vec![0x88; (1 << 20) + 1], now()).contains("longer than 1 MiB"));

    gpg.run(&["--quick-set-expire", &fingerprint, "1d"], b"");
    let expiring = gpg.public();
    Recipient::read(&expiring, now()).unwrap();
    assert!(refused(&expiring, now() + 2 * 86_400).contains("expired"));

    let certificate = gpg.0.path().join("openpgp-revocs.d").join(format!("{fingerprint}.rev"));
    let certificate = fs::read_to_string(certificate).unwrap().replace(":-----BEGIN", "-----BEGIN");
    gpg.run(&["--import"], certificate.as_bytes());
    assert!(refused(&gpg.public(), now() + 1).contains("revoked"));
}

#[test]
fn key_whose_self_signatures_are_of_sha_1_is_refused() {
    let gpg = Gpg::new();
    fs::write(
        gpg.0.path().join("gpg.conf"),
        "batch\nno-tty\npinentry-mode loopback\npassphrase ''\ncert-digest-algo SHA1\n",
    )
    .unwrap();
    gpg.key("rsa2048", &[("rsa2048", "encrypt")]);
    assert!(refused(&gpg.public(), now()).contains("no user id with a self-signature over a hash of today"));
}

#[test]
fn key_that_was_cut_or_changed_anywhere_is_never_sealed_to_wrongly() {
    let gpg = Gpg::new();
    gpg.key("rsa2048", &[("cv25519", "encrypt")]);
    let key = gpg.public();
    let at = now();
    let sealed = Recipient::read(&key, at).unwrap().seal(b"x").unwrap();
    for len in 0..key.len() {
        // Cut between two packets it is a key without its end, which has no subkey or no user id.
        assert!(Recipient::read(&key[..len], at).is_err(), "{len}");
    }
    let mut taken = 0;
    for byte in 0..key.len() {
        for bit in [0, 7] {
            let mut changed = key.clone();
            changed[byte] ^= 1 << bit;
            if let Ok(recipient) = Recipient::read(&changed, at) {
                // What no signature covers may change: it is still the same key.
                let again = recipient.seal(b"x").unwrap();
                assert_eq!(again[..11], sealed[..11], "{byte}");
                taken += 1;
            }
        }
    }
    // The unsigned areas name who signed, twice over: the key and the fingerprint.
    assert!(taken < 60, "{taken} changes went unseen");
}

proptest! {
    #[test]
    fn reading_anything_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..512), tag in 0x80_u8..) {
        let _ = Recipient::read(&bytes, 1_800_000_000);
        let _ = Recipient::read(&[&[tag, 0xff, 0xff, 0xff, 0xff, 0xff][..], &bytes].concat(), 1_800_000_000);
        // A key packet of version 4 and any algorithm, then anything.
        let framed = [&[0x99, 1, 0, 4, 0x60, 0, 0, 0][..], &bytes].concat();
        let _ = Recipient::read(&framed, 1_800_000_000);
    }
}
