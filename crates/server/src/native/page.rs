//! Pages of lists, the same everywhere: `after`, `limit`, `next`.

use coffer_api::{Page, secrets::Versions};
use coffer_core::Error;
use serde::Deserialize;
use utoipa::IntoParams;

/// Which part of a list is wanted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// Continue after this cursor.
    after: Option<String>,
    /// At most this many (1 to 1,000, default 100).
    limit: Option<u32>,
}

impl PageQuery {
    /// Cursor and limit.
    pub(super) fn named(&self) -> Result<(&str, usize), Error> {
        of(self.after.as_deref(), self.limit)
    }

    /// The same for a page of the log.
    pub(super) fn history(&self) -> Result<(Option<String>, u32), Error> {
        self.named()?;
        Ok((self.after.clone(), self.limit.unwrap_or(DEFAULT)))
    }

    /// The same where the cursor is a number; 0 at the start.
    pub(super) fn numbered(&self) -> Result<(u64, usize), Error> {
        let (after, limit) = self.named()?;
        match after {
            "" => Ok((0, limit)),
            after => {
                let after = after.parse().map_err(|_| Error::invalid("query: after is no cursor of this list"))?;
                Ok((after, limit))
            }
        }
    }
}

/// Cursor and limit, checked.
///
/// # Errors
/// Where the limit is out of range.
pub(super) fn of(after: Option<&str>, limit: Option<u32>) -> Result<(&str, usize), Error> {
    let limit = usize::try_from(limit.unwrap_or(DEFAULT)).unwrap_or(usize::MAX);
    if !(1..=MAX).contains(&limit) {
        return Err(Error::invalid(format!("query: limit is 1 to {MAX}")));
    }
    Ok((after.unwrap_or_default(), limit))
}

/// The page of a complete, ascending list that begins after a number.
pub(super) fn cut<T>(items: Vec<T>, limit: usize, number: impl Fn(&T) -> u64, after: u64) -> Page<T> {
    let mut rest = items.into_iter().filter(|item| number(item) > after);
    let items: Vec<T> = rest.by_ref().take(limit).collect();
    let next = rest.next().and_then(|_| items.last()).map(|last| number(last).to_string());
    Page { items, next }
}

/// The version numbers of a body.
///
/// # Errors
/// Where there are none or too many.
pub(super) fn versions(body: &Versions) -> Result<&[u64], Error> {
    if body.versions.is_empty() || body.versions.len() > MAX {
        return Err(Error::invalid(format!("body: 1 to {MAX} versions, not {}", body.versions.len())));
    }
    Ok(&body.versions)
}

const DEFAULT: u32 = 100;
const MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_end() {
        let all: Vec<u64> = (1..=5).collect();
        let page = |after| cut(all.clone(), 2, |n| *n, after);
        assert_eq!((page(0).items, page(0).next.as_deref()), (vec![1, 2], Some("2")));
        assert_eq!((page(2).items, page(2).next.as_deref()), (vec![3, 4], Some("4")));
        assert_eq!((page(4).items, page(4).next), (vec![5], None));
        assert_eq!(cut(all, 5, |n| *n, 0).next, None);
    }

    #[test]
    fn limit_out_of_range_is_refused() {
        assert!(of(None, Some(0)).is_err());
        assert!(of(None, Some(1001)).is_err());
        assert_eq!(of(Some("x"), None).unwrap(), ("x", 100));
        assert!(PageQuery { after: Some("x".into()), limit: None }.numbered().is_err());
    }
}
