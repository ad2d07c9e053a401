//! How values are written: without quotes, or in those that can hold them.

/// The quotes around a value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Style {
    Backtick,
    Bare(Bare),
    Double(Double),
    Single,
}

/// What may stand without quotes: each what those before it may, and more. A value that takes more than its line had
/// goes into quotes, so that whoever sources the file runs nothing that came with a later value.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Bare {
    /// What nobody takes for anything else.
    Plain,
    /// What some reader takes for something else, but no shell: `A=b#c`.
    Odd,
    /// `$NAME` and `${NAME}`, which who reads the file may fill in.
    References,
    /// Anything. A shell takes such a line apart, if it does not run some of it.
    Any,
}

/// What of a value in double quotes stands there as it is, and not as an escape.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Double {
    pub(super) backticks: bool,
    pub(super) breaks: bool,
    pub(super) dollars: Dollars,
}

/// Which `$` stand in double quotes as they are.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Dollars {
    #[default]
    None,
    /// Of `$NAME` and `${NAME}`, and such as nobody takes for anything.
    References,
    /// All, those of `$(program)` too.
    All,
}

impl Bare {
    /// What this text takes; `*` is nothing to a shell behind a `=`, and what a layout has for every value.
    pub(super) fn of(text: &str) -> Self {
        let mut most = Self::Plain;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            let takes = match c {
                '*' => Self::Plain,
                c if is_plain(c) => Self::Plain,
                '!' | '#' | '?' | '[' | ']' | '^' | '{' | '}' | '~' => Self::Odd,
                c if !c.is_ascii() && c.is_alphanumeric() => Self::Odd,
                '$' => match behind_reference(rest) {
                    Some(behind) => {
                        rest = behind;
                        Self::References
                    }
                    None => Self::Any,
                },
                _ => Self::Any,
            };
            most = most.max(takes);
        }
        most
    }

    fn mark(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Odd => "#",
            Self::References => "$",
            Self::Any => ";",
        }
    }
}

impl Dollars {
    /// What the `$` before this text takes.
    pub(super) fn before(rest: &str) -> Self {
        if behind_reference(rest).is_some() { Self::References } else { Self::All }
    }
}

impl Style {
    /// What stands for a value of this style in a layout: read as a value, it has the style.
    pub(super) fn layout(self) -> String {
        match self {
            Self::Backtick | Self::Single => "*".to_owned(),
            Self::Bare(bare) => format!("*{}", bare.mark()),
            Self::Double(Double { backticks, breaks, dollars }) => {
                let dollars = match dollars {
                    Dollars::None => "",
                    Dollars::References => "$",
                    Dollars::All => "$(",
                };
                ["*", dollars, if backticks { "`" } else { "" }, if breaks { "\n" } else { "" }].concat()
            }
        }
    }

    /// The same for a value in which every reference was followed: a `$` that is left is meant as one.
    pub(super) fn followed(self) -> Self {
        match self {
            Self::Backtick => Self::Backtick,
            Self::Bare(bare) => Self::Bare(bare.min(Bare::Odd)),
            Self::Double(Double { breaks, .. }) => Self::Double(Double { breaks, ..Double::default() }),
            Self::Single => Self::Single,
        }
    }

    /// Whether a value reads back from these quotes. `after_space`: whether white space stands before it.
    fn holds(self, value: &str, after_space: bool) -> bool {
        let odd = |c: char| c == '\r' || c == '\0';
        match self {
            Self::Backtick => !value.contains(|c| c == '`' || odd(c)),
            Self::Bare(most) => {
                let starts_comment = after_space && value.starts_with('#');
                Bare::of(value) <= most
                    && !value.starts_with(['\'', '"', '`', ' ', '\t'])
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
        Style::Bare(_) => out.push_str(value),
        Style::Double(double) => escaped(double, value, breaks, out),
        Style::Single => quoted('\'', value, breaks, out),
    }
}

/// Writes a value on one line: bare where nothing in it is special to any reader, in single quotes where everything
/// between them is literal to every reader, and else in double quotes with the escapes `\\ \" \$ \` \n \r`.
pub(crate) fn automatic(value: &str, out: &mut String) {
    if value.chars().all(is_plain) {
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
    for (at, c) in value.char_indices() {
        let rest = value.get(at + c.len_utf8()..).unwrap_or_default();
        match c {
            '$' if double.dollars >= Dollars::before(rest) => out.push('$'),
            '`' if double.backticks => out.push('`'),
            '\n' if double.breaks => out.push_str(breaks),
            '\\' | '"' | '$' | '`' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// What stands behind the reference that a `$` before this text begins, or behind a `$` that is none; nothing where a shell
/// may take it for more than the value of a variable.
fn behind_reference(rest: &str) -> Option<&str> {
    let Some(braced) = rest.strip_prefix('{') else {
        return (!rest.starts_with(['(', '[', '\'', '"'])).then(|| rest.trim_start_matches(is_of_name));
    };
    let behind = braced.trim_start_matches(is_of_name);
    let is_named = braced.starts_with(|c: char| is_of_name(c) && !c.is_ascii_digit());
    if let Some(behind) = behind.strip_prefix('}') {
        return is_named.then_some(behind);
    }
    let default = behind.strip_prefix(":-").or_else(|| behind.strip_prefix('-'))?;
    default.trim_start_matches(is_plain).strip_prefix('}').filter(|_| is_named)
}

fn is_of_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Whether it is itself to every reader, quoted or not.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./:@%+,=-".contains(c)
}
