//! References in values (docs/REFERENCES.md): `${NAME}`, `${staging:NAME}`, `coffer://acme/prod/api/NAME?version=7`.
//!
//! Only what is a reference to the letter is one; everything else is text, so that a password with dollars in it stays
//! itself. `$${` stands for `${`.

use std::{fmt, str::FromStr};

use crate::{Name, Scope, id::ParseError};

/// What every address begins with.
pub const SCHEME: &str = "coffer://";

/// A piece of a value, in the order in which they stand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Part<'a> {
    /// Another secret's value stands here.
    Reference(Reference<'a>),
    /// Text as it is.
    Text(&'a str),
}

/// A reference to another secret.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reference<'a> {
    /// What it names.
    pub target: Target,
    /// What stands for a secret that is not there or is empty; may hold references itself.
    pub default: Option<&'a str>,
    /// As it is written.
    pub written: &'a str,
}

/// What a reference names.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Target {
    /// One secret in one scope.
    Address(Address),
    /// The effective view of the same project and service in that environment.
    Elsewhere(Environment, Name),
    /// The same effective view.
    Here(Name),
}

/// The name of an environment: one segment of a scope.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Environment(String);

/// `coffer://project[/environment[/service]]/NAME[?version=N]`: one secret in one scope, without what lies above it.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Address {
    /// Where it lies.
    pub scope: Scope,
    /// Its name.
    pub name: Name,
    /// Which version; absent = the current one.
    pub version: Option<u64>,
}

/// The pieces of a value; see [`parts`].
pub struct Parts<'a> {
    text: &'a str,
    at: usize,
    /// Where `${` and `$${` open, in order, and where the `}` of each is.
    braces: Vec<Brace>,
}

/// Where `${` or `$${` opens, and where the `}` of it is, if there is one. Narrow, for a value may be nothing else.
#[derive(Clone, Copy)]
struct Brace {
    opens: u32,
    closes: u32,
}

/// Takes a value apart, in time and memory in proportion to its length.
pub fn parts(text: &str) -> Parts<'_> {
    Parts { text, at: 0, braces: braces(text) }
}

/// Whether a value is text alone, without escapes, as most are: faster than to take it apart.
pub fn is_literal(text: &str) -> bool {
    !text.contains("${") && !text.contains(SCHEME)
}

/// Whether a value holds a reference.
pub fn is_in(text: &str) -> bool {
    parts(text).any(|part| matches!(part, Part::Reference(_)))
}

/// The first address that stands bare in a text at or after `from`: where it begins, where it ends, and what it names.
pub fn next_address(text: &str, from: usize) -> Option<(usize, usize, Address)> {
    let mut from = from;
    loop {
        let start = from + text.get(from..)?.find(SCHEME)?;
        if let Some((end, address)) = bare_address(text, start) {
            return Some((start, end, address));
        }
        from = start + SCHEME.len();
    }
}

impl Environment {
    /// The scope that takes the place of `scope` in this environment: the same project and, where it has one, service.
    pub fn of(&self, scope: &Scope) -> Scope {
        scope.in_environment(&self.0)
    }
}

impl FromStr for Environment {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        // A scope of one segment is a segment.
        match text.parse::<Scope>()?.segments() {
            [one] => Ok(Self(one.clone())),
            _ => Err(ParseError::new("an environment is one segment of a scope")),
        }
    }
}

impl fmt::Display for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Target {
    /// As a value refers to it, without a default.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Elsewhere(environment, name) => write!(f, "${{{environment}:{name}}}"),
            Self::Here(name) => write!(f, "${{{name}}}"),
        }
    }
}

impl FromStr for Address {
    type Err = ParseError;

    /// The whole text must be the address.
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return Err(ParseError::new("an address begins with coffer://"));
        };
        let (path, version) = match rest.split_once('?') {
            None => (rest, None),
            Some((path, query)) => match query.strip_prefix("version=").and_then(number) {
                Some(version) => (path, Some(version)),
                None => return Err(ParseError::new("after '?' an address has version=N and nothing else")),
            },
        };
        let Some((scope, name)) = path.rsplit_once('/') else {
            return Err(ParseError::new("an address is coffer://project[/environment[/service]]/NAME[?version=N]"));
        };
        Ok(Self { scope: Scope::from_path(scope)?, name: name.parse()?, version })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.scope.path(), self.name)?;
        match self.version {
            Some(version) => write!(f, "?version={version}"),
            None => Ok(()),
        }
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let start = self.at;
        let mut from = start;
        loop {
            // The places of either are far apart or taken, so that looking for both again costs little.
            let rest = self.text.get(from..).unwrap_or_default();
            let Some(place) = rest.find(['$', 'c']).map(|place| from + place) else {
                return self.text_to(self.text.len());
            };
            let here = self.text.get(place..).unwrap_or_default();
            if here.starts_with("$${") {
                // One of the dollars goes, and what follows is text.
                if place > start {
                    return self.text_to(place);
                }
                self.at = place + 1;
                let escaped = self.text.get(place + 1..place + 3);
                self.at = place + 3;
                return escaped.map(Part::Text);
            }
            let found = if here.starts_with("${") {
                self.enclosed(place)
            } else if here.starts_with(SCHEME) {
                let address = bare_address(self.text, place);
                address.map(|(end, address)| (end, Target::Address(address), None))
            } else {
                None
            };
            if let Some((end, target, default)) = found {
                if place > start {
                    return self.text_to(place);
                }
                self.at = end;
                let written = self.text.get(place..end)?;
                return Some(Part::Reference(Reference { target, default, written }));
            }
            from = place + 1;
        }
    }
}

impl<'a> Parts<'a> {
    /// The text from where we are up to `end`.
    fn text_to(&mut self, end: usize) -> Option<Part<'a>> {
        let text = self.text.get(self.at..end).filter(|text| !text.is_empty());
        self.at = end;
        text.map(Part::Text)
    }

    /// What `${` at this place opens: where it ends, what it names, and its default.
    fn enclosed(&self, place: usize) -> Option<(usize, Target, Option<&'a str>)> {
        let opens = u32::try_from(place).ok()?;
        let at = self.braces.binary_search_by_key(&opens, |brace| brace.opens).ok()?;
        let brace = self.braces.get(at).filter(|brace| brace.closes != OPEN)?;
        let close = usize::try_from(brace.closes).ok()?;
        let inside = self.text.get(place + 2..close)?;
        // No name is longer, and what is looked at more than once is short.
        let window = inside.get(..inside.floor_char_boundary(MAX_TARGET)).unwrap_or(inside);
        let ends = window.bytes().zip(window.bytes().skip(1).chain([0])).position(|(byte, next)| {
            !(byte.is_ascii_alphanumeric() || b"_.-:/?=".contains(&byte)) || (byte == b':' && next == b'-')
        });
        let (target, default) = match ends {
            None if window.len() == inside.len() => (inside, None),
            None => return None,
            Some(end) => {
                let (target, rest) = inside.split_at_checked(end)?;
                (target, Some(rest.strip_prefix(":-")?))
            }
        };
        let target = if target.starts_with(SCHEME) {
            Target::Address(target.parse().ok()?)
        } else if let Some((environment, name)) = target.split_once(':') {
            Target::Elsewhere(environment.parse().ok()?, name.parse().ok()?)
        } else {
            Target::Here(target.parse().ok()?)
        };
        Some((close + 1, target, default))
    }
}

/// The address that stands at this place without braces: it goes on as long as letters, digits and `_./-` do, and over a
/// `?version=N` behind them. A letter or digit before it makes it something else's tail.
fn bare_address(text: &str, start: usize) -> Option<(usize, Address)> {
    let (before, rest) = text.split_at_checked(start)?;
    if before.bytes().next_back().is_some_and(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let path = rest.strip_prefix(SCHEME)?;
    let in_path = |byte: u8| byte.is_ascii_alphanumeric() || b"_./-".contains(&byte);
    let len = path.bytes().take(MAX_TARGET).take_while(|byte| in_path(*byte)).count();
    let mut end = start + SCHEME.len() + len;
    if let Some(digits) = text.get(end..)?.strip_prefix("?version=") {
        end += "?version=".len() + digits.bytes().take(MAX_DIGITS).take_while(u8::is_ascii_digit).count();
    }
    Some((end, text.get(start..end)?.parse().ok()?))
}

/// Where `${` and `$${` open and which `}` closes each, innermost first, in one pass. What begins behind 4 GiB is text.
fn braces(text: &str) -> Vec<Brace> {
    let bytes = text.as_bytes();
    let (mut braces, mut open): (Vec<Brace>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let step = match rest {
            [b'$', b'$', b'{', ..] => 3,
            [b'$', b'{', ..] => 2,
            _ => 1,
        };
        let (Ok(place), Ok(next)) = (u32::try_from(at), u32::try_from(braces.len())) else { break };
        if step > 1 {
            open.push(next);
            braces.push(Brace { opens: place, closes: OPEN });
        } else if rest.first() == Some(&b'}')
            && let Some(brace) = open.pop().and_then(|at| braces.get_mut(usize::try_from(at).ok()?))
        {
            brace.closes = place;
        }
        at += step;
    }
    braces
}

/// A version's number, from 1.
fn number(text: &str) -> Option<u64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    text.parse().ok().filter(|number| is_plain && *number > 0)
}

/// Of a brace that nothing closes.
const OPEN: u32 = u32::MAX;

/// Bytes of the longest address: three segments of 63, a name of 128, a version.
const MAX_TARGET: usize = 400;

/// Digits of a version at most, and one more to see that there are too many.
const MAX_DIGITS: usize = 21;

#[cfg(test)]
mod tests {
    use super::*;

    /// References in angle brackets, defaults behind a bar.
    fn shown(text: &str) -> String {
        parts(text)
            .map(|part| match part {
                Part::Text(text) => text.to_owned(),
                Part::Reference(reference) => {
                    let target = match &reference.target {
                        Target::Address(address) => address.to_string(),
                        Target::Elsewhere(environment, name) => format!("{environment}:{name}"),
                        Target::Here(name) => name.to_string(),
                    };
                    let default = reference.default.map(|default| format!("|{default}")).unwrap_or_default();
                    format!("<{target}{default}>")
                }
            })
            .collect()
    }

    #[test]
    fn references_are_found_between_text() {
        for (text, expected) in [
            ("", ""),
            ("a${B}c", "a<B>c"),
            ("${A}${B}", "<A><B>"),
            ("${staging:A}", "<staging:A>"),
            ("${A:-}", "<A|>"),
            ("${A:-b c}", "<A|b c>"),
            ("${A:-${B:-c}}d", "<A|${B:-c}>d"),
            ("${A:-$${B}}", "<A|$${B}>"),
            ("${staging:A:-x}", "<staging:A|x>"),
            ("${a.b-c}", "<a.b-c>"),
            ("coffer://acme/A", "<coffer://acme/A>"),
            ("x coffer://acme/prod/api/A y", "x <coffer://acme/prod/api/A> y"),
            ("u:coffer://acme/prod/A@h", "u:<coffer://acme/prod/A>@h"),
            ("coffer://acme/A?version=7", "<coffer://acme/A?version=7>"),
            ("coffer://acme/A?version=7&x=1", "<coffer://acme/A?version=7>&x=1"),
            ("coffer://acme/A?x=1", "<coffer://acme/A>?x=1"),
            ("coffer://acme/A:5432", "<coffer://acme/A>:5432"),
            ("${coffer://acme/A?version=7:-z}9", "<coffer://acme/A?version=7|z>9"),
            ("${coffer://acme/HOST}.internal", "<coffer://acme/HOST>.internal"),
            ("${coffer://acme/A?stage=x}", "${<coffer://acme/A>?stage=x}"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_reference_to_the_letter_is_text() {
        for text in [
            "$",
            "$$",
            "$$$",
            "${",
            "}",
            "a$b",
            "$A",
            "${}",
            "${ A}",
            "${A }",
            "${1A}",
            "${A",
            "${A:b}",
            "${:-x}",
            "${Staging:A}",
            "${a:b:C}",
            "${A:+x}",
            "${A$}",
            "p${ss}w{or$d}ä${ä}",
            "#{A}",
            "$(A)",
            "${A\n}",
            "coffer://",
            "coffer://A",
            "coffer:///A",
            "coffer://acme/",
            "coffer://Acme/A",
            "coffer://a/b/c/d/E",
            "coffer://acme/1",
            "coffer://acme/A?version=0",
            "coffer://acme/A?version=",
            "coffer://acme//A",
            "coffer://acme/A?version=99999999999999999999999",
            "xcoffer://acme/A",
            "Coffer://acme/A",
            "${coffer://acme}",
        ] {
            // `${ss}` is a fine name, and the only reference of them all.
            let expected = text.replace("${ss}", "<ss>");
            assert_eq!(shown(text), expected);
        }
    }

    #[test]
    fn two_dollars_before_a_brace_stand_for_one_and_for_text() {
        for (text, expected) in [
            ("$${A}", "${A}"),
            ("a$${A}${B}", "a${A}<B>"),
            ("$$${A}", "$${A}"),
            ("$${", "${"),
            ("$$", "$$"),
            ("$${coffer://acme/A}", "${<coffer://acme/A>}"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn hostile_text_is_taken_apart_in_no_time() {
        let many = 200_000;
        for text in [
            "${".repeat(many),
            format!("{}{}", "${".repeat(many), "}".repeat(many)),
            "${A:-".repeat(many),
            format!("{}{}", "${A:-".repeat(many), "}".repeat(many)),
            "coffer://".repeat(many),
            "coffer://a/".repeat(many),
            "$${".repeat(many),
            "c$".repeat(many),
        ] {
            let begun = std::time::Instant::now();
            let length: usize = parts(&text)
                .map(|part| match part {
                    Part::Text(text) => text.len(),
                    Part::Reference(reference) => reference.written.len(),
                })
                .sum();
            // An escape is shorter by its dollar, and nothing else is lost.
            assert_eq!(length + text.matches("$${").count(), text.len());
            assert!(begun.elapsed().as_secs() < 10, "{}", &text[..20]);
        }
    }

    #[test]
    fn address_reads_back_as_it_is_written() {
        for text in ["coffer://a/B", "coffer://a/b/C", "coffer://a/b/c/D?version=18446744073709551615"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for bad in
            ["", "coffer://a/B ", " coffer://a/B", "a/B", "coffer://a/B?version=01", "coffer://a/B?", "coffer://a/B#"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bare_address_in_a_longer_text_is_found_with_its_ends() {
        let text = "a: coffer://x coffer://acme/A, \"coffer://acme/B\"";
        let (start, end, address) = next_address(text, 0).unwrap();
        assert_eq!((&text[start..end], address.name.as_str()), ("coffer://acme/A", "A"));
        let (start, end, _) = next_address(text, end).unwrap();
        assert_eq!(&text[start..end], "coffer://acme/B");
        assert!(next_address(text, end).is_none());
    }

    #[test]
    fn environment_takes_the_place_of_the_scopes_own() {
        let staging: Environment = "staging".parse().unwrap();
        for (scope, expected) in
            [("acme:prod:api", "acme:staging:api"), ("acme:prod", "acme:staging"), ("acme", "acme:staging")]
        {
            assert_eq!(staging.of(&scope.parse().unwrap()).to_string(), expected);
        }
        assert!("a:b".parse::<Environment>().is_err());
    }
}
