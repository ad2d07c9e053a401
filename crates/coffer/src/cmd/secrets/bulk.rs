//! Many secrets at once, from a file: as a `.env` file or as JSON, one object a line.

use std::collections::HashMap;

use coffer_api::{Name, Sensitive};
use serde::Deserialize;

use crate::{
    dotenv::{Document, Interpolation},
    failure::Failure,
};

/// A line of JSON.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: Name,
    value: Sensitive<String>,
}

/// The names and values of a text; `source` is what messages call it. They never quote it.
///
/// # Errors
/// Where it is neither, with what is wrong in which line, or holds nothing.
pub(super) fn parse(text: &str, source: &str) -> Result<Vec<(Name, Sensitive<String>)>, Failure> {
    let pairs = match text.trim_start().starts_with('{') {
        true => json(text, source)?,
        false => dotenv(text, source)?,
    };
    if pairs.is_empty() {
        return Err(Failure::local(format!("{source} holds no secret")).hint(HINT));
    }
    Ok(pairs)
}

fn dotenv(text: &str, source: &str) -> Result<Vec<(Name, Sensitive<String>)>, Failure> {
    let document = Document::parse(text, Interpolation::Literal).map_err(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        Failure::local(format!("{source}: {}", faults.join("; "))).hint(HINT)
    })?;
    Ok(document.entries().map(|(_, entry)| (entry.name.clone(), entry.value.clone())).collect())
}

fn json(text: &str, source: &str) -> Result<Vec<(Name, Sensitive<String>)>, Failure> {
    let mut seen: HashMap<Name, usize> = HashMap::new();
    let mut pairs = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let number = index + 1;
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |what: &str| Failure::local(format!("{source}: line {number}: {what}")).hint(HINT);
        let Line { name, value } =
            serde_json::from_str(line).map_err(|_| wrong("no object of a secret's name and its value"))?;
        if let Some(first) = seen.insert(name.clone(), number) {
            return Err(wrong(&format!("{name} stands in line {first} already")));
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

const HINT: &str = "as a .env file, or as {\"name\":\"A\",\"value\":\"b\"} a line";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_form_is_read() {
        let read = |text: &str| -> Vec<String> {
            let pairs = parse(text, "stdin").unwrap();
            pairs.iter().map(|(name, value)| format!("{name}={}", value.expose())).collect()
        };
        assert_eq!(read("A=b\n# c\nexport C='d e'\n"), ["A=b", "C=d e"]);
        assert_eq!(read("{\"name\":\"A\",\"value\":\"b\\nc\"}\n\n {\"value\":\"\",\"name\":\"B\"}"), ["A=b\nc", "B="]);
    }

    #[test]
    fn what_is_wrong_is_told_by_its_line_and_never_quoted() {
        for bad in [
            "",
            "\n",
            "A=b\ncanary\n",
            "A='canary",
            "A=1\nA=canary",
            "{\"name\":\"A\",\"value\":\"x\"}\n{\"name\":\"A\",\"value\":\"canary\"}",
            "{\"name\":\"A\",\"value\":1}",
            "{\"name\":\"a b\",\"value\":\"canary\"}",
            "{\"name\":\"A\",\"value\":\"canary\",\"x\":1}",
            "{\"name\":\"A\",\"value\":\"canary\"",
        ] {
            let failure = parse(bad, "stdin").unwrap_err();
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
        let failure = parse("{\"name\":\"A\",\"value\":\"x\"}\n{}", "stdin").unwrap_err();
        assert!(failure.what().starts_with("stdin: line 2: "), "{failure:?}");
    }
}
