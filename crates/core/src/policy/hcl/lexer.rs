//! Text to tokens, for HCL proper; also the cursor that the JSON variant reads with.

use super::text::{self, Heredoc};
use super::{Position, SyntaxError, quoted};

/// Walks over a text and knows the place it stands at.
#[derive(Clone, Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    offset: usize,
    position: Position,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Cursor<'a> {
        Cursor { text, offset: 0, position: Position::START }
    }

    pub(super) fn position(&self) -> Position {
        self.position
    }

    /// How many bytes have been read.
    pub(super) fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let read = self.peek()?;
        self.offset += read.len_utf8();
        if read == '\n' {
            self.position.line = self.position.line.saturating_add(1);
            self.position.column = 1;
        } else {
            self.position.column = self.position.column.saturating_add(1);
        }
        Some(read)
    }

    pub(super) fn next_if(&mut self, wanted: impl FnOnce(char) -> bool) -> Option<char> {
        if wanted(self.peek()?) { self.next() } else { None }
    }

    /// Reads while `wanted` holds and returns what was read.
    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let start = self.offset;
        while self.next_if(&wanted).is_some() {}
        self.since(start)
    }

    /// What was read since the offset was `start`.
    pub(super) fn since(&self, start: usize) -> &'a str {
        self.between(start, self.offset)
    }

    /// What lies between two offsets at which the cursor has stood.
    pub(super) fn between(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    pub(super) fn error(&self, message: impl Into<String>) -> SyntaxError {
        SyntaxError::new(self.position, message)
    }
}

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Assign,
    Bool(bool),
    CloseBrace,
    CloseBracket,
    Comma,
    End,
    Float(f64),
    Identifier(String),
    Integer(i64),
    OpenBrace,
    OpenBracket,
    String(String),
    /// A heredoc: a string that cannot be a key.
    Text(String),
}

impl Token {
    /// The token in words, for messages.
    pub(super) fn describe(&self) -> String {
        match self {
            Token::Assign => "'='".to_owned(),
            Token::Bool(value) => format!("'{value}'"),
            Token::CloseBrace => "'}'".to_owned(),
            Token::CloseBracket => "']'".to_owned(),
            Token::Comma => "','".to_owned(),
            Token::End => "the end of the text".to_owned(),
            Token::Float(_) | Token::Integer(_) => "a number".to_owned(),
            Token::Identifier(name) => quoted(name),
            Token::OpenBrace => "'{'".to_owned(),
            Token::OpenBracket => "'['".to_owned(),
            Token::String(_) => "a string".to_owned(),
            Token::Text(_) => "a heredoc".to_owned(),
        }
    }
}

/// Reads the next token and where it starts; comments and white space in front of it are skipped.
pub(super) fn next_token(cursor: &mut Cursor<'_>) -> Result<(Token, Position), SyntaxError> {
    skip_blank(cursor)?;
    let position = cursor.position();
    let Some(first) = cursor.peek() else { return Ok((Token::End, position)) };
    let token = match first {
        '"' => Token::String(quoted_string(cursor)?),
        '<' => Token::Text(heredoc(cursor)?),
        '0'..='9' | '-' | '.' => number(cursor)?,
        '=' | '{' | '}' | '[' | ']' | ',' => {
            cursor.next();
            match first {
                '=' => Token::Assign,
                '{' => Token::OpenBrace,
                '}' => Token::CloseBrace,
                '[' => Token::OpenBracket,
                ']' => Token::CloseBracket,
                _comma => Token::Comma,
            }
        }
        letter if is_letter(letter) => match identifier(cursor) {
            "true" => Token::Bool(true),
            "false" => Token::Bool(false),
            name => Token::Identifier(name.to_owned()),
        },
        other => return Err(cursor.error(format!("unexpected character {other:?}"))),
    };
    Ok((token, position))
}

fn skip_blank(cursor: &mut Cursor<'_>) -> Result<(), SyntaxError> {
    loop {
        cursor.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
        let rest = cursor.rest();
        if rest.starts_with('#') || rest.starts_with("//") {
            cursor.take_while(|c| c != '\n');
        } else if rest.starts_with("/*") {
            let start = cursor.clone();
            cursor.next();
            cursor.next();
            loop {
                match cursor.next() {
                    Some('*') if cursor.next_if(|c| c == '/').is_some() => break,
                    Some(_) => {}
                    None => return Err(start.error("this comment is not closed")),
                }
            }
        } else {
            return Ok(());
        }
    }
}

fn identifier<'a>(cursor: &mut Cursor<'a>) -> &'a str {
    cursor.take_while(|c| is_letter(c) || c.is_numeric() || matches!(c, '-' | '.'))
}

fn is_letter(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}

/// Reads a string in quotes. Inside `${…}` quotes and line ends are part of the string, as in every HCL 1 reader.
fn quoted_string(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    let start = cursor.clone();
    cursor.next();
    let body = cursor.offset();
    let mut braces: usize = 0;
    loop {
        let end = cursor.offset();
        match cursor.next() {
            None => return Err(start.error("this string is not closed")),
            Some('\n') if braces == 0 => return Err(start.error("this string is not closed on its line")),
            Some('"') if braces == 0 => {
                return text::unquote(cursor.between(body, end)).map_err(|message| start.error(message));
            }
            Some('$') if braces == 0 && cursor.next_if(|c| c == '{').is_some() => braces = 1,
            Some('{') if braces > 0 => braces += 1,
            Some('}') if braces > 0 => braces -= 1,
            Some('\\') => {
                if cursor.next().is_none() {
                    return Err(start.error("this string is not closed"));
                }
            }
            Some(_) => {}
        }
    }
}

/// Reads a heredoc: `<<NAME` or `<<-NAME`, lines, and a line that holds the name alone.
fn heredoc(cursor: &mut Cursor<'_>) -> Result<String, SyntaxError> {
    let start = cursor.clone();
    cursor.next();
    if cursor.next_if(|c| c == '<').is_none() {
        return Err(cursor.error("a heredoc begins with '<<'"));
    }
    let kind = if cursor.next_if(|c| c == '-').is_some() { Heredoc::Indented } else { Heredoc::Plain };
    let name = cursor.take_while(|c| is_letter(c) || c.is_numeric());
    if name.is_empty() {
        return Err(cursor.error("a heredoc needs a name after '<<'"));
    }
    cursor.next_if(|c| c == '\r');
    if cursor.next_if(|c| c == '\n').is_none() {
        return Err(cursor.error("nothing may follow the name of a heredoc on its line"));
    }
    let body = cursor.offset();
    loop {
        let end = cursor.offset();
        let line = cursor.take_while(|c| c != '\n');
        if cursor.next().is_none() {
            return Err(start.error(format!("this heredoc is not closed by a line {name}")));
        }
        let bare = line.trim_end_matches('\r').trim_start_matches([' ', '\t', '\r', '\u{b}', '\u{c}']);
        if bare == name {
            let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
            return Ok(text::heredoc(cursor.between(body, end), kind, line.get(..indent).unwrap_or_default()));
        }
    }
}

/// Reads a number: decimal, `0x` hexadecimal, `0` octal, or with a fraction or an exponent.
fn number(cursor: &mut Cursor<'_>) -> Result<Token, SyntaxError> {
    let start = cursor.clone();
    let negative = cursor.next_if(|c| c == '-').is_some();
    if negative && !cursor.peek().is_some_and(|c| c.is_ascii_digit()) {
        return Err(start.error("'-' must be followed by a number"));
    }
    let rest = cursor.rest();
    if rest.starts_with("0x") || rest.starts_with("0X") {
        cursor.next();
        cursor.next();
        let digits = cursor.take_while(|c| c.is_ascii_hexdigit());
        return integer(&start, negative, digits, 16);
    }
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    let mut float = false;
    if cursor.next_if(|c| c == '.').is_some() {
        float = true;
        cursor.take_while(|c| c.is_ascii_digit());
    }
    if cursor.next_if(|c| matches!(c, 'e' | 'E')).is_some() {
        float = true;
        cursor.next_if(|c| matches!(c, '+' | '-'));
        cursor.take_while(|c| c.is_ascii_digit());
    }
    if float {
        let text = cursor.since(start.offset());
        return text::float(text).map(Token::Float).ok_or_else(|| start.error("this is not a number"));
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => integer(&start, negative, octal, 8),
        Some(_) | None => integer(&start, negative, digits, 10),
    }
}

fn integer(start: &Cursor<'_>, negative: bool, digits: &str, radix: u32) -> Result<Token, SyntaxError> {
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    i64::from_str_radix(&signed, radix)
        .map(Token::Integer)
        .map_err(|_| start.error("this is not a whole number of at most 64 bits"))
}
