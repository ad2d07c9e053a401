//! Patterns of gitleaks' users are written for Go: this says the same in the syntax of the crate `regex`. The two differ
//! in what may stand for itself: Go takes a brace that begins no repetition, an opening bracket within a class and an
//! escaped angle bracket as they are, and knows no arithmetic of classes.

/// The pattern with everything escaped that stands for itself in Go and not here, and `\Q…\E` written out.
pub(crate) fn from_go(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut rest = pattern;
    while let Some(first) = rest.chars().next() {
        let taken = match first {
            '\\' => escape(rest, &mut out),
            '[' => class(rest, &mut out),
            '{' if !begins_repetition(rest) => {
                out.push_str("\\{");
                1
            }
            other => {
                out.push(other);
                other.len_utf8()
            }
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    out
}

/// An escape outside of a class; tells how many bytes of the text it takes.
fn escape(text: &str, out: &mut String) -> usize {
    let Some(second) = text.chars().nth(1) else {
        out.push('\\');
        return 1;
    };
    match second {
        'Q' => {
            let quoted = text.get(2..).unwrap_or_default();
            let len = quoted.find("\\E").unwrap_or(quoted.len());
            let (literal, after) = quoted.split_at(len);
            out.push_str(&regex::escape(literal));
            2 + len + if after.is_empty() { 0 } else { 2 }
        }
        'p' | 'P' | 'x' if text.get(2..3) == Some("{") => {
            // The braces are the escape's own.
            let end = text.find('}').map_or(text.len(), |end| end + 1);
            out.push_str(text.get(..end).unwrap_or_default());
            end
        }
        other => {
            out.push_str(&escaped(other));
            1 + other.len_utf8()
        }
    }
}

/// A class up to its closing bracket; tells how many bytes of the text it takes.
fn class(text: &str, out: &mut String) -> usize {
    out.push('[');
    let mut at = 1;
    if text.get(at..).is_some_and(|rest| rest.starts_with('^')) {
        out.push('^');
        at += 1;
    }
    // A bracket that closes nothing yet stands for itself.
    if text.get(at..).is_some_and(|rest| rest.starts_with(']')) {
        out.push_str("\\]");
        at += 1;
    }
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.starts_with(']') {
            out.push(']');
            return at + 1;
        }
        if let Some(whole) = named_class(rest).or_else(|| letter_class(rest)) {
            // What follows it begins anew: a class is no end of a range.
            out.push_str(whole);
            at += whole.len();
            continue;
        }
        at += atom(rest, out);
        // A dash between two is a range, any other is what it is.
        let after = text.get(at..).and_then(|rest| rest.strip_prefix('-'));
        if let Some(end) = after.filter(|end| !end.is_empty() && !end.starts_with(']')) {
            out.push('-');
            at += 1 + atom(end, out);
        }
    }
    at
}

/// One character of a class, escaped wherever it could mean something else here; tells how many bytes of the text it takes.
fn atom(text: &str, out: &mut String) -> usize {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some(second)) => {
            out.push_str(&escaped(second));
            1 + second.len_utf8()
        }
        (Some(first @ ('[' | '&' | '~' | '-' | '\\')), _) => {
            out.push('\\');
            out.push(first);
            1
        }
        (Some(first), _) => {
            out.push(first);
            first.len_utf8()
        }
        (None, _) => 0,
    }
}

/// `\w` and the like.
fn letter_class(text: &str) -> Option<&str> {
    text.strip_prefix('\\')?.starts_with(['d', 'D', 'p', 'P', 's', 'S', 'w', 'W']).then(|| text.get(..2)).flatten()
}

/// `[:alpha:]` and the like.
fn named_class(text: &str) -> Option<&str> {
    let inner = text.strip_prefix("[:")?;
    let end = inner.find(":]")?;
    let name = inner.get(..end)?;
    let is_name = name.trim_start_matches('^').bytes().all(|b| b.is_ascii_lowercase());
    if is_name { text.get(..end + 4) } else { None }
}

/// An escaped character: angle brackets are the edges of words here.
fn escaped(c: char) -> String {
    match c {
        '<' | '>' => c.to_string(),
        other => format!("\\{other}"),
    }
}

/// `{n}`, `{n,}` or `{n,m}`.
fn begins_repetition(text: &str) -> bool {
    let Some(inner) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')).map(|(inner, _)| inner) else {
        return false;
    };
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match inner.split_once(',') {
        None => is_number(inner),
        Some((least, most)) => is_number(least) && (most.is_empty() || is_number(most)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pattern_means_what_it_means_in_go() {
        for (go, here) in [
            (r"^\$(?:\d+|{\d+})$", r"^\$(?:\d+|\{\d+})$"),
            (r"a{2}b{2,}c{2,3}", r"a{2}b{2,}c{2,3}"),
            (r"{", r"\{"),
            (r"a{,3}", r"a\{,3}"),
            (r"[[]", r"[\[]"),
            (r"[a[b]", r"[a\[b]"),
            (r"[]a]", r"[\]a]"),
            (r"[^]a]", r"[^\]a]"),
            (r"[[:alnum:]_]", r"[[:alnum:]_]"),
            (r"[a&&b~~c]", r"[a\&\&b\~\~c]"),
            (r"\<\>", r"<>"),
            (r"[\<-\>]", r"[<->]"),
            (r"[\w-.]", r"[\w\-.]"),
            (r"[+--a]", r"[+-\-a]"),
            (r"[a-z-]", r"[a-z\-]"),
            (r"[-a]", r"[\-a]"),
            (r"[\x00-\x7f]", r"[\x00-\x7f]"),
            (r"\Qa.b\E.", r"a\.b."),
            (r"\Qa.b", r"a\.b"),
            (r"\p{Greek}\x{1F600}", r"\p{Greek}\x{1F600}"),
            (r"{\w{3}}", r"\{\w{3}}"),
        ] {
            assert_eq!(from_go(go), here, "{go}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_taken_to_its_end(text in "[\\\\\\[\\]{}QE^:&~,<>a-z0-9é-]{0,40}") {
            let _ = from_go(&text);
        }

        #[test]
        fn literals_stay_what_they_are(text in "[a-z0-9 ]{0,20}") {
            prop_assert_eq!(from_go(&text), text);
        }
    }
}
