//! Paths and queries, percent-encoded.

use crate::{Error, Paging};

/// A path below the server's root, with its query.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Route {
    text: String,
    query: bool,
}

impl Route {
    /// `/api/v1/` and a fixed path.
    pub(crate) fn api(path: &'static str) -> Self {
        Self { text: format!("/api/v1/{path}"), query: false }
    }

    /// A fixed path outside the API.
    pub(crate) fn root(path: &'static str) -> Self {
        Self { text: path.to_owned(), query: false }
    }

    /// Appends `/` and one segment, encoded.
    ///
    /// # Errors
    /// [`Error::Name`] for a segment that a path would swallow.
    pub(crate) fn segment(mut self, segment: &str) -> Result<Self, Error> {
        if matches!(segment, "" | "." | "..") {
            return Err(Error::Name(segment.to_owned()));
        }
        self.text.push('/');
        encode(segment, &mut self.text);
        Ok(self)
    }

    /// Appends fixed text as it is.
    pub(crate) fn fixed(mut self, text: &'static str) -> Self {
        self.text.push_str(text);
        self
    }

    /// Appends a query parameter where there is a value.
    pub(crate) fn query(mut self, name: &'static str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            self.text.push(if self.query { '&' } else { '?' });
            self.text.push_str(name);
            self.text.push('=');
            encode(value, &mut self.text);
            self.query = true;
        }
        self
    }

    /// Appends `after` and `limit`.
    pub(crate) fn paging(self, paging: &Paging) -> Self {
        let limit = paging.limit.map(|limit| limit.to_string());
        self.query("after", paging.after.as_deref()).query("limit", limit.as_deref())
    }

    /// The whole, as the request line has it.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

/// Everything but RFC 3986's unreserved characters and `:` is encoded, byte by byte.
fn encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b':') {
            into.push(char::from(byte));
        } else {
            into.push('%');
            for digit in [byte >> 4, byte & 15] {
                into.push(char::from_digit(u32::from(digit), 16).map_or('0', |c| c.to_ascii_uppercase()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segment_with_any_byte_stays_one_segment() {
        let route = Route::api("policies").segment("a/b?c#d %e\u{e9}\n").unwrap();
        assert_eq!(route.as_str(), "/api/v1/policies/a%2Fb%3Fc%23d%20%25e%C3%A9%0A");
        for bad in ["", ".", ".."] {
            assert!(Route::api("policies").segment(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn query_of_absent_values_is_left_out() {
        let route = Route::api("tokens").query("a", None).query("b", Some("1&2")).query("c", None).query("d", Some(""));
        assert_eq!(route.as_str(), "/api/v1/tokens?b=1%262&d=");
    }
}
