//! GnuPG, whose users hold shares.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use tempfile::TempDir;

/// Somebody with a key ring of their own, and one key in it.
pub(crate) struct Holder {
    home: TempDir,
    /// The public key, as it is sent.
    pub(crate) key: String,
    pub(crate) fingerprint: String,
}

impl Holder {
    /// With a primary key that signs and a subkey that encrypts.
    pub(crate) fn new(primary: &str, subkey: &str) -> Self {
        let home = TempDir::new_in("/tmp").unwrap();
        fs::write(home.path().join("gpg.conf"), "batch\nno-tty\npinentry-mode loopback\npassphrase ''\nquiet\n")
            .unwrap();
        let mut holder = Self { home, key: String::new(), fingerprint: String::new() };
        holder.run(&["--quick-generate-key", "holder@example.org", primary, "sign", "never"], b"");
        let listing = String::from_utf8(holder.run(&["--with-colons", "--list-keys"], b"")).unwrap();
        let line = listing.lines().find(|line| line.starts_with("fpr:")).unwrap();
        let fingerprint = line.split(':').nth(9).unwrap().to_owned();
        if !subkey.is_empty() {
            holder.run(&["--quick-add-key", &fingerprint, subkey, "encrypt", "never"], b"");
        }
        holder.key = STANDARD.encode(holder.run(&["--export"], b""));
        holder.fingerprint = fingerprint.to_lowercase();
        holder
    }

    /// What was encrypted to the holder, from hexadecimal or base64.
    pub(crate) fn opens(&self, message: &str) -> String {
        let from_hex = |text: &str| -> Option<Vec<u8>> {
            text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
        };
        let bytes = from_hex(message).unwrap_or_else(|| STANDARD.decode(message).unwrap());
        String::from_utf8(self.run(&["--decrypt"], &bytes)).unwrap()
    }

    fn run(&self, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut command = Command::new("gpg");
        command.arg("--homedir").arg(self.home.path()).args(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("no gpg: scripts/install-test-deps.sh puts it there");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}
