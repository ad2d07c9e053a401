//! Configuration files: which language each is in, and how several become one.

use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

use super::{ConfigError, File, vault::VaultFile};

/// What a file is written in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Language {
    /// Ours.
    Toml,
    /// Vault's: HCL 1 or JSON.
    Vault,
}

/// Reads the files in order. A directory stands for its `.hcl` and `.json` files, by name.
pub(super) fn read(paths: &[PathBuf]) -> Result<File, ConfigError> {
    let mut merged: Option<VaultFile> = None;
    let mut last = None;
    for path in expand(paths)? {
        match (language(&path), paths) {
            (Language::Toml, [_]) => return read_toml(&path),
            (Language::Toml, _) => {
                let message = "a TOML file stands alone; several files are .hcl or .json".to_owned();
                return Err(ConfigError::Parse { path, line: 1, message });
            }
            (Language::Vault, _) => {
                let read = read_vault(&path)?;
                match &mut merged {
                    Some(merged) => merged.merge(read),
                    None => merged = Some(read),
                }
                last = Some(path);
            }
        }
    }
    match (merged, last) {
        (Some(merged), Some(path)) => {
            merged.into_file().map_err(|message| ConfigError::Parse { path, line: 1, message })
        }
        (_, None) | (None, _) => Ok(File::default()),
    }
}

fn expand(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ConfigError> {
    let mut files = Vec::new();
    for path in paths {
        let failed = |source| ConfigError::Read { path: path.clone(), source };
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let mut found = Vec::new();
        for entry in fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?.path();
            if language(&entry) == Language::Vault && entry.is_file() {
                found.push(entry);
            }
        }
        if found.is_empty() {
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "no .hcl or .json file in this directory")));
        }
        found.sort();
        files.append(&mut found);
    }
    Ok(files)
}

fn language(path: &Path) -> Language {
    match path.extension().and_then(OsStr::to_str) {
        Some("hcl" | "json") => Language::Vault,
        Some(_) | None => Language::Toml,
    }
}

fn read_vault(path: &Path) -> Result<VaultFile, ConfigError> {
    VaultFile::parse(&read_text(path)?).map_err(|fault| ConfigError::Parse {
        path: path.to_owned(),
        line: usize::try_from(fault.line).unwrap_or(usize::MAX),
        message: fault.message,
    })
}

fn read_toml(path: &Path) -> Result<File, ConfigError> {
    let text = read_text(path)?;
    toml::from_str(&text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = 1 + before.bytes().filter(|b| *b == b'\n').count();
        ConfigError::Parse { path: path.to_owned(), line, message: error.message().to_owned() }
    })
}

fn read_text(path: &Path) -> Result<String, ConfigError> {
    use io::Read as _;
    let failed = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let opened = fs::File::open(path).map_err(failed)?;
    opened.take(MAX_FILE + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > MAX_FILE) {
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    Ok(text)
}

const MAX_FILE: u64 = 1 << 20;
