//! `storage`, which may be called `backend` too.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use coffer_api::Sensitive;
use coffer_core::policy::hcl::{Item, Key};

use super::value::{Fault, fault, hint, nothing_set, text};

/// Where entries are stored. What is not said is left to the defaults.
#[derive(Debug, Default)]
pub(super) struct Storage {
    /// As in our own file.
    pub(super) url: Option<Sensitive<String>>,
    /// The data directory that comes with it.
    pub(super) data: Option<PathBuf>,
}

impl Storage {
    pub(super) fn read(kind: &Key, body: &[Item], warnings: &mut Vec<String>) -> Result<Self, Fault> {
        let line = kind.position.line;
        let wanted = match kind.name.as_str() {
            "inmem" => None,
            "file" | "sqlite" => Some("path"),
            "postgresql" => Some("connection_url"),
            _ => {
                return Err(fault(
                    line,
                    "storage is one of inmem, sqlite, postgresql and file, which keeps SQLite in that folder",
                ));
            }
        };
        let mut seen = BTreeSet::new();
        let mut found = None;
        for item in body {
            let name = item.key.name.as_str();
            if !seen.insert(name) {
                return Err(fault(item.key.position.line, format!("storage: {name} is given twice")));
            }
            if wanted == Some(name) {
                found = Some(text(&item.value, name)?).filter(|text| !text.is_empty());
            } else if !nothing_set(&item.value) {
                let shown: String = name.chars().take(64).collect();
                let known: &[&str] = &["path", "connection_url"];
                warnings.push(format!(
                    "storage {:?}: {shown:?} is not known to this server{}",
                    kind.name,
                    hint(name, known)
                ));
            }
        }
        let found = match wanted {
            Some(name) => found.ok_or_else(|| fault(line, format!("storage {:?} needs {name}", kind.name)))?,
            None => return Ok(Self { url: Some("memory:".into()), data: None }),
        };
        match kind.name.as_str() {
            "file" => Ok(Self { url: None, data: Some(PathBuf::from(found)) }),
            "sqlite" => match Path::new(found).parent().filter(|parent| !parent.as_os_str().is_empty()) {
                Some(parent) => {
                    Ok(Self { url: Some(Sensitive::new(format!("sqlite:{found}"))), data: Some(parent.to_owned()) })
                }
                None => Err(fault(
                    line,
                    "storage \"sqlite\": path is a file in a directory of its own, as /var/lib/coffer/store.db",
                )),
            },
            _ if found.starts_with("postgres://") || found.starts_with("postgresql://") => {
                Ok(Self { url: Some(found.into()), data: None })
            }
            _ => Err(fault(line, "storage \"postgresql\": connection_url begins with postgres://")),
        }
    }
}
