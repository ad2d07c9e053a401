//! The files of `--env-file`, with values in the place of the addresses in them.

use std::path::PathBuf;

use coffer_api::{
    Sensitive,
    reference::{self, Part, Reference, Target},
};

use zeroize::Zeroizing;

use super::{
    Arguments,
    values::{Kind, Value},
};
use crate::{
    cmd::inject::Values,
    dotenv::{Document, Entry, Interpolation},
    failure::{Exit, Failure},
    input,
    session::Session,
};

/// A file and its variables.
pub(super) struct EnvFile {
    name: String,
    variables: Vec<Variable>,
}

struct Variable {
    name: String,
    value: Sensitive<String>,
    line: usize,
}

/// Reads the files, all of them before anything is asked of a server.
///
/// # Errors
/// Where one cannot be read or understood.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<EnvFile>, Failure> {
    paths
        .iter()
        .map(|path| {
            let name = path.display().to_string();
            let text = input::text_file(path, MOST)?;
            let document = Document::parse(&text, Interpolation::Literal).map_err(|faults| {
                let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
                Failure::local(format!("{name}: {}", faults.join("; ")))
            })?;
            let variable = |(line, entry): (usize, &Entry)| Variable {
                name: entry.name.to_string(),
                value: entry.value.clone(),
                line,
            };
            let variables = document.entries().map(variable).collect();
            Ok(EnvFile { name, variables })
        })
        .collect()
}

/// The variables of all files in their order, with values in the place of addresses.
///
/// # Errors
/// Where the server refuses one.
pub(super) async fn filled(
    session: &Session,
    arguments: &Arguments,
    files: Vec<EnvFile>,
) -> Result<Vec<(String, Value)>, Failure> {
    let has_address = |variable: &Variable| {
        let is_address = |part: Part<'_>| matches!(part, Part::Reference(Reference { target: Target::Address(_), .. }));
        reference::parts(variable.value.expose()).any(is_address)
    };
    let client = match files.iter().flat_map(|file| &file.variables).any(has_address) {
        true => Some(session.client()?),
        false => None,
    };
    let mut values = client.as_ref().map(|client| Values::new(client, arguments.raw));
    let mut filled = Vec::new();
    for file in files {
        for variable in file.variables {
            let value = match values.as_mut().filter(|_| has_address(&variable)) {
                Some(values) => {
                    let (mut whole, mut parts) = (Zeroizing::new(String::new()), Vec::new());
                    fill(values, variable.value.expose(), &mut whole, &mut parts).await.map_err(|failure| {
                        failure.at(&format!("{}, line {}, {}", file.name, variable.line, variable.name))
                    })?;
                    let kind = if parts.is_empty() { Kind::Plain } else { Kind::Secret };
                    Value { text: Sensitive::new(std::mem::take(&mut *whole)), kind, parts }
                }
                None => Value { text: variable.value, kind: Kind::Plain, parts: Vec::new() },
            };
            filled.push((variable.name, value));
        }
    }
    Ok(filled)
}

/// Only addresses mean something in a file: `${NAME}` would be a variable of who knows what. A default stands, as on the
/// server, for a secret that is not there or is empty.
async fn fill(
    values: &mut Values<'_>,
    text: &str,
    whole: &mut Zeroizing<String>,
    parts: &mut Vec<Sensitive<String>>,
) -> Result<(), Failure> {
    for part in reference::parts(text) {
        let Part::Reference(Reference { target, default, written }) = part else {
            if let Part::Text(text) = part {
                whole.push_str(text);
            }
            continue;
        };
        let address = match &target {
            Target::Address(address) => address,
            Target::Elsewhere(..) | Target::Here(_) => {
                whole.push_str(written);
                continue;
            }
        };
        let failure = match values.value(address).await {
            Ok(value) if !value.expose().is_empty() => {
                whole.push_str(value.expose());
                parts.push(value.clone());
                continue;
            }
            Ok(_) => None,
            Err(failure) => Some(failure),
        };
        match (default, failure) {
            (Some(default), None) => Box::pin(fill(values, default, whole, parts)).await?,
            (Some(default), Some(failure)) if failure.exit() == Exit::NotFound => {
                Box::pin(fill(values, default, whole, parts)).await?;
            }
            (_, Some(failure)) => return Err(failure),
            (None, None) => {}
        }
    }
    Ok(())
}

/// Bytes of a file at most.
const MOST: usize = 32 << 20;
