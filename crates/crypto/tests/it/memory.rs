//! What is left of keys in the process's memory once they are dropped: nothing, on the stack and the heap included.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::thread;

use coffer_crypto::envelope::TermKey;
use coffer_crypto::hash::{self, HmacKey};
use coffer_crypto::keys::{Algorithm, KeyMaterial, SignOptions, Usage};
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
    let secrets = Arc::new([(); 3].map(|()| Secret::random(32).unwrap()));
    let needles = secrets.each_ref().map(Needle::of);
    let (used, is_used) = mpsc::channel();
    let (over, is_over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let theirs = Arc::clone(&secrets);
        scope.spawn(move || {
            let [root, key, message] = &*theirs;
            use_everywhere(root, key, message);
            drop(theirs);
            used.send(()).unwrap();
            // Until then this thread's stack stays as the use left it.
            let _ = is_over.recv();
        });
        is_used.recv().unwrap();
        let live = needles.each_ref().map(Needle::find);
        drop(secrets);
        let left = needles.each_ref().map(Needle::find);
        drop(over);
        for (live, left) in live.iter().zip(&left) {
            assert_eq!(live.len(), 1, "while they live, each in its own page alone: {live:?}");
            assert!(left.is_empty(), "once they are dropped: {left:?}");
        }
    });
}

#[inline(never)]
fn use_everywhere(root: &Secret, key: &Secret, message: &Secret) {
    let wrapped = wrap::wrap(root, b"aad", key).unwrap();
    let unwrapped = wrap::unwrap(root, b"aad", &wrapped).unwrap();
    let term = TermKey::new(1, &unwrapped).unwrap();
    assert_eq!(*term.open(b"aad", &term.seal(b"aad", &[b"plaintext"]).unwrap()).unwrap(), b"plaintext");
    let sealed = object::seal(key, b"aad", b"plaintext").unwrap();
    assert_eq!(*object::open(key, b"aad", &sealed).unwrap(), b"plaintext");
    assert_eq!(kdf::hkdf_sha256(key, b"salt", &[b"info"], 32).unwrap().len(), 32);
    let signer = SigningKey::from_seed(key).unwrap();
    coffer_crypto::sign::verify(&signer.public_key(), b"message", &signer.sign(b"message")).unwrap();
    for algorithm in KEYS_OF_32_BYTES {
        use_as(algorithm, key);
    }
    // A message may be a token or a value, whole or behind a prefix.
    for message in [&[message.expose()][..], &[b"prefix", message.expose()]] {
        HmacKey::new(key).verify(message, &HmacKey::new(key).mac(message)).unwrap();
    }
}

fn use_as(algorithm: Algorithm, key: &Secret) {
    let material = KeyMaterial::from_encoded(algorithm, key.expose()).unwrap();
    let prepared = material.prepare().unwrap();
    let options = SignOptions::default();
    if algorithm.supports(Usage::Encrypt) {
        let sealed = prepared.encrypt(b"aad", b"plaintext").unwrap();
        assert_eq!(*prepared.decrypt(b"aad", &sealed).unwrap(), b"plaintext");
    }
    if algorithm.supports(Usage::Sign) {
        let signature = prepared.sign(&options, b"message").unwrap();
        assert!(prepared.verify(&options, b"message", &signature).unwrap());
    }
    if algorithm.supports(Usage::Mac) {
        assert!(prepared.mac(Some(hash::Algorithm::Sha3_256), b"message").is_ok());
        assert!(prepared.mac(None, b"message").is_ok());
    }
    if algorithm.supports(Usage::Derive) {
        assert!(prepared.derive(b"context").is_ok());
    }
    if algorithm.supports(Usage::Wrap) {
        assert!(prepared.wrap(b"another key").is_ok());
    }
    assert!(!material.export_text().unwrap().is_empty());
}

const KEYS_OF_32_BYTES: [Algorithm; 8] = [
    Algorithm::Aes256Gcm,
    Algorithm::ChaCha20Poly1305,
    Algorithm::XChaCha20Poly1305,
    Algorithm::Xaes256Gcm,
    Algorithm::Hmac,
    Algorithm::Ed25519,
    Algorithm::EcdsaP256,
    Algorithm::MlDsa44,
];

/// What to look for, each byte kept one higher, so that it does not find itself: nor, two higher, a copy of itself.
struct Needle(Vec<u8>);

impl Needle {
    fn of(secret: &Secret) -> Self {
        Self(secret.expose().iter().map(|byte| byte.wrapping_add(1)).collect())
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
            // Changed at once, so that the copy just made is no finding in a later map.
            buffer.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
            let here = buffer.windows(needle.len()).filter(|window| window[0] == needle[0] && *window == needle);
            found.extend(here.map(|_| map.to_owned()));
        }
        found
    }
}

const CHILD: &str = "CRYPTO_TEST_CHILD";
