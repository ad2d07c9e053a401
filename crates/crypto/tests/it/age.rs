//! Files in the age format: with `age` itself on the other side, at every length around a chunk's, and damaged in every way.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use coffer_crypto::age::{Decryptor, Encryptor, Error, Identity, Opener, Recipient, Sealer};

const CHUNK: usize = 64 << 10;
const IDENTITY: &str = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX";
const PASSPHRASE: &str = "correct horse";

fn identity() -> Identity {
    Identity::parse(IDENTITY).unwrap()
}

fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

fn encrypt(to: Sealer<'_>, plaintext: &[u8], piece: usize) -> Vec<u8> {
    let mut encryptor = Encryptor::new(to, Vec::new()).unwrap();
    plaintext.chunks(piece).for_each(|piece| encryptor.write_all(piece).unwrap());
    encryptor.finish().unwrap()
}

fn decrypt(file: &[u8], opener: Opener<'_>) -> Result<Vec<u8>, String> {
    let mut opened = Vec::new();
    let mut decryptor = Decryptor::new(file, opener).map_err(|error| error.to_string())?;
    decryptor.read_to_end(&mut opened).map_err(|error| error.to_string())?;
    Ok(opened)
}

/// Runs `age`, with this on its terminal.
fn age(dir: &Path, arguments: &str, typed: &str) {
    let mut child = Command::new("script")
        .args(["-qec", &format!("age {arguments}"), "/dev/null"])
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "age {arguments}: {}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn age_opens_what_is_encrypted_here_and_the_other_way_round() {
    let scratch = tempfile::tempdir().unwrap();
    let file = |name: &str| scratch.path().join(name);
    let recipient = identity().recipient().unwrap();
    std::fs::write(file("id"), IDENTITY).unwrap();
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
        let plaintext = plaintext(len);
        std::fs::write(file("ours"), encrypt(Sealer::Recipient(&recipient), &plaintext, 1000)).unwrap();
        age(scratch.path(), "-d -i id -o opened ours", "");
        // It makes no file for nothing.
        let opened = std::fs::read(file("opened"));
        assert_eq!(if len == 0 { opened.unwrap_or_default() } else { opened.unwrap() }, plaintext, "{len}");
        std::fs::write(file("plain"), &plaintext).unwrap();
        age(scratch.path(), &format!("-r {recipient} -o theirs plain"), "");
        let theirs = std::fs::read(file("theirs")).unwrap();
        assert_eq!(decrypt(&theirs, Opener::Identities(&[identity()])).unwrap(), plaintext, "{len}");
    }
    // With other recipients beside ours, whose stanzas are passed over.
    age(scratch.path(), &format!("-r {} -r {recipient} -o theirs plain", other()), "");
    let theirs = std::fs::read(file("theirs")).unwrap();
    assert!(decrypt(&theirs, Opener::Identities(&[identity()])).is_ok());
}

fn other() -> Recipient {
    Identity::generate().unwrap().recipient().unwrap()
}

#[test]
fn age_opens_what_is_under_a_passphrase_here() {
    let scratch = tempfile::tempdir().unwrap();
    let ours = encrypt(Sealer::Passphrase(PASSPHRASE), b"text", 4);
    std::fs::write(scratch.path().join("ours"), &ours).unwrap();
    age(scratch.path(), "-d -o opened ours", &format!("{PASSPHRASE}\n"));
    assert_eq!(std::fs::read(scratch.path().join("opened")).unwrap(), b"text");
    assert_eq!(decrypt(&ours, Opener::Passphrase(PASSPHRASE)).unwrap(), b"text");
    assert!(matches!(Decryptor::new(&ours[..], Opener::Passphrase("wrong")), Err(Error::NoMatch)));
    assert!(matches!(Decryptor::new(&ours[..], Opener::Identities(&[identity()])), Err(Error::NoMatch)));
}

#[test]
fn golden_files_of_age_open() {
    let golden = |name: &str| std::fs::read(format!("{}/testdata/golden/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let expected = b"a backup, encrypted by age 1.1.1\n";
    assert_eq!(decrypt(&golden("age-x25519.age"), Opener::Identities(&[identity()])).unwrap(), expected);
    assert_eq!(decrypt(&golden("age-scrypt.age"), Opener::Passphrase(PASSPHRASE)).unwrap(), expected);
}

#[test]
fn files_damaged_in_any_way_do_not_open() {
    let recipient = identity().recipient().unwrap();
    let identities = [identity()];
    let opener = Opener::Identities(&identities);
    let whole = encrypt(Sealer::Recipient(&recipient), &plaintext(2 * CHUNK), CHUNK);
    let payload = whole.windows(4).position(|window| window == b"\n---").unwrap() + 1 + 3 + 1 + 43 + 1;
    let end = whole.len();
    let chunks = payload + 16;
    for len in (0..payload + 40).chain([chunks + CHUNK + 16, end - CHUNK - 16]).chain(end - 40..end) {
        assert!(decrypt(&whole[..len], opener).is_err(), "cut to {len}");
    }
    assert!(decrypt(&[whole.as_slice(), b"x"].concat(), opener).is_err());
    for at in (0..payload + 40).chain((payload..end).step_by(4099)).chain(end - 20..end) {
        let mut edited = whole.clone();
        edited[at] ^= 1;
        assert!(decrypt(&edited, opener).is_err(), "byte {at}");
    }
    let (first, second) = (chunks..chunks + CHUNK + 16, chunks + CHUNK + 16..end);
    let swapped = [&whole[..chunks], &whole[second.clone()], &whole[first.clone()]].concat();
    assert!(decrypt(&swapped, opener).is_err());
    let twice = [&whole[..chunks], &whole[first.clone()], &whole[first], &whole[second]].concat();
    assert!(decrypt(&twice, opener).is_err());
    // An empty last chunk is for an empty file alone.
    assert_eq!(decrypt(&encrypt(Sealer::Recipient(&recipient), b"", 1), opener).unwrap(), b"");
    assert!(matches!(
        Decryptor::new(&whole[..], Opener::Identities(&[Identity::generate().unwrap()])),
        Err(Error::NoMatch)
    ));
}

#[test]
fn headers_that_ask_for_too_much_or_say_too_little_are_refused() {
    let stanza = |text: &str| format!("age-encryption.org/v1\n{text}\n--- {}\n", "A".repeat(43));
    let salt = "A".repeat(22);
    let body = "A".repeat(43);
    for (text, opener) in [
        (String::new(), Opener::Passphrase("x")),
        ("age-encryption.org/v2\n".to_owned(), Opener::Passphrase("x")),
        (stanza(&format!("-> scrypt {salt} 31\n{body}")), Opener::Passphrase("x")),
        (stanza(&format!("-> scrypt {salt} 018\n{body}")), Opener::Passphrase("x")),
        (stanza(&format!("-> scrypt {salt} 0\n{body}")), Opener::Passphrase("x")),
        (stanza(&format!("-> scrypt {salt} 10\n{body}\n-> scrypt {salt} 10\n{body}")), Opener::Passphrase("x")),
        (stanza(&format!("-> X25519 {body}\nAAAA")), Opener::Identities(&[identity()])),
        // A point of small order.
        (stanza(&format!("-> X25519 {body}\n{body}")), Opener::Identities(&[identity()])),
        (stanza("-> X25519"), Opener::Identities(&[identity()])),
        (stanza("X25519"), Opener::Identities(&[identity()])),
        (format!("age-encryption.org/v1\n-> x\n{}", "A".repeat(1 << 20)), Opener::Identities(&[identity()])),
    ] {
        assert!(Decryptor::new(text.as_bytes(), opener).is_err(), "{}", &text[..text.len().min(200)]);
    }
}
