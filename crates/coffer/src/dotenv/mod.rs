//! `.env` files, read and written so that order, comments and quotes come back as they were.
//!
//! ```text
//! # a comment                      export NAME=value    NAME = value # a comment behind white space
//! NAME='as it is, over several lines too'    NAME=`the same`    NAME="with \n \r \t \\ \" \' \` \$"
//! ```
//! `$NAME` and `${NAME}` stay as they are unless asked for ([`Interpolation`]). A name stands once. Whoever speaks of what is
//! wrong names the line and never quotes it. Knows nothing of the rest of this program, so that a fuzzer can include it.

pub(crate) mod fuzz;
mod interpolate;
mod layout;
mod parse;
mod quote;

use std::fmt;

use coffer_api::{Name, Sensitive};
use zeroize::Zeroizing;

use self::quote::Style;
#[allow(unused_imports, reason = "the fuzzer includes this module and needs less of it")]
pub(crate) use self::{layout::References, parse::Interpolation, quote::automatic};

/// A file, line by line.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    lines: Vec<Line>,
}

/// One line, or several where a value goes over them.
#[derive(Clone, Debug)]
struct Line {
    /// Of the first of them, from 1.
    number: usize,
    content: Content,
    ending: Ending,
}

#[derive(Clone, Debug)]
enum Content {
    /// White space.
    Blank(String),
    /// From its indentation on.
    Comment(Sensitive<String>),
    Entry(Entry),
}

/// A name with its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) name: Name,
    pub(crate) value: Sensitive<String>,
    style: Style,
    /// Indentation and `export`.
    before: String,
    /// `=` and the white space around it.
    between: String,
    /// White space and a comment.
    after: Sensitive<String>,
}

/// How a line ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Ending {
    CarriageReturn,
    LineFeed,
    None,
}

/// What is wrong with a line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Fault {
    /// From 1.
    pub(crate) line: usize,
    /// Never quotes the line.
    pub(crate) what: String,
}

impl Document {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it, line by line, at most [`parse::MOST_FAULTS`]. A quote that is not closed is the last.
    pub(crate) fn parse(text: &str, interpolation: Interpolation) -> Result<Self, Vec<Fault>> {
        parse::document(text, interpolation)
    }

    /// Names and values with the numbers of their lines, in order.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (usize, &Entry)> {
        self.lines.iter().filter_map(|line| match &line.content {
            Content::Entry(entry) => Some((line.number, entry)),
            Content::Blank(_) | Content::Comment(_) => None,
        })
    }

    /// The file as text. Each value keeps its quotes where they can hold it.
    pub(crate) fn render(&self) -> Zeroizing<String> {
        let mut out = Zeroizing::new(String::new());
        let breaks = self.breaks();
        for line in &self.lines {
            match &line.content {
                Content::Blank(text) => out.push_str(text),
                Content::Comment(text) => out.push_str(text.expose()),
                Content::Entry(entry) => entry.render(entry.style, entry.value.expose(), breaks, &mut out),
            }
            out.push_str(line.ending.text());
        }
        out
    }

    /// How lines end here.
    fn breaks(&self) -> Ending {
        self.lines.first().map_or(Ending::LineFeed, |line| match line.ending {
            Ending::None => Ending::LineFeed,
            ending => ending,
        })
    }
}

impl Entry {
    fn render(&self, style: Style, value: &str, breaks: Ending, out: &mut String) {
        out.push_str(&self.before);
        out.push_str(self.name.as_str());
        out.push_str(&self.between);
        let starts_after_space = self.between.ends_with([' ', '\t']);
        quote::write(style, value, starts_after_space, breaks.text(), out);
        out.push_str(self.after.expose());
    }
}

impl Ending {
    fn text(self) -> &'static str {
        match self {
            Self::CarriageReturn => "\r\n",
            Self::LineFeed => "\n",
            Self::None => "",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}
