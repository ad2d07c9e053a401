//! References to other names of the same file: `$NAME`, `${NAME}`, `${NAME:-default}` (unset or empty), `${NAME-default}`
//! (unset).

/// What a value may come to.
pub(super) const MOST_BYTES: usize = 1 << 20;

/// Reads what stands behind a `$`, writes what it stands for, and gives the rest. A `$` before anything else is one.
///
/// # Errors
/// What is wrong, without a word of the value.
pub(super) fn expand<'t, 'v>(
    rest: &'t str,
    look: impl Fn(&str) -> Option<&'v str>,
    out: &mut String,
) -> Result<&'t str, String> {
    let Some(braced) = rest.strip_prefix('{') else {
        let (name, rest) = name(rest);
        match name {
            "" => out.push('$'),
            name => out.push_str(look(name).ok_or_else(|| unset(name))?),
        }
        return Ok(rest);
    };
    let (name, behind) = name(braced);
    if name.is_empty() {
        return Err("behind ${ stands no name".to_owned());
    }
    if let Some(rest) = behind.strip_prefix('}') {
        out.push_str(look(name).ok_or_else(|| unset(name))?);
        return Ok(rest);
    }
    let (default, counts_empty) = match (behind.strip_prefix(":-"), behind.strip_prefix('-')) {
        (Some(default), _) => (default, true),
        (None, Some(default)) => (default, false),
        (None, None) => return Err(format!("${{{name} is neither closed nor followed by a default, as in ${{A:-b}}")),
    };
    let (default, rest) = default.split_once('}').ok_or_else(|| format!("${{{name} is not closed"))?;
    match look(name).filter(|value| !counts_empty || !value.is_empty()) {
        Some(value) => out.push_str(value),
        None => out.push_str(default),
    }
    Ok(rest)
}

fn name(text: &str) -> (&str, &str) {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = match starts {
        true => text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len()),
        false => 0,
    };
    text.split_at(end)
}

fn unset(name: &str) -> String {
    format!("{name}, which the value refers to, is not set above")
}
