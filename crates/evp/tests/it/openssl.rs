//! OpenSSL's command line, as the other side.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

/// A pair of keys that OpenSSL made, in DER, and the folder where they lie.
pub(crate) struct Pair {
    pub(crate) private: Vec<u8>,
    pub(crate) public: Vec<u8>,
    folder: TempDir,
}

impl Pair {
    pub(crate) fn generate(options: &[&str]) -> Self {
        let folder = TempDir::new().unwrap();
        let files = ["key.pem", "private.der", "public.der"].map(|name| folder.path().join(name));
        let [pem, private, public] = files.each_ref().map(|file| file.to_str().unwrap());
        assert!(run(&[&["genpkey", "-out", pem], options].concat()));
        assert!(run(&["pkcs8", "-topk8", "-nocrypt", "-in", pem, "-outform", "DER", "-out", private]));
        assert!(run(&["pkey", "-in", pem, "-pubout", "-outform", "DER", "-out", public]));
        Self { private: std::fs::read(private).unwrap(), public: std::fs::read(public).unwrap(), folder }
    }

    pub(crate) fn sign(&self, options: &[&str], digest: &[u8]) -> Vec<u8> {
        self.private_operation("-sign", options, digest)
    }

    pub(crate) fn decrypt(&self, options: &[&str], ciphertext: &[u8]) -> Vec<u8> {
        self.private_operation("-decrypt", options, ciphertext)
    }

    pub(crate) fn encrypt(&self, options: &[&str], plaintext: &[u8]) -> Vec<u8> {
        let (input, output) = (self.write("in", plaintext), self.path("out"));
        let files = ["-pubin", "-inkey", &self.path("public.der"), "-in", &input, "-out", &output];
        assert!(run(&[&["pkeyutl", "-encrypt", "-keyform", "DER"], &files[..], &pkeyopt(options)].concat()));
        std::fs::read(output).unwrap()
    }

    pub(crate) fn verifies(&self, options: &[&str], digest: &[u8], signature: &[u8]) -> bool {
        let (input, signature) = (self.write("in", digest), self.write("signature", signature));
        let files = ["-pubin", "-inkey", &self.path("public.der"), "-in", &input, "-sigfile", &signature];
        run(&[&["pkeyutl", "-verify", "-keyform", "DER"], &files[..], &pkeyopt(options)].concat())
    }

    fn private_operation(&self, operation: &str, options: &[&str], input: &[u8]) -> Vec<u8> {
        let (input, output) = (self.write("in", input), self.path("out"));
        let files = ["-inkey", &self.path("private.der"), "-in", &input, "-out", &output];
        assert!(run(&[&["pkeyutl", operation, "-keyform", "DER"], &files[..], &pkeyopt(options)].concat()));
        std::fs::read(output).unwrap()
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        std::fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

/// The hash of a message.
pub(crate) fn digest(hash: &str, message: &[u8]) -> Vec<u8> {
    let folder = TempDir::new().unwrap();
    let file: PathBuf = folder.path().join("message");
    std::fs::write(&file, message).unwrap();
    let output = Command::new("openssl").args(["dgst", "-binary", &format!("-{hash}")]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn pkeyopt<'a>(options: &[&'a str]) -> Vec<&'a str> {
    options.iter().flat_map(|option| ["-pkeyopt", *option]).collect()
}

fn run(arguments: &[&str]) -> bool {
    Command::new("openssl").args(arguments).output().unwrap().status.success()
}
