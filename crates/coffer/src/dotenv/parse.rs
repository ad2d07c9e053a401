//! Reading, line by line. What is wrong with one line does not keep the others from being read.

use std::collections::HashMap;

use coffer_api::{Name, Sensitive};

use super::{
    Content, Document, Ending, Entry, Fault, Line,
    interpolate::{MOST_BYTES, expand},
    quote::{Bare, Dollars, Double, Style},
};

/// Faults that are told at once.
pub(super) const MOST_FAULTS: usize = 10;

/// What becomes of `$NAME` and `${NAME}` in values that are bare or in double quotes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Interpolation {
    /// The value of that name, from the lines above; never the process's own environment.
    Expand,
    /// Nothing.
    Literal,
}

/// Where the reader is.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
    interpolation: Interpolation,
    /// Lines of the names that were read.
    lines: HashMap<Name, usize>,
    /// Their values, for interpolation.
    values: HashMap<String, Sensitive<String>>,
}

/// A value as it was read.
struct Value {
    text: String,
    style: Style,
}

pub(super) fn document(text: &str, interpolation: Interpolation) -> Result<Document, Vec<Fault>> {
    let rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { rest, line: 1, interpolation, lines: HashMap::new(), values: HashMap::new() };
    let (mut lines, mut faults) = (Vec::new(), Vec::new());
    while !reader.rest.is_empty() {
        let number = reader.line;
        match reader.content() {
            Ok(content) => {
                let ending = reader.ending();
                lines.push(Line { number, content, ending });
            }
            Err(fault) => {
                faults.push(fault);
                reader.until_line_end();
                reader.ending();
            }
        }
        if faults.len() >= MOST_FAULTS {
            break;
        }
    }
    if faults.is_empty() { Ok(Document { lines }) } else { Err(faults) }
}

impl<'a> Reader<'a> {
    /// A line but for its ending.
    fn content(&mut self) -> Result<Content, Fault> {
        let indentation = self.spaces();
        if self.at_line_end() {
            return Ok(Content::Blank(indentation.to_owned()));
        }
        if self.rest.starts_with('#') {
            let comment = self.until_line_end();
            return Ok(Content::Comment(Sensitive::new(format!("{indentation}{}", self.checked(comment)?))));
        }
        let before = format!("{indentation}{}", self.export());
        let number = self.line;
        let name = self.name()?;
        let mut between = self.spaces().to_owned();
        if !self.take("=") {
            return Err(self.fault(match self.rest.starts_with(':') {
                true => "write NAME=value, not NAME: value",
                false if self.at_line_end() => "there is no = behind the name",
                false => "behind the name stands something else than =",
            }));
        }
        between.push('=');
        let space = self.spaces();
        let (value, after) = if self.rest.starts_with(['\'', '"', '`']) {
            between.push_str(space);
            let value = self.quoted()?;
            let after = self.behind_quote(number)?;
            (value, after)
        } else {
            let (value, after) = self.bare(space)?;
            // Before a comment alone, white space belongs to it.
            let (mut own, mut after) = (space, after.to_owned());
            if value.text.is_empty() && !after.is_empty() {
                after.insert_str(0, own);
                own = "";
            }
            between.push_str(own);
            (value, after)
        };
        if let Some(first) = self.lines.insert(name.clone(), number) {
            let what = format!("{name} stands in line {first} already");
            return Err(Fault { line: number, what });
        }
        let value_text = Sensitive::new(value.text);
        if self.interpolation == Interpolation::Expand {
            self.values.insert(name.as_str().to_owned(), value_text.clone());
        }
        let after = Sensitive::new(after);
        Ok(Content::Entry(Entry { name, value: value_text, style: value.style, before, between, after }))
    }

    /// `export` and the white space behind it, where it is no name itself.
    fn export(&mut self) -> &'a str {
        let whole = self.rest;
        let Some(rest) = whole.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])) else { return "" };
        let rest = rest.trim_start_matches([' ', '\t']);
        if rest.starts_with('=') {
            return "";
        }
        self.rest = rest;
        whole.get(..whole.len() - rest.len()).unwrap_or_default()
    }

    fn name(&mut self) -> Result<Name, Fault> {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        let name = name.parse().map_err(|_| {
            self.fault("a name is 1 to 128 letters, digits, '_', '.' or '-', and starts with a letter or '_'")
        })?;
        self.rest = rest;
        Ok(name)
    }

    /// A value without quotes, and what stands behind it.
    fn bare(&mut self, space: &str) -> Result<(Value, &'a str), Fault> {
        let line = self.until_line_end();
        let line = self.checked(line)?;
        let mut previous = space.chars().next_back();
        let mut end = line.len();
        for (at, c) in line.char_indices() {
            if c == '#' && previous.is_some_and(|c| c == ' ' || c == '\t') {
                end = at;
                break;
            }
            previous = Some(c);
        }
        let text = line.get(..end).unwrap_or_default().trim_end_matches([' ', '\t']);
        let after = line.get(text.len()..).unwrap_or_default();
        let text = match self.interpolation {
            Interpolation::Literal => text.to_owned(),
            Interpolation::Expand => {
                let (mut plain, mut dollars) = (String::new(), Vec::new());
                let mut chars = text.chars().peekable();
                while let Some(c) = chars.next() {
                    match c {
                        '\\' if chars.next_if_eq(&'$').is_some() => plain.push('$'),
                        c => {
                            dollars.extend((c == '$').then_some(plain.len()));
                            plain.push(c);
                        }
                    }
                }
                self.expanded(&plain, &dollars)?
            }
        };
        let style = Style::Bare(Bare::of(&text));
        let style = match self.interpolation {
            // A `$` that is left is meant as one, whoever reads it.
            Interpolation::Expand if text.contains('$') => style.followed(),
            Interpolation::Expand | Interpolation::Literal => style,
        };
        Ok((Value { text, style }, after))
    }

    fn quoted(&mut self) -> Result<Value, Fault> {
        let opened = self.line;
        let unclosed = |quote: char| Fault { line: opened, what: format!("the quote {quote} is never closed") };
        let quote = self.rest.chars().next().unwrap_or_default();
        self.advance(quote);
        let mut text = String::new();
        let (mut backticks, mut breaks, mut dollars) = (false, false, Vec::new());
        loop {
            let Some(c) = self.rest.chars().next() else { return Err(unclosed(quote)) };
            if self.rest.starts_with("\r\n") {
                // In a file with such line ends a value's own are meant to be plain.
                self.advance('\r');
                continue;
            }
            self.advance(c);
            match c {
                c if c == quote => {
                    // As a shell has it: the quotes closed, a quote, and opened again.
                    if quote == '\'' && self.take("\\''") {
                        text.push('\'');
                        continue;
                    }
                    break;
                }
                '\0' => return Err(self.nul()),
                '\\' if quote == '"' => {
                    let Some(escaped) = self.rest.chars().next() else { return Err(unclosed(quote)) };
                    match unescaped(escaped) {
                        Some(c) => {
                            self.advance(escaped);
                            text.push(c);
                        }
                        None => text.push('\\'),
                    }
                }
                c => {
                    backticks |= c == '`';
                    breaks |= c == '\n';
                    dollars.extend((c == '$').then_some(text.len()));
                    text.push(c);
                }
            }
        }
        let style = match (quote, self.interpolation) {
            ('"', Interpolation::Literal) => {
                let taken = |at: &usize| Dollars::before(text.get(at + 1..).unwrap_or_default());
                let dollars = dollars.iter().map(taken).max().unwrap_or_default();
                Style::Double(Double { backticks, breaks, dollars })
            }
            ('"', Interpolation::Expand) => {
                text = self.expanded(&text, &dollars)?;
                // A `$` that is left is meant as one, whoever reads it.
                Style::Double(Double { backticks, breaks, dollars: Dollars::None })
            }
            ('`', Interpolation::Expand | Interpolation::Literal) => Style::Backtick,
            (_, Interpolation::Expand | Interpolation::Literal) => Style::Single,
        };
        Ok(Value { text, style })
    }

    /// White space and a comment.
    fn behind_quote(&mut self, opened: usize) -> Result<String, Fault> {
        let rest = self.until_line_end();
        let rest = self.checked(rest)?;
        let text = rest.trim_start_matches([' ', '\t']);
        if text.is_empty() || text.starts_with('#') {
            return Ok(rest.to_owned());
        }
        Err(self.fault(&match opened == self.line {
            true => "something stands behind the closing quote".to_owned(),
            false => format!("something stands behind the quote that closes the one of line {opened}"),
        }))
    }

    /// A text with the references that begin at these places replaced.
    fn expanded(&self, text: &str, dollars: &[usize]) -> Result<String, Fault> {
        let look = |name: &str| self.values.get(name).map(|value| value.expose().as_str());
        let mut out = String::new();
        let mut done = 0;
        for dollar in dollars {
            // One inside of a default is a part of it.
            let Some(plain) = text.get(done..*dollar) else { continue };
            out.push_str(plain);
            let behind = text.get(dollar + 1..).unwrap_or_default();
            let rest = expand(behind, look, &mut out).map_err(|what| self.fault(&what))?;
            done = text.len() - rest.len();
            if out.len() > MOST_BYTES {
                return Err(self.fault("what the value refers to makes it larger than 1 MiB"));
            }
        }
        out.push_str(text.get(done..).unwrap_or_default());
        Ok(out)
    }

    fn spaces(&mut self) -> &'a str {
        let whole = self.rest;
        self.rest = whole.trim_start_matches([' ', '\t']);
        whole.get(..whole.len() - self.rest.len()).unwrap_or_default()
    }

    fn at_line_end(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with('\n') || self.rest.starts_with("\r\n")
    }

    /// The rest of the line, without its ending.
    fn until_line_end(&mut self) -> &'a str {
        let whole = self.rest;
        let end = whole.find('\n').unwrap_or(whole.len());
        let line = whole.get(..end).unwrap_or_default();
        let line = if end < whole.len() { line.strip_suffix('\r').unwrap_or(line) } else { line };
        self.rest = whole.get(line.len()..).unwrap_or_default();
        line
    }

    fn ending(&mut self) -> Ending {
        let ending = if self.take("\r\n") {
            Ending::CarriageReturn
        } else if self.take("\n") {
            Ending::LineFeed
        } else {
            return Ending::None;
        };
        self.line += 1;
        ending
    }

    /// Text of one line, without what no line can hold.
    fn checked<'t>(&self, text: &'t str) -> Result<&'t str, Fault> {
        if text.contains('\0') {
            return Err(self.nul());
        }
        match text.contains('\r') {
            true => Err(self.fault("a carriage return stands inside of the line")),
            false => Ok(text),
        }
    }

    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn advance(&mut self, c: char) {
        self.line += usize::from(c == '\n');
        self.rest = self.rest.get(c.len_utf8()..).unwrap_or_default();
    }

    fn nul(&self) -> Fault {
        self.fault("a NUL stands there, which no environment can hold")
    }

    fn fault(&self, what: &str) -> Fault {
        Fault { line: self.line, what: what.to_owned() }
    }
}

/// What an escape in double quotes stands for; any other backslash is one.
fn unescaped(c: char) -> Option<char> {
    match c {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '\\' | '"' | '\'' | '`' | '$' => Some(c),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
