//! Logical paths of what can be asked for in several spellings: entities and groups by names in any case, mounts with and
//! without their final slash. Policies decide about a path as it was sent, as they do everywhere; but what they deny by
//! a thing's own path stays denied however somebody spells it.

use crate::policy::{Acl, Decision, Denial, Explanation, Operation, Request};

/// As [`Acl::explain`], and as a server decides: what policies deny by a thing's own path is denied in every spelling.
pub fn explain(acl: &Acl, request: &Request<'_>) -> Explanation {
    let mut explanation = acl.explain(request);
    let spelled = Spelled::known(&explanation.path, request.operation);
    let denied = spelled.filter(|path| path.is_denied(acl, request.operation, request.now));
    match (&explanation.decision, denied) {
        (Decision::Allow(_), Some(path)) => {
            explanation.decision = Decision::Deny(Denial::DenyRule);
            explanation.denied_as = Some(path.own);
        }
        (Decision::Allow(_) | Decision::Deny(_), _) => {}
    }
    explanation
}

/// The logical path of a thing as it was sent, and the thing's own.
#[derive(Clone, Debug)]
pub(crate) struct Spelled {
    sent: String,
    own: String,
    spelling: Spelling,
}

/// In what spellings differ.
#[derive(Clone, Copy, Debug)]
enum Spelling {
    /// Letters are capital or small; the thing's own path has small ones.
    AnyCase,
    /// There is a slash at the end or not; the thing's own path has none.
    Slash,
}

/// A logical path as policies are asked about it.
#[derive(Clone, Copy)]
pub(crate) enum Logical<'p> {
    /// There is one spelling.
    One(&'p str),
    /// There are several.
    Spelled(&'p Spelled),
}

impl Spelled {
    /// A path nothing in which has case.
    pub(crate) fn in_any_case(sent: &str) -> Self {
        Self { sent: sent.to_owned(), own: sent.to_lowercase(), spelling: Spelling::AnyCase }
    }

    /// The path of something that is found with and without a slash at the end.
    pub(crate) fn with_slash(sent: &str) -> Self {
        Self { sent: sent.to_owned(), own: sent.trim_end_matches('/').to_owned(), spelling: Spelling::Slash }
    }

    /// A path as those take it whom requests for it come to; `None` where it has one spelling. Lists have.
    fn known(sent: &str, operation: Operation) -> Option<Self> {
        match operation {
            Operation::List | Operation::Scan => return None,
            Operation::Create | Operation::Delete | Operation::Patch | Operation::Read | Operation::Update => {}
        }
        let is_below =
            |area: &str| sent.strip_prefix(area).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if ["identity/entity", "identity/group"].into_iter().any(is_below) && !ONE_SPELLING.contains(&sent) {
            Some(Self::in_any_case(sent))
        } else if ["sys/auth", "sys/mounts"].into_iter().any(is_below) {
            Some(Self::with_slash(sent))
        } else {
            None
        }
    }

    /// The thing's own path.
    pub(crate) fn own(&self) -> &str {
        &self.own
    }

    /// Whether policies deny the thing by any spelling.
    pub(crate) fn is_denied(&self, acl: &Acl, operation: Operation, now: i64) -> bool {
        match self.spelling {
            Spelling::AnyCase => acl.denies_in_any_case(&self.own, operation, now),
            // What is denied with the slash alone is not denied without it, in the original either.
            Spelling::Slash => acl.denies(&self.own, operation, now),
        }
    }
}

impl<'p> Logical<'p> {
    /// As it was sent.
    pub(crate) fn sent(self) -> &'p str {
        match self {
            Self::One(path) => path,
            Self::Spelled(path) => &path.sent,
        }
    }
}

/// Records name the thing itself; how it was asked for is among the facts of their request.
impl From<&Spelled> for String {
    fn from(path: &Spelled) -> Self {
        path.own().to_owned()
    }
}

impl<'p> From<&'p Spelled> for Logical<'p> {
    fn from(path: &'p Spelled) -> Self {
        Self::Spelled(path)
    }
}

impl<'p> From<&'p String> for Logical<'p> {
    fn from(path: &'p String) -> Self {
        Self::One(path)
    }
}

impl<'p> From<&'p str> for Logical<'p> {
    fn from(path: &'p str) -> Self {
        Self::One(path)
    }
}

/// What is done to several entities, and names none of them in its path.
const ONE_SPELLING: [&str; 2] = ["identity/entity/batch-delete", "identity/entity/merge"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Policy, Subject};

    fn acl(text: &str) -> Acl {
        let policy = Policy::parse("p", text).unwrap();
        Acl::compile([&policy], &Subject::anonymous())
    }

    #[test]
    fn name_is_denied_in_whatever_case_it_is_asked_for_or_denied() {
        for denied in ["a/web", "a/WEB", "a/w*", "a/W*"] {
            let acl = acl(&format!(
                "path \"a/*\" {{ capabilities = [\"read\"] }}\npath \"{denied}\" {{ capabilities = [\"deny\"] }}"
            ));
            for (name, is_denied) in [("web", true), ("WEB", true), ("wEb", true), ("b", false)] {
                let path = Spelled::in_any_case(&format!("a/{name}"));
                assert_eq!(path.is_denied(&acl, Operation::Read, 0), is_denied, "{name} under {denied}");
            }
        }
    }

    #[test]
    fn what_is_granted_more_closely_than_denied_is_not_denied() {
        let acl = acl(r#"
            path "a/*" { capabilities = ["deny"] }
            path "a/Web*" { capabilities = ["read"] }
            path "b/*" { capabilities = [] }
        "#);
        for (before, name, is_denied) in
            [("a/", "Web1", false), ("a/", "web1", false), ("a/", "x", true), ("b/", "x", true), ("c/", "x", false)]
        {
            let path = Spelled::in_any_case(&format!("{before}{name}"));
            assert_eq!(path.is_denied(&acl, Operation::Read, 0), is_denied, "{before}{name}");
        }
    }

    #[test]
    fn slash_is_of_no_account_for_what_is_denied() {
        let acl = acl(r#"path "sys/*" { capabilities = ["read"] }
            path "sys/mounts/kv" { capabilities = ["deny"] }"#);
        for (sent, is_denied) in [("sys/mounts/kv", true), ("sys/mounts/kv/", true), ("sys/mounts/k", false)] {
            assert_eq!(Spelled::with_slash(sent).is_denied(&acl, Operation::Read, 0), is_denied, "{sent}");
        }
    }

    #[test]
    fn explanation_of_another_spelling_denies_what_is_denied_by_its_own() {
        let acl = acl(r#"
            path "identity/*" { capabilities = ["read", "update", "list"] }
            path "identity/entity/name/ann" { capabilities = ["deny"] }
            path "identity/entity-alias/id/ann" { capabilities = ["deny"] }
            path "sys/*" { capabilities = ["read"] }
            path "sys/mounts/kv" { capabilities = ["deny"] }
        "#);
        for (path, operation, denied_as) in [
            ("identity/entity/name/Ann", Operation::Read, Some("identity/entity/name/ann")),
            ("identity/entity/name/Anna", Operation::Read, None),
            ("identity/entity-alias/id/Ann", Operation::Read, None),
            ("identity/entity/Name/", Operation::List, None),
            ("sys/mounts/kv/", Operation::Read, Some("sys/mounts/kv")),
            ("sys/mountskv", Operation::Read, None),
        ] {
            let explanation = explain(&acl, &Request { path, operation, parameters: &(), wrap_ttl: None, now: 0 });
            assert_eq!(explanation.denied_as.as_deref(), denied_as, "{path}");
            assert_eq!(explanation.decision.is_allowed(), denied_as.is_none(), "{path}");
        }
    }
}
