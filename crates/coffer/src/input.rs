//! Secrets on their way in: from stdin, a file or a hidden prompt, and never from the command line unless the user insists.

use std::{
    fs::File,
    io::{self, IsTerminal, Read},
    path::Path,
};

use coffer_api::Sensitive;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::Failure;

/// A password or token: asked for where stdin is a terminal, else the first line of stdin.
///
/// # Errors
/// Where nothing or too much comes, or it is not UTF-8.
pub(crate) fn password(prompt: &str) -> Result<Sensitive<String>, Failure> {
    if io::stdin().is_terminal() {
        return ask(prompt);
    }
    let bytes = bounded(io::stdin().lock(), PASSWORD_LIMIT, "stdin")?;
    let line = bytes.split(|b| *b == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| Failure::local("what stdin holds is not UTF-8"))?;
    if text.is_empty() {
        return Err(Failure::local("stdin holds nothing").hint("pipe it in, or run this on a terminal"));
    }
    Ok(Sensitive::from(text))
}

/// So many shares: asked for one by one where stdin is a terminal, else its lines, all of them.
///
/// # Errors
/// As [`password`].
pub(crate) fn passwords(prompt: &str, count: u8) -> Result<Vec<Sensitive<String>>, Failure> {
    if io::stdin().is_terminal() {
        return (1..=count).map(|number| ask(&format!("{prompt} {number} of {count}"))).collect();
    }
    let bytes = bounded(io::stdin().lock(), PASSWORD_LIMIT, "stdin")?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Failure::local("what stdin holds is not UTF-8"))?;
    Ok(text.lines().map(str::trim).filter(|line| !line.is_empty()).map(Sensitive::from).collect())
}

/// Asks on the terminal without echo.
///
/// # Errors
/// Where there is no terminal, or nothing was typed.
pub(crate) fn ask(prompt: &str) -> Result<Sensitive<String>, Failure> {
    let _silence = Silence::begin();
    let text = rpassword::prompt_password(format!("{prompt}: "))
        .map_err(|error| Failure::io("cannot ask on the terminal", &error))?;
    if text.is_empty() {
        return Err(Failure::local("nothing was typed"));
    }
    Ok(Sensitive::new(text))
}

/// No echo before the question is there: the prompt's own library turns it off only after, too late for who types at once.
struct Silence(Option<(File, Termios)>);

impl Silence {
    /// Where there is no terminal, there is nothing to silence.
    fn begin() -> Self {
        let Ok(terminal) = File::options().read(true).write(true).open("/dev/tty") else { return Self(None) };
        let Ok(usual) = tcgetattr(&terminal) else { return Self(None) };
        let mut silent = usual.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        match tcsetattr(&terminal, OptionalActions::Now, &silent) {
            Ok(()) => Self(Some((terminal, usual))),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Self(Some((terminal, usual))) = self {
            // A terminal that is gone needs no echo.
            let _ = tcsetattr(terminal, OptionalActions::Now, usual);
        }
    }
}

/// Asks a question that only a person can answer; without a terminal the command itself is the answer.
///
/// # Errors
/// Where the answer is not `yes`.
pub(crate) fn confirm(question: &str) -> Result<(), Failure> {
    if !io::stdin().is_terminal() {
        return Ok(());
    }
    let _ = io::Write::write_all(&mut io::stderr().lock(), format!("{question} type 'yes' to go on: ").as_bytes());
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(|error| Failure::io("cannot read the answer", &error))?;
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::local("not confirmed")) }
}

/// A value: asked for where stdin is a terminal, else all of stdin, byte for byte.
///
/// # Errors
/// As [`stdin_value`], and where nothing comes.
pub(crate) fn asked_value(prompt: &str) -> Result<Sensitive<String>, Failure> {
    if io::stdin().is_terminal() {
        return ask(prompt);
    }
    let value = stdin_value()?;
    match value.expose().is_empty() {
        false => Ok(value),
        true => Err(Failure::local("stdin holds nothing").hint("pipe it in, or run this on a terminal")),
    }
}

/// All of stdin, byte for byte.
///
/// # Errors
/// Where it exceeds a value's limit or is not UTF-8.
pub(crate) fn stdin_value() -> Result<Sensitive<String>, Failure> {
    value(stdin_bytes()?, "stdin")
}

/// All of stdin, of whatever bytes.
///
/// # Errors
/// Where it exceeds a value's limit.
pub(crate) fn stdin_bytes() -> Result<Zeroizing<Vec<u8>>, Failure> {
    bounded(io::stdin().lock(), VALUE_LIMIT, "stdin")
}

/// All of a file, byte for byte.
///
/// # Errors
/// Where it cannot be read, exceeds a value's limit or is not UTF-8.
pub(crate) fn file_value(path: &Path) -> Result<Sensitive<String>, Failure> {
    value(file_bytes(path)?, &path.display().to_string())
}

/// All of a file, of whatever bytes.
///
/// # Errors
/// Where it cannot be read, or exceeds a value's limit.
pub(crate) fn file_bytes(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let shown = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::io(format!("cannot read {shown}"), &error))?;
    bounded(file, VALUE_LIMIT, &shown)
}

/// All of a text file of this many bytes at most; `-` is stdin.
///
/// # Errors
/// Where it cannot be read, is longer or is not UTF-8.
pub(crate) fn text_file(path: &Path, limit: usize) -> Result<String, Failure> {
    let shown = path.display().to_string();
    let bytes = if path == Path::new("-") {
        bounded(io::stdin().lock(), limit, "stdin")?
    } else {
        let file = File::open(path).map_err(|error| Failure::io(format!("cannot read {shown}"), &error))?;
        bounded(file, limit, &shown)?
    };
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| Failure::local(format!("{shown} is not UTF-8")))
}

fn value(bytes: Zeroizing<Vec<u8>>, source: &str) -> Result<Sensitive<String>, Failure> {
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Sensitive::from(text)),
        Err(_) => Err(Failure::local(format!("{source} is not UTF-8 text, as a value must be"))
            .hint("encode it first, for example with base64")),
    }
}

fn bounded(source: impl Read, limit: usize, name: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    let one_more = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    source
        .take(one_more)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io(format!("cannot read {name}"), &error))?;
    if bytes.len() > limit {
        return Err(Failure::local(format!("{name} holds more than {limit} bytes")));
    }
    Ok(bytes)
}

/// The most a value may hold, as the API says.
pub(crate) const VALUE_LIMIT: usize = 1 << 20;

const PASSWORD_LIMIT: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_value_is_taken_byte_for_byte() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v");
        for content in ["", "a\n", "\r\n \u{feff}x\n\n"] {
            std::fs::write(&path, content).unwrap();
            assert_eq!(file_value(&path).unwrap().expose(), content);
        }
    }

    #[test]
    fn file_value_too_long_missing_or_binary_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("v");
        assert!(file_value(&path).is_err());
        assert!(file_value(directory.path()).is_err());
        std::fs::write(&path, vec![b'a'; VALUE_LIMIT + 1]).unwrap();
        assert!(file_value(&path).is_err());
        std::fs::write(&path, vec![b'a'; VALUE_LIMIT]).unwrap();
        assert!(file_value(&path).is_ok());
        std::fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(file_value(&path).is_err());
    }

    #[test]
    fn endless_file_is_refused_in_bounded_time() {
        assert!(file_value(Path::new("/dev/zero")).is_err());
    }
}
