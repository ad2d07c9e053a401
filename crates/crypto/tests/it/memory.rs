//! What is left of keys in the process's memory once they are dropped: nothing, on the stack and the heap included.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;

use coffer_crypto::envelope::TermKey;
use coffer_crypto::hash::HmacKey;
use coffer_crypto::sign::SigningKey;
use coffer_crypto::{Secret, kdf, object, wrap};

#[test]
fn keys_dropped_are_nowhere_in_memory() {
    if std::env::var_os(CHILD).is_none() {
        // Alone in a process of its own: it reads all of its memory.
        let test = "memory::keys_dropped_are_nowhere_in_memory";
        let binary = std::env::current_exe().unwrap();
        let output = Command::new(binary).args(["--exact", test, "--nocapture"]).env(CHILD, "1").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let (root, key) = (Secret::random(32).unwrap(), Secret::random(32).unwrap());
    let (root_needle, key_needle) = (Needle::of(&root), Needle::of(&key));
    use_everywhere(&root, &key);
    for needle in [&root_needle, &key_needle] {
        let found = needle.find();
        assert_eq!(found.len(), 1, "while they live, each in its own page alone: {found:?}");
    }
    drop((root, key));
    for needle in [&root_needle, &key_needle] {
        let found = needle.find();
        assert!(found.is_empty(), "once they are dropped: {found:?}");
    }
}

#[inline(never)]
fn use_everywhere(root: &Secret, key: &Secret) {
    let wrapped = wrap::wrap(root, b"aad", key).unwrap();
    let unwrapped = wrap::unwrap(root, b"aad", &wrapped).unwrap();
    let term = TermKey::new(1, &unwrapped).unwrap();
    assert_eq!(*term.open(b"aad", &term.seal(b"aad", &[b"plaintext"]).unwrap()).unwrap(), b"plaintext");
    let sealed = object::seal(key, b"aad", b"plaintext").unwrap();
    assert_eq!(*object::open(key, b"aad", &sealed).unwrap(), b"plaintext");
    assert_eq!(kdf::hkdf_sha256(key, b"salt", &[b"info"], 32).unwrap().len(), 32);
    HmacKey::new(key).verify(&[b"message"], &HmacKey::new(key).mac(&[b"message"])).unwrap();
    let signer = SigningKey::from_seed(key).unwrap();
    coffer_crypto::sign::verify(&signer.public_key(), b"message", &signer.sign(b"message")).unwrap();
}

/// What to look for, kept inverted, so that it does not find itself.
struct Needle(Vec<u8>);

impl Needle {
    fn of(secret: &Secret) -> Self {
        Self(secret.expose().iter().map(|byte| !byte).collect())
    }

    /// The map of each place in memory where the needle's first half lies.
    fn find(&self) -> Vec<String> {
        let needle = &self.0[..16];
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let mut found = Vec::new();
        let mut buffer = Vec::new();
        for map in maps.lines().filter(|map| map.split(' ').nth(1).unwrap().starts_with("rw")) {
            let (start, end) = map.split(' ').next().unwrap().split_once('-').unwrap();
            let start = u64::from_str_radix(start, 16).unwrap();
            let len = u64::from_str_radix(end, 16).unwrap() - start;
            buffer.clear();
            buffer.resize(len.try_into().unwrap(), 0);
            memory.read_exact_at(&mut buffer, start).unwrap();
            // Inverted at once, so that the copy just made is no finding in a later map.
            buffer.iter_mut().for_each(|byte| *byte = !*byte);
            let here = buffer.windows(needle.len()).filter(|window| window[0] == needle[0] && *window == needle);
            found.extend(here.map(|_| map.to_owned()));
        }
        found
    }
}

const CHILD: &str = "CRYPTO_TEST_CHILD";
