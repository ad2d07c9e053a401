//! How values are written: without quotes, or in those that can hold them.

/// The quotes around a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    Backtick,
    Bare,
    Double(Double),
    Single,
}

/// What of a value in double quotes stands there as it is, and not as an escape.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Double {
    pub(super) dollars: bool,
    pub(super) breaks: bool,
}

impl Style {
    /// Whether a value reads back from these quotes. `after_space`: whether white space stands before it.
    fn holds(self, value: &str, after_space: bool) -> bool {
        let odd = |c: char| c == '\r' || c == '\0';
        match self {
            Self::Backtick => !value.contains(|c| c == '`' || odd(c)),
            Self::Bare => {
                let starts_comment = after_space && value.starts_with('#');
                !value.starts_with(['\'', '"', '`', ' ', '\t'])
                    && !value.ends_with([' ', '\t'])
                    && !value.contains(|c| c == '\n' || odd(c))
                    && !starts_comment
                    && !value.contains(" #")
                    && !value.contains("\t#")
            }
            Self::Double(_) => !value.contains('\0'),
            Self::Single => !value.contains(|c| c == '\'' || odd(c)),
        }
    }
}

/// Writes a value in its quotes, or where they cannot hold it in others; `breaks` is a line break in quotes.
pub(super) fn write(style: Style, value: &str, after_space: bool, breaks: &str, out: &mut String) {
    match style {
        style if !style.holds(value, after_space) => automatic(value, out),
        Style::Backtick => quoted('`', value, breaks, out),
        Style::Bare => out.push_str(value),
        Style::Double(double) => escaped(double, value, breaks, out),
        Style::Single => quoted('\'', value, breaks, out),
    }
}

/// Writes a value on one line: bare where nothing in it is special to any reader, in single quotes where everything
/// between them is literal to every reader, and else in double quotes with the escapes `\\ \" \$ \n \r`.
pub(crate) fn automatic(value: &str, out: &mut String) {
    if value.bytes().all(|b| b.is_ascii_alphanumeric() || BARE.contains(&b)) {
        out.push_str(value);
    } else if !value.chars().any(|c| matches!(c, '\'' | '\\') || c.is_control()) {
        quoted('\'', value, "", out);
    } else {
        escaped(Double::default(), value, "", out);
    }
}

fn quoted(quote: char, value: &str, breaks: &str, out: &mut String) {
    out.push(quote);
    let mut lines = value.split('\n');
    out.push_str(lines.next().unwrap_or_default());
    for line in lines {
        out.push_str(breaks);
        out.push_str(line);
    }
    out.push(quote);
}

fn escaped(double: Double, value: &str, breaks: &str, out: &mut String) {
    out.push('"');
    for c in value.chars() {
        match c {
            '$' if double.dollars => out.push('$'),
            '\n' if double.breaks => out.push_str(breaks),
            '\\' | '"' | '$' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
}

const BARE: &[u8] = b"_./:@%+,=-";
