//! Logical paths of what can be asked for in several spellings: names in any case, mounts with and without their final
//! slash. Policies decide about a path as it was sent, as they do everywhere: what is granted or denied of one spelling
//! is that of no other. Records name the thing itself, however it was asked for.

/// The logical path of a thing as it was sent, and the thing's own.
#[derive(Clone, Debug)]
pub(crate) struct Spelled {
    sent: String,
    own: String,
}

/// A logical path as policies are asked about it.
#[derive(Clone, Copy)]
pub(crate) struct Logical<'p>(&'p str);

impl Spelled {
    /// A path nothing in which has case; the thing's own has small letters.
    pub(crate) fn in_any_case(sent: &str) -> Self {
        Self { sent: sent.to_owned(), own: sent.to_lowercase() }
    }

    /// The path of something that is found with and without a slash at the end; the thing's own has none.
    pub(crate) fn with_slash(sent: &str) -> Self {
        Self { sent: sent.to_owned(), own: sent.trim_end_matches('/').to_owned() }
    }

    /// As it was sent.
    pub(crate) fn sent(&self) -> &str {
        &self.sent
    }
}

impl<'p> Logical<'p> {
    /// As it was sent.
    pub(crate) fn sent(self) -> &'p str {
        self.0
    }
}

/// Records name the thing itself; how it was asked for is among the facts of their request.
impl From<&Spelled> for String {
    fn from(path: &Spelled) -> Self {
        path.own.clone()
    }
}

impl<'p> From<&'p Spelled> for Logical<'p> {
    fn from(path: &'p Spelled) -> Self {
        Self(&path.sent)
    }
}

impl<'p> From<&'p String> for Logical<'p> {
    fn from(path: &'p String) -> Self {
        Self(path)
    }
}

impl<'p> From<&'p str> for Logical<'p> {
    fn from(path: &'p str) -> Self {
        Self(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_see_what_was_sent_and_records_the_thing_itself() {
        for (path, sent, own) in [
            (Spelled::in_any_case("a/Web"), "a/Web", "a/web"),
            (Spelled::with_slash("sys/mounts/KV/"), "sys/mounts/KV/", "sys/mounts/KV"),
        ] {
            assert_eq!((Logical::from(&path).sent(), String::from(&path).as_str()), (sent, own));
        }
    }
}
