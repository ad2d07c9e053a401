//! A file without its values: each stands as `*`, in the quotes that it had. Behind the `*`, in double quotes, a `$` and a
//! line break say that those stood there as they are.

use std::collections::BTreeMap;

use coffer_api::Sensitive;
use zeroize::Zeroizing;

use super::{
    Content, Document, Ending,
    quote::{Double, Style, automatic},
};

impl Document {
    /// The layout.
    pub(crate) fn layout(&self) -> Sensitive<String> {
        let mut out = String::new();
        let breaks = self.breaks();
        for line in &self.lines {
            match &line.content {
                Content::Blank(text) => out.push_str(text),
                Content::Comment(text) => out.push_str(text.expose()),
                Content::Entry(entry) => {
                    let value = match entry.style {
                        Style::Double(Double { dollars, breaks }) => {
                            ["*", if dollars { "$" } else { "" }, if breaks { "\n" } else { "" }].concat()
                        }
                        Style::Backtick | Style::Bare | Style::Single => "*".to_owned(),
                    };
                    entry.render(&value, breaks, &mut out);
                }
            }
            out.push_str(line.ending.text());
        }
        Sensitive::new(out)
    }

    /// The text of a layout with these values: what has no value is left out, what it does not name comes at the end.
    pub(crate) fn filled(&self, values: &BTreeMap<&str, &str>) -> Zeroizing<String> {
        let mut left = values.clone();
        let mut out = Zeroizing::new(String::new());
        let breaks = self.breaks();
        for line in &self.lines {
            match &line.content {
                Content::Blank(text) => out.push_str(text),
                Content::Comment(text) => out.push_str(text.expose()),
                Content::Entry(entry) => match left.remove(entry.name.as_str()) {
                    Some(value) => entry.render(value, breaks, &mut out),
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
