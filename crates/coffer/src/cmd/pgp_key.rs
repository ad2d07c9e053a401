//! OpenPGP public keys in files, binary or armoured, as they are sent: base64 of the binary form.

use std::{fs::File, io::Read, path::Path};

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::failure::Failure;

/// Reads a file. Whether it is a key that something may be encrypted to, the server says.
///
/// # Errors
/// Where it cannot be read or is too large, and where its armour is none of a public key.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    let cannot = |error: &_| Failure::io(format!("cannot read {}", path.display()), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| cannot(&error))?;
    file.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|error| cannot(&error))?;
    if bytes.is_empty() || u64::try_from(bytes.len()).is_ok_and(|len| len > LIMIT) {
        return Err(Failure::local(format!("{} is empty or longer than 64 KiB", path.display()))
            .hint("'gpg --export --export-options export-minimal NAME' leaves out what others signed"));
    }
    match bytes.first().is_some_and(|first| first & 0x80 != 0) {
        true => Ok(STANDARD.encode(bytes)),
        false => unarmoured(&bytes).ok_or_else(|| {
            Failure::local(format!("{} holds no OpenPGP public key", path.display()))
                .hint("'gpg --export NAME > FILE' writes one")
        }),
    }
}

/// The content of the one block (RFC 9580 section 6.2), which is base64 already. Its checksum says nothing that the key's
/// own signatures do not.
fn unarmoured(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (_, rest) = text.split_once(BEGIN)?;
    let (block, after) = rest.split_once(END)?;
    if after.contains(BEGIN) {
        return None;
    }
    let lines = block.trim_start_matches(['\r', ' ', '\t']).strip_prefix('\n')?.lines().map(str::trim);
    // Headers, then an empty line, the content, and the checksum.
    let content = lines.skip_while(|line| !line.is_empty()).take_while(|line| !line.starts_with('='));
    let content: String = content.collect();
    STANDARD.decode(&content).is_ok_and(|key| !key.is_empty()).then_some(content)
}

const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";
/// No server takes more in one request.
const LIMIT: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn armour_comes_off_and_what_is_none_is_refused() {
        let armoured = |inner: &str| unarmoured(format!("text\n{BEGIN}{inner}{END}\n").as_bytes());
        for inner in ["\n\nmDME\nawMQ\n=abcd\n", "\r\nVersion: 1\r\n\r\nmDME\r\nawMQ\r\n", "\nComment: x\n\nmDMEawMQ\n"]
        {
            assert_eq!(armoured(inner).as_deref(), Some("mDMEawMQ"), "{inner}");
        }
        for inner in ["", "\n", "\n\n", "\n\n=abcd\n", "\nmDME\n", "\n\n!!!!\n"] {
            assert_eq!(armoured(inner), None, "{inner}");
        }
        let twice = format!("{BEGIN}\n\nmDME\n{END}\n").repeat(2);
        for text in ["", "mDME", &twice, &twice.replace("PUBLIC", "PRIVATE"), &twice[..60]] {
            assert_eq!(unarmoured(text.as_bytes()), None, "{text}");
        }
    }
}
