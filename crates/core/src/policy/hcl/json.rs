//! The JSON variant. Own reading, because members must keep their order, their places and their duplicates.

use super::lexer::Cursor;
use super::{Form, Item, Key, MAX_DEPTH, Node, Position, SyntaxError, Value, text};

/// Parses a whole text, which must be one object.
pub(super) fn parse(text: &str) -> Result<Vec<Item>, SyntaxError> {
    let mut parser = Parser { cursor: Cursor::new(text.trim_end()), depth: 0 };
    parser.blank();
    let items = parser.object()?;
    parser.blank();
    match parser.cursor.peek() {
        None => Ok(items),
        Some(_) => Err(parser.cursor.error("nothing may follow the outermost object")),
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

impl Parser<'_> {
    fn blank(&mut self) {
        self.cursor.take_while(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
    }

    fn expect(&mut self, wanted: char) -> Result<(), SyntaxError> {
        match self.cursor.next_if(|c| c == wanted) {
            Some(_) => Ok(()),
            None => Err(self.unexpected(&format!("'{wanted}'"))),
        }
    }

    fn unexpected(&self, wanted: &str) -> SyntaxError {
        match self.cursor.peek() {
            Some(found) => self.cursor.error(format!("expected {wanted}, found {found:?}")),
            None => self.cursor.error(format!("expected {wanted}, found the end of the text")),
        }
    }

    fn object(&mut self) -> Result<Vec<Item>, SyntaxError> {
        self.open('{')?;
        let mut items = Vec::new();
        if !self.closed('}') {
            loop {
                self.blank();
                let position = self.cursor.position();
                let key = Key { name: self.string()?, position };
                self.blank();
                self.expect(':')?;
                items.push(Item { key, labels: Vec::new(), form: Form::Assigned, value: self.value()? });
                if self.ended('}')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(items)
    }

    fn list(&mut self) -> Result<Vec<Node>, SyntaxError> {
        self.open('[')?;
        let mut values = Vec::new();
        if !self.closed(']') {
            loop {
                values.push(self.value()?);
                if self.ended(']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(values)
    }

    fn open(&mut self, bracket: char) -> Result<(), SyntaxError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.cursor.error(format!("values are nested deeper than {MAX_DEPTH}")));
        }
        self.expect(bracket)?;
        self.depth += 1;
        Ok(())
    }

    /// Whether the list or object ends right here, after its opening bracket.
    fn closed(&mut self, bracket: char) -> bool {
        self.blank();
        self.cursor.next_if(|c| c == bracket).is_some()
    }

    /// Whether the list or object ends here, after a member; otherwise a comma must follow.
    fn ended(&mut self, bracket: char) -> Result<bool, SyntaxError> {
        self.blank();
        if self.cursor.next_if(|c| c == ',').is_some() {
            return Ok(false);
        }
        match self.cursor.next_if(|c| c == bracket) {
            Some(_) => Ok(true),
            None => Err(self.unexpected(&format!("',' or '{bracket}'"))),
        }
    }

    fn value(&mut self) -> Result<Node, SyntaxError> {
        self.blank();
        let position = self.cursor.position();
        let value = match self.cursor.peek() {
            Some('{') => Value::Object(self.object()?),
            Some('[') => Value::List(self.list()?),
            Some('"') => Value::String(self.string()?),
            Some('-' | '0'..='9') => self.number(position)?,
            Some(_) | None => match self.cursor.take_while(|c| c.is_ascii_alphabetic()) {
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                "null" => Value::Null,
                _ => return Err(SyntaxError::new(position, "expected a value")),
            },
        };
        Ok(Node { value, position })
    }

    fn string(&mut self) -> Result<String, SyntaxError> {
        let start = self.cursor.clone();
        self.expect('"')?;
        loop {
            match self.cursor.next() {
                Some('"') => break,
                Some('\\') => {
                    self.cursor.next();
                }
                Some(_) => {}
                None => return Err(start.error("this string is not closed")),
            }
        }
        serde_json::from_str(self.cursor.since(start.offset()))
            .map_err(|_| start.error("this string has an unknown escape or a control character"))
    }

    fn number(&mut self, position: Position) -> Result<Value, SyntaxError> {
        let text = self.cursor.take_while(|c| matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let error = || SyntaxError::new(position, "this is not a number of at most 64 bits");
        serde_json::from_str::<serde_json::Number>(text).map_err(|_| error())?;
        if text.contains(['.', 'e', 'E']) {
            text::float(text).map(Value::Float).ok_or_else(error)
        } else {
            text.parse().map(Value::Integer).map_err(|_| error())
        }
    }
}
