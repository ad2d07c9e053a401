//! Lists: which part of one is wanted, how much of it policies show at once (`pagination_limit`), and how names are read.

use std::cmp::Ordering;

use coffer_api::Page;
use serde_json::{Map, json};

use crate::{Caller, Error, active::Active, engine::kv::list::MAX_LISTED, policy::Operation, spelled::Logical};

/// Which part of a list is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListPart<'a> {
    /// Names after this one.
    pub after: &'a str,
    /// At most so many, from 1; absent where all are wanted.
    pub limit: Option<usize>,
}

/// A part that its caller may see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GrantedPart<'a> {
    pub(crate) after: &'a str,
    /// Names to be read: the limit, or one more than may be answered without any.
    pub(crate) limit: usize,
    /// What the policies show at once.
    capped: Option<usize>,
    most: usize,
}

impl Caller {
    /// Asks the policies about a part of a list. Without a limit of its own or the policies' at most `most` names are answered.
    pub(crate) fn authorise_part<'a, 'p>(
        &self,
        path: impl Into<Logical<'p>>,
        operation: Operation,
        part: ListPart<'a>,
        most: usize,
    ) -> Result<GrantedPart<'a>, Error> {
        let ListPart { after, limit } = part;
        let limit = limit.filter(|limit| *limit > 0);
        let mut parameters = Map::new();
        if let Some(limit) = limit {
            parameters.insert("limit".to_owned(), json!(limit));
        }
        if !after.is_empty() {
            parameters.insert("after".to_owned(), json!(after));
        }
        let grant = self.authorise(path, operation, &parameters)?;
        let capped = grant.pagination_limit.and_then(|most| usize::try_from(most).ok());
        let limit = limit.into_iter().chain(capped).min().unwrap_or(most + 1);
        Ok(GrantedPart { after, limit, capped, most })
    }

    /// As [`Caller::authorise_part`] with list, for names of at most [`MAX_LISTED`].
    pub(crate) fn authorise_list<'a, 'p>(
        &self,
        path: impl Into<Logical<'p>>,
        part: ListPart<'a>,
    ) -> Result<GrantedPart<'a>, Error> {
        self.authorise_part(path, Operation::List, part, MAX_LISTED)
    }
}

impl GrantedPart<'_> {
    /// A part of what is granted as a whole: the policies are not asked about it.
    pub(crate) fn narrowed(self, part: ListPart<'_>) -> GrantedPart<'_> {
        let Self { limit, capped, most, .. } = self;
        let limit = part.limit.filter(|wanted| *wanted > 0).map_or(limit, |wanted| wanted.min(limit));
        GrantedPart { after: part.after, limit, capped, most }
    }

    /// The same where the part that was asked for is for the policies alone, and all is answered that they show.
    pub(crate) fn whole(self) -> Self {
        Self { after: "", limit: self.capped.unwrap_or(self.most + 1), ..self }
    }

    /// The names of this part out of all, sorted.
    ///
    /// # Errors
    /// As [`GrantedPart::checked`].
    pub(crate) fn of(self, all: impl IntoIterator<Item = String>) -> Result<Page<String>, Error> {
        self.of_named(all, |name| name)
    }

    /// What of all has its name in this part; all are sorted by their names.
    ///
    /// # Errors
    /// As [`GrantedPart::checked`].
    pub(crate) fn of_named<T>(
        self,
        all: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> &str,
    ) -> Result<Page<T>, Error> {
        self.of_ordered(all, name, str::cmp)
    }

    /// The same where names are sorted by another order than that of their bytes; `""` comes before all of them.
    ///
    /// # Errors
    /// As [`GrantedPart::checked`].
    pub(crate) fn of_ordered<T>(
        self,
        all: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> &str,
        order: impl Fn(&str, &str) -> Ordering,
    ) -> Result<Page<T>, Error> {
        let is_after = |item: &T| order(name(item), self.after) == Ordering::Greater;
        let mut items: Vec<T> = all.into_iter().filter(is_after).collect();
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let items = self.checked(items)?;
        let next = items.last().filter(|_| more).map(|item| name(item).to_owned());
        Ok(Page { items, next })
    }

    /// These names, unless they are more than can be answered at once.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] then.
    pub(crate) fn checked<T>(self, names: Vec<T>) -> Result<Vec<T>, Error> {
        let most = self.most;
        match names.len() > most {
            true => Err(Error::invalid(format!("more than {most} names; list them in pages with after and limit"))),
            false => Ok(names),
        }
    }
}

impl Active {
    /// The part of the names under `prefix`, without the prefix.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where they are more than can be answered at once.
    pub(crate) async fn list(&self, prefix: &str, part: GrantedPart<'_>) -> Result<Page<String>, Error> {
        let mut items: Vec<String> = Vec::new();
        loop {
            let after = items.last().map_or(part.after, String::as_str);
            let page = self.names(prefix, after, part.limit.saturating_sub(items.len())).await?;
            items.extend(page.names);
            if !page.more || items.len() >= part.limit {
                let next = items.last().filter(|_| page.more).cloned();
                return Ok(Page { items: part.checked(items)?, next });
            }
        }
    }
}
