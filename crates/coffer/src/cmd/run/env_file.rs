//! The files of `--env-file`, with values in the place of the addresses in them.

use std::path::PathBuf;

use coffer_api::{
    Sensitive,
    reference::{self, Part, Target},
};

use zeroize::Zeroizing;

use super::{
    Arguments,
    values::{Kind, Value},
};
use crate::{
    cmd::inject::Values,
    dotenv::{Document, Entry, Interpolation},
    failure::Failure,
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
    let has_address = |variable: &Variable| variable.value.expose().contains(reference::SCHEME);
    let client = match files.iter().flat_map(|file| &file.variables).any(has_address) {
        true => Some(session.client()?),
        false => None,
    };
    let mut values = client.as_ref().map(|client| Values::new(client, arguments.raw));
    let mut filled = Vec::new();
    for file in files {
        for variable in file.variables {
            let value = match values.as_mut().filter(|_| has_address(&variable)) {
                Some(values) => fill(values, &variable).await.map_err(|failure| {
                    failure.at(&format!("{}, line {}, {}", file.name, variable.line, variable.name))
                })?,
                None => Value { text: variable.value, kind: Kind::Plain },
            };
            filled.push((variable.name, value));
        }
    }
    Ok(filled)
}

/// Only addresses mean something in a file: `${NAME}` would be a variable of who knows what.
async fn fill(values: &mut Values<'_>, variable: &Variable) -> Result<Value, Failure> {
    let mut kind = Kind::Plain;
    let mut whole = Zeroizing::new(String::new());
    for part in reference::parts(variable.value.expose()) {
        match part {
            Part::Reference(reference) => match &reference.target {
                Target::Address(address) => {
                    whole.push_str(values.value(address).await?.expose());
                    kind = Kind::Secret;
                }
                Target::Elsewhere(..) | Target::Here(_) => whole.push_str(reference.written),
            },
            Part::Text(part) => whole.push_str(part),
        }
    }
    Ok(Value { text: Sensitive::new(std::mem::take(&mut *whole)), kind })
}

/// Bytes of a file at most.
const MOST: usize = 32 << 20;
