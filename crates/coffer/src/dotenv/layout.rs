//! A file without its values: each stands as `*`, in the quotes that it had. Behind the `*` stands what its value had of what
//! is special there and stood as it is: without quotes `#`, `$` or `;` ([`super::quote::Bare`]); in double ones `$` or `$(`, a
//! backtick, a line break.

use std::collections::BTreeMap;

use coffer_api::Sensitive;
use zeroize::Zeroizing;

use super::{Content, Document, Ending, quote::automatic};

/// Whether the values of a file still refer to others.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum References {
    /// Each stands in its value, as who reads the file may follow it.
    Kept,
    /// They were followed: every `$` that is left is one.
    Resolved,
}

impl Document {
    /// The layout.
    pub(crate) fn layout(&self) -> Sensitive<String> {
        let mut out = String::new();
        let breaks = self.breaks();
        for line in &self.lines {
            match &line.content {
                Content::Blank(text) => out.push_str(text),
                Content::Comment(text) => out.push_str(text.expose()),
                Content::Entry(entry) => entry.render(entry.style, &entry.style.layout(), breaks, &mut out),
            }
            out.push_str(line.ending.text());
        }
        Sensitive::new(out)
    }

    /// The text of a layout with these values: what has no value is left out, what it does not name comes at the end.
    pub(crate) fn filled(&self, values: &BTreeMap<&str, &str>, references: References) -> Zeroizing<String> {
        let mut left = values.clone();
        let mut out = Zeroizing::new(String::new());
        let breaks = self.breaks();
        for line in &self.lines {
            match &line.content {
                Content::Blank(text) => out.push_str(text),
                Content::Comment(text) => out.push_str(text.expose()),
                Content::Entry(entry) => match left.remove(entry.name.as_str()) {
                    Some(value) => {
                        let style = match references {
                            References::Kept => entry.style,
                            References::Resolved => entry.style.followed(),
                        };
                        entry.render(style, value, breaks, &mut out);
                    }
                    None => continue,
                },
            }
            out.push_str(line.ending.text());
        }
        let is_open = self.lines.last().is_some_and(|line| line.ending == Ending::None);
        if is_open && !left.is_empty() && !out.is_empty() && !out.ends_with('\n') {
            out.push_str(breaks.text());
        }
        for (name, value) in left {
            out.push_str(name);
            out.push('=');
            automatic(value, &mut out);
            out.push_str(breaks.text());
        }
        out
    }
}
