//! Password policies: how long a password is and which characters it is of, in the grammar of Vault's.
//!
//! ```hcl
//! length = 20
//! rule "charset" {
//!   charset = "abcdefghijklmnopqrstuvwxyz"
//!   min-chars = 1
//! }
//! ```

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::Choice;
use crate::{
    Error,
    policy::hcl::{self, Document, Item, Node, Syntax, Value},
};

/// A policy that was read: some password may fit it, or none.
#[derive(Debug)]
pub(crate) struct PasswordPolicy {
    length: usize,
    rules: Vec<Rule>,
    /// Characters of all rules, each once.
    alphabet: Vec<char>,
}

#[derive(Debug)]
struct Rule {
    characters: BTreeSet<char>,
    least: usize,
}

impl PasswordPolicy {
    /// Reads a policy, in HCL or JSON. What it does not know is passed over, but for kinds of rules.
    ///
    /// # Errors
    /// Why it is none, in words for whoever wrote it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let document = hcl::parse(text).map_err(|error| format!("unable to decode: {error}"))?;
        let mut length = None;
        let mut rules = Vec::new();
        for item in &document.items {
            match item.key.name.to_ascii_lowercase().as_str() {
                "length" if item.labels.is_empty() => {
                    let number = whole("length", &item.value);
                    length = Some(number.map_err(|why| format!("failed to decode configuration: {why}"))?);
                }
                "rule" => read_rules(&document, item, &mut rules)?,
                _ => {}
            }
        }
        let policy = Self { length: length.unwrap_or(0), alphabet: alphabet(&rules), rules };
        policy.check()?;
        Ok(policy)
    }

    /// A password, every one that fits as likely as the other; `None` where none was found in [`MOST_DRAWN`] characters.
    ///
    /// # Errors
    /// Where the generator fails.
    pub(crate) fn password(&self) -> Result<Option<Zeroizing<String>>, Error> {
        let bound = u32::try_from(self.alphabet.len()).map_err(Error::internal)?;
        let mut choice = Choice::new();
        // As a whole each time: to mend one would make some passwords likelier than others.
        for _ in 0..(MOST_DRAWN / self.length).max(1) {
            let mut password = Zeroizing::new(String::with_capacity(4 * self.length));
            for _ in 0..self.length {
                let at = usize::try_from(choice.below(bound)?).map_err(Error::internal)?;
                password.push(*self.alphabet.get(at).ok_or_else(|| Error::internal("beyond the alphabet's end"))?);
            }
            if self.rules.iter().all(|rule| rule.is_kept(&password)) {
                return Ok(Some(password));
            }
        }
        Ok(None)
    }

    fn check(&self) -> Result<(), String> {
        let least = self.rules.iter().fold(0_usize, |sum, rule| sum.saturating_add(rule.least));
        let wrong = match self.alphabet.len() {
            _ if self.length == 0 => "length must be > 0".to_owned(),
            _ if least > self.length => {
                format!("specified rules require at least {least} characters but {} is specified", self.length)
            }
            0 => "no charset specified".to_owned(),
            found if found > MAX_ALPHABET => format!("there are more than {MAX_ALPHABET} different characters"),
            _ if self.alphabet.iter().any(|c| c.is_control()) => "non-printable character in charset".to_owned(),
            _ => return Ok(()),
        };
        Err(format!("1 error occurred:\n\t* {wrong}\n\n"))
    }

    /// How long its passwords are, in characters.
    pub(crate) fn length(&self) -> usize {
        self.length
    }
}

impl Rule {
    fn is_kept(&self, password: &str) -> bool {
        self.least == 0 || password.chars().filter(|c| self.characters.contains(c)).count() >= self.least
    }

    fn read(body: &[Item]) -> Result<Self, String> {
        let (mut characters, mut least) = (BTreeSet::new(), 0);
        for item in body {
            match (item.key.name.to_ascii_lowercase().as_str(), &item.value.value) {
                ("charset", Value::String(text)) => characters = text.chars().collect(),
                ("charset", other) => {
                    return Err(format!(
                        "failed to parse charset restriction: 'charset' is no text but {}",
                        other.kind()
                    ));
                }
                ("min-chars", _) => {
                    let number = whole("min-chars", &item.value);
                    least = number.map_err(|why| format!("failed to parse charset restriction: {why}"))?;
                }
                (_, _) => {}
            }
        }
        Ok(Self { characters, least })
    }
}

/// `rule "charset" { … }`, or in JSON `"rule": {"charset": {…}}` with lists of objects allowed for either, but not for some rules alone.
fn read_rules(document: &Document, item: &Item, rules: &mut Vec<Rule>) -> Result<(), String> {
    let unable = |why: String| format!("unable to parse rules: {why}");
    match (document.syntax, item.labels.as_slice(), &item.value.value) {
        (Syntax::Native, [kind], Value::Object(body)) => rules.push(read_rule(&kind.name, body).map_err(unable)?),
        (Syntax::Native, [], _) | (Syntax::Json, _, _) => {
            let kinds = objects(&item.value)?;
            let mut is_list = kinds.iter().copied().flatten().map(|kind| matches!(kind.value.value, Value::List(_)));
            let first = is_list.next();
            if document.syntax == Syntax::Json && is_list.any(|other| Some(other) != first) {
                return Err("unable to decode: some rules are lists and others are not".to_owned());
            }
            for kinds in kinds {
                for kind in kinds {
                    for body in objects(&kind.value)? {
                        rules.push(read_rule(&kind.key.name, body).map_err(unable)?);
                    }
                }
            }
        }
        // Of a rule of another form nothing is known.
        (Syntax::Native, [_, ..], _) => {}
    }
    if rules.len() > MAX_RULES {
        return Err(format!("a policy has at most {MAX_RULES} rules"));
    }
    Ok(())
}

fn read_rule(kind: &str, body: &[Item]) -> Result<Rule, String> {
    match kind {
        "charset" => Rule::read(body).map_err(|why| format!("unable to parse rule charset: {why}")),
        other => Err(format!("unable to parse rule {other}: unrecognized rule type {other}")),
    }
}

fn objects(node: &Node) -> Result<Vec<&[Item]>, String> {
    let nodes = match &node.value {
        Value::List(nodes) => nodes.as_slice(),
        _ => std::slice::from_ref(node),
    };
    let object = |node: &'_ Node| match &node.value {
        Value::Object(_) => Ok(()),
        other => Err(format!("unable to retrieve rules: expected an object, found {}", other.kind())),
    };
    nodes.iter().try_for_each(object)?;
    let items = |node| match node {
        &Node { value: Value::Object(ref items), .. } => Some(items.as_slice()),
        _ => None,
    };
    Ok(nodes.iter().filter_map(items).collect())
}

/// A whole number; what is below zero is zero, and of a fraction the whole part counts.
fn whole(name: &str, node: &Node) -> Result<usize, String> {
    match &node.value {
        Value::Integer(number) => Ok(usize::try_from((*number).max(0)).unwrap_or(usize::MAX)),
        Value::Float(number) => {
            let text = format!("{:.0}", number.max(0.0).trunc());
            Ok(text.parse().unwrap_or(usize::MAX))
        }
        other => Err(format!(
            "decoding failed due to the following error(s):\n\n'{name}' expected type 'int', got unconvertible type '{}'",
            other.kind().trim_start_matches("a ")
        )),
    }
}

fn alphabet(rules: &[Rule]) -> Vec<char> {
    rules.iter().flat_map(|rule| rule.characters.iter().copied()).collect::<BTreeSet<char>>().into_iter().collect()
}

/// Different characters at most: two random bytes choose among them.
const MAX_ALPHABET: usize = 4096;
const MAX_RULES: usize = 100;
/// Characters drawn for one password at most: about a tenth of a second.
const MOST_DRAWN: usize = 1 << 22;

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(text: &str) -> PasswordPolicy {
        PasswordPolicy::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn password_is_as_long_and_of_such_characters_as_the_policy_says() {
        let text = r#"
            length = 20
            rule "charset" { charset = "abc" min-chars = 3 }
            rule "charset" { charset = "日本" min-chars = 1 }
            rule "charset" { charset = "aa1" }
        "#;
        let policy = policy(text);
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let password = policy.password().unwrap().unwrap();
            assert_eq!(password.chars().count(), 20);
            assert!(password.chars().filter(|c| "abc".contains(*c)).count() >= 3, "{}", password.as_str());
            assert!(password.contains(['日', '本']));
            seen.extend(password.chars());
        }
        assert_eq!(seen.into_iter().collect::<String>(), "1abc日本");
    }

    #[test]
    fn policy_in_json_is_read_like_one_in_hcl() {
        for text in [
            r#"{"length": 5, "rule": {"charset": {"charset": "a", "min-chars": 1}}}"#,
            r#"{"length": 5.9, "rule": [{"charset": {"charset": "a"}}, {"charset": {"charset": "a"}}]}"#,
            r#"{"length": 5, "rule": [{"charset": [{"charset": "a"}]}, {"charset": [{"charset": "a"}]}]}"#,
            "Length = 5\nother = true\nrule \"charset\" { Charset = \"a\" min-chars = -1 other = 1 }",
        ] {
            assert_eq!(policy(text).password().unwrap().unwrap().as_str(), "aaaaa", "{text}");
        }
    }

    #[test]
    fn policy_that_makes_no_sense_is_refused() {
        for (text, why) in [
            ("junk {", "unable to decode: "),
            (r#"{"length": 5, "rule": [{"charset": {}}, {"charset": [{"charset": "a"}]}]}"#, "unable to decode: "),
            ("rule \"charset\" { charset = \"a\" }", "length must be > 0"),
            ("length = -1\nrule \"charset\" { charset = \"a\" }", "length must be > 0"),
            ("length = \"5\"", "'length' expected type 'int'"),
            ("length = 5", "no charset specified"),
            ("length = 5\nrule \"charset\" \"x\" { charset = \"a\" }", "no charset specified"),
            ("length = 5\nrule \"charset\" { charset = 5 }", "unable to parse rules: unable to parse rule charset: "),
            ("length = 5\nrule \"other\" { }", "unrecognized rule type other"),
            ("length = 5\nrule = \"x\"", "unable to retrieve rules: "),
            ("length = 5\nrule \"charset\" { charset = \"a\\u0001\" }", "non-printable"),
            ("length = 5\nrule \"charset\" { charset = \"a\" min-chars = 6 }", "at least 6 characters but 5"),
        ] {
            let refused = PasswordPolicy::parse(text).unwrap_err();
            assert!(refused.contains(why), "{text}: {refused}");
        }
        let many = "rule \"charset\" { charset = \"a\" }\n".repeat(MAX_RULES + 1);
        assert!(PasswordPolicy::parse(&format!("length = 5\n{many}")).is_err());
    }

    #[test]
    fn password_of_which_there_is_hardly_one_is_given_up() {
        let rare = "rule \"charset\" { charset = \"abcdefgh\" }\nrule \"charset\" { charset = \"Z\" min-chars = 99 }";
        assert!(policy(&format!("length = 100\n{rare}")).password().unwrap().is_none());
    }
}
