//! Rules as gitleaks' users write them: TOML with `[[rules]]`, allowlists of the new and the old form, and `[extend]`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Deserialize;

use crate::{
    allow::{Allowlist, Needs, Target},
    error::Error,
    pattern::Pattern,
    rule::{Rule, Rules},
};

/// What is read and merged, not yet made ready.
#[derive(Default)]
pub(crate) struct Config {
    rules: Vec<RawRule>,
    allowlists: Vec<RawAllowlist>,
    notes: Vec<String>,
}

#[derive(Deserialize)]
struct RawConfig {
    #[serde(default)]
    extend: RawExtend,
    #[serde(default)]
    rules: Vec<RawRule>,
    #[serde(default, alias = "allowList")]
    allowlist: Option<RawAllowlist>,
    #[serde(default)]
    allowlists: Vec<RawAllowlist>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawExtend {
    #[serde(default, alias = "usedefault")]
    use_default: bool,
    #[serde(default)]
    path: String,
    #[serde(default)]
    url: String,
    #[serde(default, alias = "disabledrules")]
    disabled_rules: Vec<String>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawRule {
    #[serde(default)]
    id: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    regex: String,
    #[serde(default, alias = "secretgroup")]
    secret_group: usize,
    #[serde(default)]
    entropy: f64,
    #[serde(default)]
    path: String,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default, alias = "allowList")]
    allowlist: Option<RawAllowlist>,
    #[serde(default)]
    allowlists: Vec<RawAllowlist>,
    /// Rules that must have found something near by.
    #[serde(default)]
    required: Vec<toml::Table>,
    #[serde(default, alias = "skipreport")]
    skip_report: bool,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawAllowlist {
    #[serde(default)]
    condition: String,
    #[serde(default)]
    commits: Vec<String>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    regexes: Vec<String>,
    #[serde(default, alias = "regextarget")]
    regex_target: String,
    #[serde(default, alias = "stopWords")]
    stopwords: Vec<String>,
    #[serde(default, alias = "targetrules")]
    target_rules: Vec<String>,
}

/// Coffer's own.
///
/// # Errors
/// None that a test would not have met.
pub(crate) fn builtin() -> Result<Config, Error> {
    parse(Path::new("coffer's own rules"), BUILTIN, 0)
}

/// A file's, with what it extends.
///
/// # Errors
/// Where one of the files cannot be read or makes no sense.
pub(crate) fn read(path: &Path) -> Result<Config, Error> {
    read_at(path, 0)
}

/// A text's by itself: it extends coffer's own at most.
///
/// # Errors
/// Where it makes no sense, or names another file.
pub(crate) fn text(text: &str) -> Result<Config, Error> {
    parse(Path::new("a text"), text, MAX_DEPTH)
}

fn read_at(path: &Path, depth: u8) -> Result<Config, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let wrong = |what: String| Error::Rule { of: path.display().to_string(), what };
    // One that a file names on its own must not be without end, nor wait for somebody to write.
    if depth > 0 && !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(wrong("it is no file".to_owned()));
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(failed)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(wrong("it is longer than 16 MiB".to_owned()));
    }
    let text = String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8".to_owned()))?;
    parse(path, &text, depth)
}

fn parse(path: &Path, text: &str, depth: u8) -> Result<Config, Error> {
    let raw: RawConfig = toml::from_str(text).map_err(|source| match depth {
        0 => Error::Config { path: path.to_owned(), source: Box::new(source) },
        // Any file can be named there, and who names it may read what is said: nothing of it is.
        _ => {
            let before = source.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            Error::Rule { of: path.display().to_string(), what: format!("line {line} is not as in a file of rules") }
        }
    })?;
    let wrong = |what: &str| Error::Rule { of: path.display().to_string(), what: what.to_owned() };
    let mut own = Config { rules: raw.rules, ..Config::default() };
    own.allowlists = either(raw.allowlist, raw.allowlists, &path.display().to_string())?;
    for rule in &mut own.rules {
        let named = if rule.id.is_empty() { "a rule without an id".to_owned() } else { format!("rule {}", rule.id) };
        rule.allowlists = either(rule.allowlist.take(), std::mem::take(&mut rule.allowlists), &named)?;
        if !rule.required.is_empty() || rule.skip_report {
            own.notes
                .push(format!("{named}: 'required' and 'skipReport' mean nothing here: it finds all that it matches"));
            rule.required.clear();
        }
    }
    if !raw.extend.url.is_empty() {
        own.notes.push(format!("{}: 'extend.url' is not fetched", path.display()));
    }
    let base = match (raw.extend.use_default, raw.extend.path.as_str()) {
        (false, "") => return Ok(own),
        (true, "") => builtin()?,
        (false, other) if depth < MAX_DEPTH => read_at(&PathBuf::from(other), depth + 1)?,
        (false, _) => return Err(wrong("files extend each other more than 8 deep, or in a circle")),
        (true, _) => return Err(wrong("extend names both useDefault and path")),
    };
    Ok(own.over(base, &raw.extend.disabled_rules))
}

/// The old form or the new one.
fn either(old: Option<RawAllowlist>, new: Vec<RawAllowlist>, of: &str) -> Result<Vec<RawAllowlist>, Error> {
    match (old, new.is_empty()) {
        (None, _) => Ok(new),
        (Some(old), true) => Ok(vec![old]),
        (Some(_), false) => {
            Err(Error::Rule { of: of.to_owned(), what: "it has both 'allowlist' and 'allowlists'".to_owned() })
        }
    }
}

impl Config {
    /// This one's word before that of what it extends.
    fn over(mut self, base: Self, disabled: &[String]) -> Self {
        let mut own: BTreeMap<String, RawRule> =
            self.rules.iter().map(|rule| (rule.id.clone(), rule.clone())).collect();
        let mut rules = Vec::new();
        for inherited in base.rules.into_iter().filter(|rule| !disabled.contains(&rule.id)) {
            match own.remove(&inherited.id) {
                Some(rule) => rules.push(rule.over(inherited)),
                None => rules.push(inherited),
            }
        }
        rules.extend(self.rules.into_iter().filter(|rule| own.contains_key(&rule.id)));
        self.rules = rules;
        self.allowlists.extend(base.allowlists);
        self.notes.extend(base.notes);
        self
    }

    /// Rules for an engine.
    ///
    /// # Errors
    /// Where a rule makes no sense by itself.
    pub(crate) fn ready(self) -> Result<Rules, Error> {
        let mut rules = Vec::with_capacity(self.rules.len());
        for raw in self.rules {
            rules.push(raw.ready()?);
        }
        let mut allowlists = Vec::new();
        for raw in self.allowlists {
            if raw.target_rules.is_empty() {
                allowlists.push(raw.ready("an allowlist")?);
                continue;
            }
            for id in &raw.target_rules {
                let rule = rules.iter_mut().find(|rule: &&mut Rule| *rule.id == **id).ok_or_else(|| Error::Rule {
                    of: "an allowlist".to_owned(),
                    what: format!("it targets the rule {id}, which there is not"),
                })?;
                rule.allowlists.push(raw.ready("an allowlist")?);
            }
        }
        Rules::new(rules, allowlists, self.notes)
    }
}

impl RawRule {
    fn over(self, base: Self) -> Self {
        let text = |own: String, base: String| if own.is_empty() { base } else { own };
        let both = |base: Vec<String>, own: Vec<String>| base.into_iter().chain(own).collect();
        Self {
            id: base.id,
            description: text(self.description, base.description),
            regex: text(self.regex, base.regex),
            secret_group: if self.secret_group == 0 { base.secret_group } else { self.secret_group },
            entropy: if self.entropy == 0.0 { base.entropy } else { self.entropy },
            path: text(self.path, base.path),
            keywords: both(base.keywords, self.keywords),
            tags: both(base.tags, self.tags),
            allowlists: base.allowlists.into_iter().chain(self.allowlists).collect(),
            ..Self::default()
        }
    }

    fn ready(self) -> Result<Rule, Error> {
        let of = format!("rule {}", self.id);
        if self.id.trim().is_empty() {
            let what = format!("a rule has no id: {:?}", self.description);
            return Err(Error::Rule { of: "the rules".to_owned(), what });
        }
        if self.regex.is_empty() && self.path.is_empty() {
            return Err(Error::Rule { of, what: "it has neither a regex nor a path".to_owned() });
        }
        let pattern = |text: String| (!text.is_empty()).then(|| Pattern::new(text));
        let allowlists = self.allowlists.iter().map(|list| list.ready(&of)).collect::<Result<_, _>>()?;
        let keywords = self.keywords.iter().map(|word| word.to_lowercase()).filter(|word| !word.is_empty());
        Ok(Rule {
            id: Arc::from(self.id),
            description: Arc::from(self.description),
            regex: pattern(self.regex),
            secret_group: self.secret_group,
            entropy: (self.entropy != 0.0).then_some(self.entropy),
            path: pattern(self.path),
            keywords: keywords.collect(),
            tags: Arc::from(self.tags),
            allowlists,
        })
    }
}

impl RawAllowlist {
    fn ready(&self, of: &str) -> Result<Allowlist, Error> {
        let wrong = |what: String| Error::Rule { of: of.to_owned(), what };
        if self.commits.is_empty() && self.paths.is_empty() && self.regexes.is_empty() && self.stopwords.is_empty() {
            return Err(wrong("an allowlist has no commits, paths, regexes or stopwords".to_owned()));
        }
        let needs = match self.condition.to_uppercase().as_str() {
            "" | "OR" | "||" => Needs::Any,
            "AND" | "&&" => Needs::All,
            _ => return Err(wrong(format!("an allowlist's condition is AND or OR, not {:?}", self.condition))),
        };
        let target = match self.regex_target.as_str() {
            "" | "secret" => Target::Secret,
            "match" => Target::Match,
            "line" => Target::Line,
            other => return Err(wrong(format!("an allowlist's regexTarget is secret, match or line, not {other:?}"))),
        };
        let patterns = |texts: &[String]| texts.iter().map(Pattern::new).collect();
        Ok(Allowlist {
            needs,
            commits: self.commits.iter().map(|commit| commit.trim().to_lowercase()).collect(),
            paths: patterns(&self.paths),
            regexes: patterns(&self.regexes),
            target,
            stopwords: Allowlist::words(of, &self.stopwords)?,
        })
    }
}

const BUILTIN: &str = include_str!("rules.toml");

/// Files that extend one another.
const MAX_DEPTH: u8 = 8;

/// Bytes of a file with rules.
const MAX_FILE: u64 = 16 << 20;
