//! Encrypted files: every way to damage one, what is left after a refusal, a kill and a reader that goes away, and the memory
//! that a large one takes. The server is a stub there, for it sees data keys alone; signatures are made by a real one and checked by
//! OpenSSL.

use std::{
    fs,
    io::{Read, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

use crate::{case::Reply, server::Server, stub::Stub};

const CHUNK: usize = 64 << 10;
/// Magic, length, envelope, salt, commitment.
const HEADER: usize = 12 + 4 + ENVELOPE.len() + 32 + 32;
const ENVELOPE: &str = "vault:v1:ZGs=";

struct Place {
    directory: tempfile::TempDir,
    stub: Stub,
}

struct Said {
    code: Option<i32>,
    stdout: Vec<u8>,
    stderr: String,
}

impl Place {
    fn new() -> Self {
        let key = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
        let reply =
            |path: &str, body: String| Reply { request: format!("POST /api/v1/keys/k/{path} "), status: 200, body };
        let made = format!(r#"{{"ciphertext":"{ENVELOPE}","key_version":1,"plaintext":"{key}"}}"#);
        let opened = format!(r#"{{"key_version":1,"plaintext":"{key}"}}"#);
        let stub = Stub::start(vec![reply("data-key", made), reply("decrypt", opened)]);
        Self { directory: tempfile::tempdir().unwrap(), stub }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command
            .arg("keys")
            .args(args)
            .env_clear()
            .env("COFFER_ADDR", self.stub.url())
            .env("COFFER_TOKEN", "t")
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn coffer(&self, args: &[&str]) -> Said {
        let output = self.command(args).stdin(Stdio::null()).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Said { code: output.status.code(), stdout: output.stdout, stderr }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path().join(name)).unwrap()
    }

    /// These bytes as a file that is encrypted.
    fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        self.write("plain", plain);
        let said = self.coffer(&["encrypt", "k", "--in", "plain", "--out", "sealed"]);
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        let sealed = self.read("sealed");
        fs::remove_file(self.path().join("plain")).unwrap();
        fs::remove_file(self.path().join("sealed")).unwrap();
        sealed
    }
}

/// Bytes of which no two chunks are alike.
fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(((index / 251).wrapping_mul(31) ^ index ^ seed) % 256).unwrap()).collect()
}

#[test]
fn files_of_every_length_come_back_and_decrypted_ones_are_their_owners() {
    let place = Place::new();
    for len in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 17] {
        let plain = bytes(len, 1);
        let sealed = place.sealed(&plain);
        assert_eq!(sealed.len(), HEADER + len + 16 * len.div_ceil(CHUNK).max(1));
        place.write("sealed", &sealed);
        let said = place.coffer(&["decrypt", "k", "--in", "sealed", "--out", "opened"]);
        assert_eq!((said.code, said.stdout.len()), (Some(0), 0), "{}", said.stderr);
        assert_eq!(place.read("opened"), plain, "{len}");
        let mode = fs::metadata(place.path().join("opened")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let said = place.coffer(&["decrypt", "k", "--in", "sealed"]);
        assert_eq!((said.code, said.stdout), (Some(0), plain));
    }
    // What was open to others before is not any more.
    place.write("sealed", &place.sealed(b"text"));
    place.write("opened", b"old");
    fs::set_permissions(place.path().join("opened"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(place.coffer(&["decrypt", "k", "--in", "sealed", "--out", "opened"]).code, Some(0));
    let mode = fs::metadata(place.path().join("opened")).unwrap().permissions().mode();
    assert_eq!((place.read("opened").as_slice(), mode & 0o777), (&b"text"[..], 0o600));
}

#[test]
fn damaged_file_is_refused_and_what_stood_at_out_stays() {
    let place = Place::new();
    let sealed = place.sealed(&bytes(3 * CHUNK + 100, 1));
    let other = place.sealed(&bytes(3 * CHUNK + 100, 2));
    let chunk = |number: usize| HEADER + number * (CHUNK + 16)..HEADER + (number + 1) * (CHUNK + 16);
    let edited = |at: usize| {
        let mut edited = sealed.clone();
        edited[at] ^= 1;
        edited
    };
    let mut swapped = sealed.clone();
    swapped[chunk(0)].copy_from_slice(&sealed[chunk(1)]);
    swapped[chunk(1)].copy_from_slice(&sealed[chunk(0)]);
    let mut mixed = sealed.clone();
    mixed[chunk(1)].copy_from_slice(&other[chunk(1)]);
    let last = HEADER + 3 * (CHUNK + 16);
    for (what, damaged) in [
        ("cut in a chunk", sealed[..last - 5].to_vec()),
        ("cut after a chunk", sealed[..last].to_vec()),
        ("cut after the first", sealed[..chunk(0).end].to_vec()),
        ("cut before the chunks", sealed[..HEADER].to_vec()),
        ("longer", [&sealed[..], b"x"].concat()),
        ("twice", [&sealed[..], &sealed[..]].concat()),
        ("without its first chunk", [&sealed[..HEADER], &sealed[chunk(0).end..]].concat()),
        ("in another order", swapped),
        ("mixed", mixed),
        ("with another's header", [&other[..HEADER], &sealed[HEADER..]].concat()),
        ("edited at the end", edited(sealed.len() - 1)),
        ("edited in a chunk", edited(chunk(1).start)),
        ("edited in its salt", edited(12 + 4 + ENVELOPE.len())),
        ("edited in its commitment", edited(HEADER - 1)),
        ("edited in its envelope", edited(16)),
        ("cut in its header", sealed[..HEADER - 1].to_vec()),
        ("cut in its envelope", sealed[..20].to_vec()),
    ] {
        place.write("damaged", &damaged);
        place.write("out", b"old");
        let before = place.names();
        let said = place.coffer(&["decrypt", "k", "--in", "damaged", "--out", "out"]);
        assert_eq!((said.code, said.stdout.len()), (Some(8), 0), "{what}: {}", said.stderr);
        assert!(said.stderr.starts_with("error: damaged: the file was damaged"), "{what}: {}", said.stderr);
        assert_eq!((place.read("out").as_slice(), place.names()), (&b"old"[..], before), "{what}");

        fs::remove_file(place.path().join("out")).unwrap();
        let said = place.coffer(&["decrypt", "k", "--in", "damaged", "--out", "out"]);
        assert_eq!((said.code, place.names()), (Some(8), vec!["damaged".to_owned()]), "{what}");

        let said = place.coffer(&["decrypt", "k", "--in", "damaged"]);
        assert_eq!(said.code, Some(8), "{what}");
        assert!(said.stderr.ends_with("hint: what was written by now is not to be used\n"), "{what}: {}", said.stderr);
    }
    for nothing in [&b""[..], b"coffer", b"coffer-file\x02", &[0; 100]] {
        place.write("damaged", nothing);
        let said = place.coffer(&["decrypt", "k", "--in", "damaged", "--out", "out"]);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        assert!(said.stderr.contains("not an encrypted file of a format that this release knows"), "{}", said.stderr);
        assert_eq!(place.names(), ["damaged"]);
    }
}

/// Feeds the child, and gives its peak of memory in KiB while it waits for more.
fn peak(child: &Child, stdin: &mut ChildStdin, input: impl Iterator<Item = Vec<u8>>) -> u64 {
    input.for_each(|part| stdin.write_all(&part).unwrap());
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn memory_stays_flat_whatever_the_length_of_the_file() {
    let place = Place::new();
    let mut peaks = Vec::new();
    for megabytes in [1, 64] {
        let part = bytes(1 << 20, 7);
        let mut child = place.command(&["encrypt", "k", "--out", "sealed"]).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let encrypting = peak(&child, &mut stdin, std::iter::repeat_n(part.clone(), megabytes));
        drop(stdin);
        assert!(child.wait().unwrap().success());

        let mut child = place.command(&["decrypt", "k", "--out", "opened"]).spawn().unwrap();
        let sealed = place.read("sealed");
        assert_eq!(sealed.len(), HEADER + megabytes * (1 << 20) + megabytes * 16 * 16);
        let mut stdin = child.stdin.take().unwrap();
        let decrypting = peak(&child, &mut stdin, sealed.chunks(1 << 20).map(<[u8]>::to_vec));
        drop(stdin);
        assert!(child.wait().unwrap().success());
        assert!(place.read("opened").chunks(1 << 20).all(|found| found == part));
        peaks.push((encrypting, decrypting));
    }
    let [small, large] = peaks[..] else { panic!() };
    println!("peaks of memory in KiB for 1 and 64 MiB: {small:?}, {large:?}");
    assert!(large.0 < small.0 + 4096 && large.1 < small.1 + 4096, "{small:?} {large:?}");
}

#[test]
fn killed_command_leaves_nothing_at_out_and_nothing_beside_it() {
    let place = Place::new();
    place.write("out", b"old");
    let sealed = place.sealed(&bytes(64 * CHUNK, 1));
    for (verb, input) in [("encrypt", bytes(64 * CHUNK, 1)), ("decrypt", sealed)] {
        let mut child = place.command(&[verb, "k", "--out", "out"]).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&input).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!((place.names(), place.read("out").as_slice()), (vec!["out".to_owned()], &b"old"[..]), "{verb}");
    }
}

#[test]
fn reader_that_goes_away_ends_the_command_quietly() {
    let place = Place::new();
    place.write("sealed", &place.sealed(&bytes(64 * CHUNK, 1)));
    let mut child = place.command(&["decrypt", "k", "--in", "sealed"]).spawn().unwrap();
    let mut first = [0; 1];
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut first).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stderr).unwrap()), (Some(141), String::new()));
}

#[test]
fn signature_of_a_file_is_checked_by_openssl_over_the_documented_message() {
    let server = Server::dev();
    let path = |name: &str| server.home().join(name);
    server.coffer_with_input(&["login"], "root\n");
    let coffer = |args: &[&str]| {
        let said = server.coffer(args);
        assert_eq!(said.code, 0, "{said:?}");
        said.stdout
    };
    let openssl = |args: &[&str]| {
        let output = Command::new("openssl").args(args).current_dir(server.home()).output().unwrap();
        (output.status.success(), output.stdout)
    };
    let file = bytes(3 * CHUNK + 5, 3);
    fs::write(path("file"), &file).unwrap();
    for (algorithm, how) in [("ed25519", &["-rawin"][..]), ("ecdsa-p256", &["-rawin", "-digest", "sha256"][..])] {
        coffer(&["keys", "create", algorithm, "--algorithm", algorithm]);
        coffer(&["keys", "sign", algorithm, "--in", "file", "--out", "file.sig"]);
        coffer(&["keys", "verify", algorithm, "--in", "file", "--signature", "file.sig"]);
        fs::write(path("public.pem"), coffer(&["keys", "public", algorithm])).unwrap();
        let text = fs::read_to_string(path("file.sig")).unwrap();
        fs::write(path("signature.b64"), text.strip_prefix("vault:v1:").unwrap()).unwrap();
        assert!(openssl(&["base64", "-d", "-A", "-in", "signature.b64", "-out", "signature"]).0);
        let (_, hash) = openssl(&["dgst", "-sha512", "-binary", "file"]);
        let message = |len: usize| {
            let len = u64::try_from(len).unwrap().to_be_bytes();
            [b"coffer-file-v1\0", algorithm.as_bytes(), &len, &hash].concat()
        };
        let verifies = |message: &[u8]| {
            fs::write(path("message"), message).unwrap();
            let args =
                ["pkeyutl", "-verify", "-pubin", "-inkey", "public.pem", "-in", "message", "-sigfile", "signature"];
            openssl(&[&args[..], how].concat()).0
        };
        assert!(verifies(&message(file.len())), "{algorithm}");
        assert!(!verifies(&message(file.len() + 1)), "{algorithm}");
    }
}
