//! HCL 1, the language of Vault policies, and its JSON variant: text to a generic tree with positions.
//!
//! Nothing here knows what a policy is. The grammar is that of HCL 1 (quoted keys in front of a block, several
//! attributes on a line, `${` kept literally), which parsers of HCL 2 refuse. What is ambiguous is an error.

mod json;
mod lexer;
mod native;
#[cfg(test)]
mod tests;
mod text;

use std::fmt;

/// The largest text that is read, in bytes.
pub const MAX_BYTES: usize = 1024 * 1024;

/// How deep lists and objects may lie inside each other.
pub const MAX_DEPTH: usize = 64;

/// A parsed text: the items of its outermost object.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    /// The items in the order of the text, duplicates included.
    pub items: Vec<Item>,
    /// Which of the two syntaxes the text used: they write blocks differently.
    pub syntax: Syntax,
}

/// Which syntax a text used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Syntax {
    /// A JSON object; a block is a member whose value is an object or a list of objects.
    Json,
    /// HCL proper; a block is a key, its labels and an object in braces.
    Native,
}

/// One item of an object: `key = value`, `key { … }` or `key "label" { … }`.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The key; what it may be is the reader's affair.
    pub key: Key,
    /// The further keys in front of a block's brace. Always empty in JSON.
    pub labels: Vec<Key>,
    /// Whether the value was assigned or follows as a block.
    pub form: Form,
    /// The value.
    pub value: Node,
}

/// How an item joins key and value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// `key = value`, or any member in JSON.
    Assigned,
    /// `key { … }`.
    Block,
}

/// A key and where it stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Key {
    /// The key without its quotes.
    pub name: String,
    /// Where it starts.
    pub position: Position,
}

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it starts.
    pub position: Position,
}

/// Any value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A number with a fraction or an exponent; always finite.
    Float(f64),
    /// A whole number; decimal, hexadecimal or octal in HCL.
    Integer(i64),
    /// A list.
    List(Vec<Node>),
    /// JSON's `null`; HCL has none.
    Null,
    /// An object, duplicates included.
    Object(Vec<Item>),
    /// A quoted string or a heredoc.
    String(String),
}

impl Value {
    /// The kind of the value in words, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Bool(_) => "a boolean",
            Value::Float(_) | Value::Integer(_) => "a number",
            Value::List(_) => "a list",
            Value::Null => "null",
            Value::Object(_) => "an object",
            Value::String(_) => "a string",
        }
    }
}

/// A place in the text, counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The start of a text.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Why a text is not HCL.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("at {position}: {message}")]
pub struct SyntaxError {
    /// Where reading stopped.
    pub position: Position,
    /// What was wrong there.
    pub message: String,
}

impl SyntaxError {
    pub(crate) fn new(position: Position, message: impl Into<String>) -> SyntaxError {
        SyntaxError { position, message: message.into() }
    }
}

/// Parses HCL, or JSON if the text begins with `{`.
///
/// # Errors
/// Anything outside the grammar, a text over [`MAX_BYTES`], values nested deeper than [`MAX_DEPTH`].
pub fn parse(text: &str) -> Result<Document, SyntaxError> {
    if text.len() > MAX_BYTES {
        return Err(SyntaxError::new(Position::START, format!("the text is larger than {MAX_BYTES} bytes")));
    }
    if text.trim_start().starts_with('{') {
        Ok(Document { items: json::parse(text)?, syntax: Syntax::Json })
    } else {
        Ok(Document { items: native::parse(text)?, syntax: Syntax::Native })
    }
}

/// A name out of the text, quoted for a message: escaped, and cut where it is long.
pub(crate) fn quoted(name: &str) -> String {
    const SHOWN: usize = 64;
    let cut = name.char_indices().nth(SHOWN).and_then(|(end, _)| name.get(..end)).unwrap_or(name);
    if cut.len() < name.len() { format!("{cut:?}…") } else { format!("{name:?}") }
}
