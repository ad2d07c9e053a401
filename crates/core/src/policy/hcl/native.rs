//! HCL proper: tokens to a tree.

use super::lexer::{Cursor, Token, next_token};
use super::{Form, Item, Key, MAX_DEPTH, Node, Position, SyntaxError, Value};

/// Parses a whole text.
pub(super) fn parse(text: &str) -> Result<Vec<Item>, SyntaxError> {
    let mut parser = Parser { cursor: Cursor::new(text), depth: 0 };
    let mut items = Vec::new();
    loop {
        let (token, position) = parser.token()?;
        if token == Token::End {
            return Ok(items);
        }
        items.push(parser.item(token, position)?);
    }
}

struct Parser<'a> {
    cursor: Cursor<'a>,
    depth: usize,
}

impl Parser<'_> {
    fn token(&mut self) -> Result<(Token, Position), SyntaxError> {
        next_token(&mut self.cursor)
    }

    /// Reads the next token only if it is `wanted`.
    fn token_if(&mut self, wanted: &Token) -> Result<bool, SyntaxError> {
        let mut ahead = self.cursor.clone();
        let (token, _) = next_token(&mut ahead)?;
        let found = token == *wanted;
        if found {
            self.cursor = ahead;
        }
        Ok(found)
    }

    /// Reads an item whose first token was read already, and the comma that may follow it.
    fn item(&mut self, first: Token, position: Position) -> Result<Item, SyntaxError> {
        let key = key(first, position)?;
        let mut labels = Vec::new();
        let item = loop {
            let (token, position) = self.token()?;
            match token {
                Token::Assign if labels.is_empty() => {
                    let (token, position) = self.token()?;
                    break Item { key, labels, form: Form::Assigned, value: self.value(token, position)? };
                }
                Token::Assign => return Err(SyntaxError::new(position, "only one key may stand in front of '='")),
                Token::OpenBrace => {
                    break Item { key, labels, form: Form::Block, value: self.value(token, position)? };
                }
                Token::Identifier(_) | Token::String(_) => labels.push(self::key(token, position)?),
                other => {
                    let message = format!("expected '=' or '{{' after a key, found {}", other.describe());
                    return Err(SyntaxError::new(position, message));
                }
            }
        };
        self.token_if(&Token::Comma)?;
        Ok(item)
    }

    /// Reads a value whose first token was read already.
    fn value(&mut self, first: Token, position: Position) -> Result<Node, SyntaxError> {
        let value = match first {
            Token::Bool(value) => Value::Bool(value),
            Token::Float(value) => Value::Float(value),
            Token::Integer(value) => Value::Integer(value),
            Token::String(value) | Token::Text(value) => Value::String(value),
            Token::OpenBrace => Value::Object(self.nested(position, Parser::object)?),
            Token::OpenBracket => Value::List(self.nested(position, Parser::list)?),
            other => {
                return Err(SyntaxError::new(position, format!("expected a value, found {}", other.describe())));
            }
        };
        Ok(Node { value, position })
    }

    fn nested<T>(
        &mut self,
        open: Position,
        read: fn(&mut Self, Position) -> Result<T, SyntaxError>,
    ) -> Result<T, SyntaxError> {
        if self.depth >= MAX_DEPTH {
            return Err(SyntaxError::new(open, format!("values are nested deeper than {MAX_DEPTH}")));
        }
        self.depth += 1;
        let value = read(self, open)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self, open: Position) -> Result<Vec<Item>, SyntaxError> {
        let mut items = Vec::new();
        loop {
            let (token, position) = self.token()?;
            match token {
                Token::CloseBrace => return Ok(items),
                Token::End => return Err(unclosed("{", open, position)),
                first => items.push(self.item(first, position)?),
            }
        }
    }

    /// Reads a list. Superfluous commas are allowed, as other readers of HCL 1 allow them; missing ones are not.
    fn list(&mut self, open: Position) -> Result<Vec<Node>, SyntaxError> {
        let mut values = Vec::new();
        let mut separated = true;
        loop {
            let (token, position) = self.token()?;
            match token {
                Token::CloseBracket => return Ok(values),
                Token::Comma => separated = true,
                Token::End => return Err(unclosed("[", open, position)),
                first if separated => {
                    values.push(self.value(first, position)?);
                    separated = false;
                }
                other => {
                    let message = format!("expected ',' or ']' in a list, found {}", other.describe());
                    return Err(SyntaxError::new(position, message));
                }
            }
        }
    }
}

fn key(token: Token, position: Position) -> Result<Key, SyntaxError> {
    match token {
        Token::Identifier(name) | Token::String(name) => Ok(Key { name, position }),
        other => Err(SyntaxError::new(position, format!("expected a key, found {}", other.describe()))),
    }
}

fn unclosed(bracket: &str, open: Position, end: Position) -> SyntaxError {
    SyntaxError::new(end, format!("the text ends before the '{bracket}' of {open} is closed"))
}
