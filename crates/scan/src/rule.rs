//! Rules, and a set of them made ready for an engine.

use std::{path::Path, sync::Arc};

use aho_corasick::{AhoCorasick, AhoCorasickBuilder, AhoCorasickKind, MatchKind};

use crate::{
    allow::{Allowlist, Seen},
    config,
    error::Error,
    pattern::Pattern,
};

/// Every rule of a scan, its own and those of a file. Shared by threads.
pub struct Rules {
    rules: Vec<Rule>,
    allowlists: Vec<Allowlist>,
    keywords: AhoCorasick,
    /// Which rules each keyword stands for.
    of_keyword: Vec<Vec<usize>>,
    /// Rules without a keyword.
    always: Vec<usize>,
    notes: Vec<String>,
}

/// Where rules come from.
#[derive(Clone, Copy, Debug)]
pub enum Origin<'a> {
    /// Coffer's own.
    Builtin,
    /// A file in the format of gitleaks. Coffer's own are part of it where it says `[extend] useDefault = true`.
    File(&'a Path),
}

/// One kind of secret.
pub(crate) struct Rule {
    pub(crate) id: Arc<str>,
    pub(crate) description: Arc<str>,
    pub(crate) regex: Option<Pattern>,
    /// 0 = the first group that took part, or all of the match.
    pub(crate) secret_group: usize,
    /// Bits a byte that a secret must exceed.
    pub(crate) entropy: Option<f64>,
    pub(crate) path: Option<Pattern>,
    /// Lower case.
    pub(crate) keywords: Vec<String>,
    pub(crate) tags: Arc<[String]>,
    pub(crate) allowlists: Vec<Allowlist>,
}

impl Rules {
    /// Reads them, and of a file compiles each pattern.
    ///
    /// # Errors
    /// Where the file cannot be read or makes no sense.
    pub fn load(origin: Origin<'_>) -> Result<Self, Error> {
        match origin {
            Origin::Builtin => config::builtin()?.ready(),
            Origin::File(path) => {
                let rules = config::read(path)?.ready()?;
                rules.check()?;
                Ok(rules)
            }
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rules.len()
    }

    /// Id and description of each.
    pub fn names(&self) -> impl Iterator<Item = (&str, &str)> {
        self.rules.iter().map(|rule| (&*rule.id, &*rule.description))
    }

    /// What the file said that means nothing here, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Compiles every pattern, which otherwise happens when it is first needed.
    ///
    /// # Errors
    /// Where one is none, or has fewer groups than its rule asks for.
    pub fn check(&self) -> Result<(), Error> {
        for rule in &self.rules {
            let of = || format!("rule {}", rule.id);
            if let Some(path) = &rule.path {
                path.check().map_err(|source| Error::Pattern { of: of(), source })?;
            }
            if let Some(regex) = &rule.regex {
                let regex = regex.check().map_err(|source| Error::Pattern { of: of(), source })?;
                if rule.secret_group >= regex.captures_len() {
                    let what = format!("its pattern has no group {}", rule.secret_group);
                    return Err(Error::Rule { of: of(), what });
                }
            }
            rule.allowlists.iter().try_for_each(|list| list.check(&of()))?;
        }
        self.allowlists.iter().try_for_each(|list| list.check("an allowlist"))
    }

    pub(crate) fn new(rules: Vec<Rule>, allowlists: Vec<Allowlist>, notes: Vec<String>) -> Result<Self, Error> {
        let mut words: Vec<&str> = Vec::new();
        let mut of_keyword: Vec<Vec<usize>> = Vec::new();
        let mut known = std::collections::HashMap::new();
        let mut always = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            if rule.keywords.is_empty() && rule.regex.is_some() {
                always.push(index);
            }
            for keyword in &rule.keywords {
                let at = *known.entry(keyword.as_str()).or_insert_with(|| {
                    words.push(keyword);
                    of_keyword.push(Vec::new());
                    words.len() - 1
                });
                if let Some(of) = of_keyword.get_mut(at) {
                    of.push(index);
                }
            }
        }
        // As a table where it stays small: it is walked byte by byte over all that is scanned.
        let is_small = words.iter().map(|word| word.len()).sum::<usize>() < 20_000;
        let keywords = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(is_small.then_some(AhoCorasickKind::DFA))
            .build(&words)
            .map_err(|error| Error::Rule { of: "the keywords".to_owned(), what: error.to_string() })?;
        Ok(Self { rules, allowlists, keywords, of_keyword, always, notes })
    }

    pub(crate) fn rule(&self, index: usize) -> Option<&Rule> {
        self.rules.get(index)
    }

    /// The rules that may find something in a file, by their numbers; none where all of it is allowed.
    pub(crate) fn for_file(&self, path: &str, commit: Option<&str>) -> Vec<usize> {
        if self.allowlists.iter().any(|list| list.allows_file(path, commit)) {
            return Vec::new();
        }
        let applies = |rule: &Rule| {
            rule.path.as_ref().is_none_or(|pattern| pattern.is_match(path.as_bytes()))
                && !rule.allowlists.iter().any(|list| list.allows_file(path, commit))
        };
        self.rules.iter().enumerate().filter(|(_, rule)| applies(rule)).map(|(index, _)| index).collect()
    }

    /// Marks the rules whose keywords occur in a text, and those that have none.
    pub(crate) fn mark_candidates(&self, text: &[u8], marks: &mut [bool]) {
        let mut mark = |index: &usize| {
            if let Some(mark) = marks.get_mut(*index) {
                *mark = true;
            }
        };
        self.always.iter().for_each(&mut mark);
        for found in self.keywords.find_overlapping_iter(text) {
            self.of_keyword.get(found.pattern().as_usize()).into_iter().flatten().for_each(&mut mark);
        }
    }

    /// Whether a finding of a rule is allowed.
    pub(crate) fn allows(&self, rule: &Rule, seen: &Seen<'_>) -> bool {
        self.allowlists.iter().chain(&rule.allowlists).any(|list| list.allows(seen))
    }
}
