//! What a command says: values on stdout in the format asked for, everything else on stderr.

mod paint;
mod pairs;
mod printable;
mod progress;
mod table;
mod yaml;

use std::io::{self, IsTerminal, Write};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

pub(crate) use paint::{Paint, Tone};
pub(crate) use pairs::Pairs;
pub(crate) use printable::printable;
pub(crate) use progress::Progress;
pub(crate) use table::Table;

use crate::{cli::Globals, environment::Environment, failure::Failure};

/// How results are written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    /// For .env files, as NAME='value'
    Dotenv,
    /// For a POSIX shell to evaluate, as export NAME='value'
    Env,
    /// The API's own types
    Json,
    /// For people
    Table,
    /// As json, in YAML
    Yaml,
}

impl Format {
    /// As options and variables name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dotenv => "dotenv",
            Self::Env => "env",
            Self::Json => "json",
            Self::Table => "table",
            Self::Yaml => "yaml",
        }
    }
}

/// A format for results that are not names with values.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Structure {
    Json,
    Table,
    Yaml,
}

/// Writes to stdout and stderr.
pub(crate) struct Output {
    format: Format,
    /// Whether the format came with this very command, so that it must not be passed over.
    insisted: Insisted,
    notes: Notes,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Insisted {
    ByFlag,
    ByNobody,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Notes {
    Shown,
    Quiet,
}

impl Output {
    /// From the global options and `COFFER_FORMAT`.
    ///
    /// # Errors
    /// Where the variable names no format.
    pub(crate) fn new(globals: &Globals, environment: &Environment) -> Result<Self, Failure> {
        let notes = if globals.quiet { Notes::Quiet } else { Notes::Shown };
        if let Some(format) = globals.format {
            return Ok(Self { format, insisted: Insisted::ByFlag, notes });
        }
        let format = match environment.text("COFFER_FORMAT")? {
            None => Format::Table,
            Some(text) => Format::from_str(text, false).map_err(|_| {
                Failure::local("COFFER_FORMAT names no format").hint("table, json, yaml, env and dotenv are known")
            })?,
        };
        Ok(Self { format, insisted: Insisted::ByNobody, notes })
    }

    /// The format, for commands that treat some on their own.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Writes a result: as a table for people, else as it serialises.
    ///
    /// # Errors
    /// Where stdout fails, or the format asked for does not fit.
    pub(crate) fn show<T: Serialize>(&self, value: &T, table: impl FnOnce(&T) -> Table) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Table => self.bytes(table(value).render().as_bytes()),
            Structure::Json => self.json(value),
            Structure::Yaml => self.yaml(value),
        }
    }

    /// Writes a result for programs; for people the note says it all.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_or_note<T: Serialize>(&self, value: &T, note: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Table => {
                self.note(note(value));
                Ok(())
            }
            Structure::Json => self.json(value),
            Structure::Yaml => self.yaml(value),
        }
    }

    /// Writes a result for programs; people are told on stderr.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_to_programs<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Table => Ok(()),
            Structure::Json => self.json(value),
            Structure::Yaml => self.yaml(value),
        }
    }

    /// Refuses a format that was asked for where stdout takes bytes as they are.
    ///
    /// # Errors
    /// Where one was.
    pub(crate) fn refuse_structure(&self) -> Result<(), Failure> {
        match (self.format, self.insisted) {
            (Format::Table, _) | (_, Insisted::ByNobody) => Ok(()),
            (Format::Dotenv | Format::Env | Format::Json | Format::Yaml, Insisted::ByFlag) => {
                Err(Failure::local("the file itself goes to stdout, and not in that format")
                    .hint("name a file with --out; what was done with it then comes in that format"))
            }
        }
    }

    /// Writes a result whose essence is one text (a token, a policy): the text alone for people and pipes,
    /// made safe where a terminal shows it.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_text<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> &str) -> Result<(), Failure> {
        self.show_as(value, text(value))
    }

    /// As [`Self::show_text`], with the text itself.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_as<T: Serialize>(&self, value: &T, text: &str) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Table => {
                if io::stdout().is_terminal() {
                    // Tabs move nothing but the cursor, and policies are indented with them.
                    let shown = |line: &str| line.split('\t').map(printable).collect::<Vec<_>>().join("\t");
                    let lines: String = text.lines().flat_map(|line| [shown(line), "\n".to_owned()]).collect();
                    return self.bytes(lines.as_bytes());
                }
                self.bytes(text.as_bytes())?;
                if text.ends_with('\n') { Ok(()) } else { self.bytes(b"\n") }
            }
            Structure::Json => self.json(value),
            Structure::Yaml => self.yaml(value),
        }
    }

    /// Writes a result that is a text of several lines for people.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_lines<T: Serialize>(&self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Table => {
                let text = text(value);
                let lines: String = text.lines().flat_map(|line| [printable(line), "\n".to_owned()]).collect();
                self.bytes(lines.as_bytes())
            }
            Structure::Json => self.json(value),
            Structure::Yaml => self.yaml(value),
        }
    }

    /// Writes lines to stdout for people; a program that reads a structure there gets none.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn lines_to_person(&self, text: &str) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Table => {
                let lines: String = text.lines().flat_map(|line| [printable(line), "\n".to_owned()]).collect();
                self.bytes(lines.as_bytes())
            }
            Structure::Json | Structure::Yaml => Ok(()),
        }
    }

    /// Writes a result whose lines begin with a word that is painted for people.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_marked<T: Serialize>(
        &self,
        value: &T,
        lines: impl FnOnce(&T) -> Vec<(Option<Tone>, String, String)>,
    ) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Table => {
                let paint = Paint::on(&io::stdout());
                let line = |(tone, mark, text): (Option<Tone>, String, String)| {
                    let mark = tone.map_or_else(|| mark.clone(), |tone| paint.text(tone, &mark));
                    format!("{mark}{}\n", printable(&text))
                };
                self.bytes(lines(value).into_iter().map(line).collect::<String>().as_bytes())
            }
            Structure::Json => self.json(value),
            Structure::Yaml => self.yaml(value),
        }
    }

    /// Writes one result of a stream, each on a line of its own, in whatever structure was asked for.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_line<T: Serialize>(&self, value: &T, line: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        let mut bytes = match self.structure()? {
            Structure::Table => printable(&line(value)).into_bytes(),
            Structure::Json => serde_json::to_vec(value).map_err(unserialisable)?,
            Structure::Yaml => {
                let mut text = b"---\n".to_vec();
                text.extend_from_slice(yaml_text(value)?.trim_end().as_bytes());
                text
            }
        };
        bytes.push(b'\n');
        self.bytes(&bytes)
    }

    /// Writes what stands over the lines of a stream, for people alone.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_header(&self, header: String) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Table => self.bytes(format!("{header}\n").as_bytes()),
            Structure::Json | Structure::Yaml => Ok(()),
        }
    }

    /// Writes a document that has no form for people: JSON, or YAML where that was asked for.
    ///
    /// # Errors
    /// As [`Self::show`].
    pub(crate) fn show_json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        match self.structure()? {
            Structure::Json | Structure::Table => self.json(value),
            Structure::Yaml => self.yaml(value),
        }
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// Where stdout fails.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| Failure::stdout(&error))
    }

    /// Whether notes are shown, for those that cost a request.
    pub(crate) fn has_notes(&self) -> bool {
        self.notes == Notes::Shown
    }

    /// Says something on stderr unless quiet. Where stderr is gone, nobody reads it.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        match self.notes {
            Notes::Shown => {
                let _ = writeln!(io::stderr().lock(), "{}", printable(text.as_ref()));
            }
            Notes::Quiet => {}
        }
    }

    /// As [`Self::note`], only where a person reads it.
    pub(crate) fn note_to_person(&self, text: impl AsRef<str>) {
        if io::stderr().is_terminal() {
            self.note(text);
        }
    }

    fn json<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        let mut bytes = serde_json::to_vec_pretty(value).map_err(unserialisable)?;
        bytes.push(b'\n');
        self.bytes(&bytes)
    }

    fn yaml<T: Serialize>(&self, value: &T) -> Result<(), Failure> {
        self.bytes(yaml_text(value)?.as_bytes())
    }

    fn structure(&self) -> Result<Structure, Failure> {
        match (self.format, self.insisted) {
            (Format::Table, _) => Ok(Structure::Table),
            (Format::Json, _) => Ok(Structure::Json),
            (Format::Yaml, _) => Ok(Structure::Yaml),
            (Format::Env | Format::Dotenv, Insisted::ByNobody) => Ok(Structure::Table),
            (Format::Env | Format::Dotenv, Insisted::ByFlag) => {
                Err(Failure::local("this command has no names with values to write in that format")
                    .hint("choose table, json or yaml"))
            }
        }
    }
}

/// A value as YAML.
///
/// # Errors
/// Where it does not serialise.
pub(crate) fn yaml_text<T: Serialize>(value: &T) -> Result<String, Failure> {
    Ok(yaml::emit(&serde_json::to_value(value).map_err(unserialisable)?))
}

fn unserialisable(_: serde_json::Error) -> Failure {
    Failure::local("the result cannot be written in that format")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_of_the_environment_that_does_not_fit_is_passed_over_and_a_flag_is_not() {
        let output = |insisted| Output { format: Format::Dotenv, insisted, notes: Notes::Quiet };
        assert_eq!(output(Insisted::ByNobody).structure().unwrap(), Structure::Table);
        assert!(output(Insisted::ByFlag).structure().is_err());
    }
}
