//! `coffer inject`: a template with the values of secrets in it.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;
use coffer_api::{
    Sensitive,
    reference::{Address, SCHEME, next_address},
};
use coffer_client::{Client, Error};
use zeroize::Zeroizing;

use crate::{
    cmd::secrets::get::missing,
    failure::Failure,
    session::Session,
    stream::{FileMode, Readers, Source, Target, file_mode},
};

/// Options of `inject`.
#[derive(Args)]
#[command(after_help = "\
In the template, coffer://PROJECT[/ENVIRONMENT[/SERVICE]]/NAME[?version=N] is replaced by the
secret's value, bare or as {{ coffer://… }}, which says where the address ends. Values are put in
as they are, without quotes or escapes. All else stays as it is, other {{ … }} too.
  echo 'url: {{ coffer://acme/prod/api/DATABASE_URL }}' | coffer inject
  coffer inject -i app.yaml.tpl -o app.yaml --file-mode 0400
The output appears whole or not at all: where one value cannot be had, nothing is written.")]
pub(crate) struct Arguments {
    /// The template; stdin without it
    #[arg(long = "in", short = 'i', value_name = "FILE")]
    template: Option<PathBuf>,
    /// Where the result goes; stdout without it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Who may read that file
    #[arg(long, value_name = "MODE", default_value = "0600", value_parser = file_mode, requires = "out")]
    file_mode: FileMode,
    /// Values as they are stored, with their references
    #[arg(long)]
    raw: bool,
}

/// Fills the template.
///
/// # Errors
/// Where it cannot be read, holds something that is no address, or a value cannot be had: then nothing is written.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    session.output.refuse_structure()?;
    let template = read(Source::open(arguments.template.as_deref())?)?;
    let pieces = pieces(&template)?;
    let client = session.client()?;
    let mut values = Values::new(&client, arguments.raw);
    let mut filled = Zeroizing::new(Vec::with_capacity(template.len() * 2));
    for piece in &pieces {
        match piece {
            Piece::Text(text) => filled.extend_from_slice(text.as_bytes()),
            Piece::Address { address, line } => {
                let value = values.value(address).await.map_err(|failure| failure.at(&format!("line {line}")))?;
                filled.extend_from_slice(value.expose().as_bytes());
            }
        }
        if filled.len() > MOST_FILLED {
            return Err(Failure::local(format!("the result is longer than {MOST_FILLED} bytes")));
        }
    }
    if session.is_planning() {
        return Ok(());
    }
    written(arguments.out.as_deref(), arguments.file_mode, &filled)
}

/// Writes bytes to a file with these permissions, whole or not at all, or to stdout.
///
/// # Errors
/// Where it cannot be written.
pub(super) fn written(out: Option<&Path>, mode: FileMode, bytes: &[u8]) -> Result<(), Failure> {
    let mut target = Target::open(out, Readers::Owner)?.with_mode(mode)?;
    target.write_all(bytes).map_err(|error| target.failed(&error))?;
    target.finish()
}

/// Values by address, each fetched once.
pub(super) struct Values<'a> {
    client: &'a Client,
    raw: bool,
    known: BTreeMap<String, Sensitive<String>>,
}

impl<'a> Values<'a> {
    pub(super) fn new(client: &'a Client, raw: bool) -> Self {
        Self { client, raw, known: BTreeMap::new() }
    }

    /// The value at an address.
    ///
    /// # Errors
    /// Where the server refuses, or there are too many of them.
    pub(super) async fn value(&mut self, address: &Address) -> Result<&Sensitive<String>, Failure> {
        let called = address.to_string();
        if !self.known.contains_key(&called) {
            if self.known.len() >= MOST_ADDRESSES {
                return Err(Failure::local(format!("more than {MOST_ADDRESSES} different addresses")));
            }
            let Address { scope, name, version } = address;
            let got = match self.raw {
                true => self.client.secret_get(scope, name, *version).await,
                false => self.client.secret_get_resolved(scope, name, *version).await,
            };
            let value = match got {
                Err(Error::Planned) => Sensitive::from(""),
                got => got.map_err(|error| missing(error, name, scope, *version).at(&called))?.value.clone(),
            };
            self.known.insert(called.clone(), value);
        }
        Ok(self.known.get(&called).expect("it was put there"))
    }
}

/// A part of a template.
#[derive(Debug, Eq, PartialEq)]
enum Piece<'a> {
    Address { address: Address, line: usize },
    Text(&'a str),
}

fn read(mut source: Source) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let name = source.name().to_owned();
    match (&mut source).take(MOST_TEMPLATE + 1).read_to_string(&mut text) {
        Ok(len) if u64::try_from(len).is_ok_and(|len| len <= MOST_TEMPLATE) => Ok(text),
        Ok(_) => Err(Failure::local(format!("{name} holds more than {MOST_TEMPLATE} bytes"))),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            Err(Failure::local(format!("{name} is not UTF-8")))
        }
        Err(error) => Err(source.failed(&error)),
    }
}

/// Takes a template apart. What begins like an address must be one.
fn pieces(template: &str) -> Result<Vec<Piece<'_>>, Failure> {
    let mut pieces = Vec::new();
    let (mut at, mut line) = (0, 1);
    while let Some(found) = template.get(at..).and_then(|rest| rest.find(SCHEME)) {
        let begins = at + found;
        let before = template.get(at..begins).unwrap_or_default();
        line += before.matches('\n').count();
        let wrong = |what: &str| {
            Err(Failure::local(format!("line {line}: {what}"))
                .hint("as {{ coffer://acme/prod/api/DATABASE_URL }} or coffer://acme/NAME?version=3"))
        };
        let opened = before.trim_end_matches([' ', '\t']);
        let (text, end, address) = match opened.strip_suffix("{{") {
            Some(text) => {
                let inside = template.get(begins..).unwrap_or_default();
                let Some((inside, _)) = inside.split_once("}}").filter(|(inside, _)| !inside.contains('\n')) else {
                    return wrong("'{{' is not closed by '}}'");
                };
                match inside.trim_end().parse::<Address>() {
                    Ok(address) => (text, begins + inside.len() + 2, address),
                    Err(error) => return wrong(&error.to_string()),
                }
            }
            None => match next_address(template, begins) {
                Some((starts, end, address)) if starts == begins => (before, end, address),
                Some(_) | None => return wrong("what begins with coffer:// is no address"),
            },
        };
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
        }
        pieces.push(Piece::Address { address, line });
        at = end;
    }
    match template.get(at..) {
        Some("") | None => {}
        Some(rest) => pieces.push(Piece::Text(rest)),
    }
    Ok(pieces)
}

/// Bytes of a template at most.
const MOST_TEMPLATE: u64 = 16 << 20;

/// Bytes of the result at most.
const MOST_FILLED: usize = 64 << 20;

/// Different addresses in one template at most: each is a request.
const MOST_ADDRESSES: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Addresses in angle brackets with their lines.
    fn shown(template: &str) -> String {
        let shown = |piece: &Piece<'_>| match piece {
            Piece::Text(text) => (*text).to_owned(),
            Piece::Address { address, line } => format!("<{line} {}>", address.to_string().trim_start_matches(SCHEME)),
        };
        pieces(template).unwrap().iter().map(shown).collect()
    }

    #[test]
    fn addresses_are_found_bare_and_enclosed() {
        for (template, expected) in [
            ("", ""),
            ("no address {{ x }} $ { } }}", "no address {{ x }} $ { } }}"),
            ("a: coffer://a/B\nb: 'coffer://a/b/C'", "a: <1 a/B>\nb: '<2 a/b/C>'"),
            ("{{ coffer://a/B }}", "<1 a/B>"),
            ("{{coffer://a/B}}{{\tcoffer://a/B?version=2\t}}.x", "<1 a/B><1 a/B?version=2>.x"),
            ("\n\n{ {{ coffer://a/B }} }", "\n\n{ <3 a/B> }"),
            ("{{ coffer://a/B }}.internal", "<1 a/B>.internal"),
        ] {
            assert_eq!(shown(template), expected);
        }
    }

    #[test]
    fn what_begins_like_an_address_and_is_none_is_refused_with_its_line() {
        for bad in
            ["\ncoffer://", "\n{{ coffer://a/B", "\n{{ coffer://a/B\n}}", "\n{{ coffer://a/B c }}", "\ncoffer://A/B"]
        {
            assert!(pieces(bad).unwrap_err().what().starts_with("line 2: "), "{bad}");
        }
    }
}
