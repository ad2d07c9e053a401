//! Policies: list, read, write, delete.

use std::cmp::Ordering;

use coffer_api::{Page, policy::PolicyText};

use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec,
    commit::Edit,
    engine::kv::list::MAX_LISTED,
    keys,
    ops::list::ListPart,
    policies::{ADMINISTRATOR, PolicyRow, RESPONSE_WRAPPING, ROOT},
    policy::{Operation, Parameters, Policy, builtin},
};

/// Names that no text may be stored under.
const FIXED: [&str; 2] = [RESPONSE_WRAPPING, ROOT];
/// Largest text, in bytes.
const MAX_TEXT: usize = 1 << 20;

/// Which policies a list names, in what order.
#[derive(Clone, Copy, Debug)]
pub enum PolicyNames<'a> {
    /// All of them, `root` among the others.
    All,
    /// Those that begin so, and `root` after all others.
    Below(&'a str),
}

impl PolicyNames<'_> {
    fn has(self, name: &str) -> bool {
        match self {
            Self::All => true,
            Self::Below(start) => name.starts_with(start),
        }
    }

    fn order(self, one: &str, other: &str) -> Ordering {
        match self {
            Self::All => one.cmp(other),
            Self::Below(_) => (one == ROOT, one).cmp(&(other == ROOT, other)),
        }
    }
}

impl Caller {
    /// Names of policies, `root` included.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list (or, where `operation` says so, read) on `path`.
    pub async fn policy_list(
        &self,
        operation: Operation,
        path: &str,
        which: PolicyNames<'_>,
        part: ListPart<'_>,
    ) -> Result<Page<String>, Error> {
        self.recorded(self.record("policy.list", path), async {
            let part = self.authorise_part(path, operation, part, MAX_LISTED)?;
            let mut names = self.active.policies.names();
            names.push(ROOT.to_owned());
            names.retain(|name| which.has(name));
            names.sort_unstable_by(|one, other| which.order(one, other));
            let part = part.of_ordered(names, String::as_str, |one, other| which.order(one, other))?;
            Ok(Done::Unlogged(part))
        })
        .await
    }

    /// A policy's text; `root` has none.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/policies/acl/{name}`; [`coffer_api::Code::NotFound`] where
    /// there is no such policy.
    pub async fn policy_read(&self, name: &str, family: &str) -> Result<PolicyText, Error> {
        let name = name.to_lowercase();
        let path = format!("{family}{name}");
        self.recorded(self.record("policy.read", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            if name == ROOT {
                return Ok(Done::Unlogged(PolicyText { name: name.clone(), policy: String::new() }));
            }
            if name == RESPONSE_WRAPPING {
                let policy = builtin::RESPONSE_WRAPPING.to_owned();
                return Ok(Done::Unlogged(PolicyText { name: name.clone(), policy }));
            }
            let found = self.active.row::<PolicyRow>(&row(&name)?).await?.ok_or_else(Error::not_found)?;
            Ok(Done::Unlogged(PolicyText { name: name.clone(), policy: found.value.text }))
        })
        .await
    }

    /// Writes a policy.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `sys/policies/acl/{name}`; [`coffer_api::Code::Invalid`] where
    /// the text does not parse or asks for what Coffer does not enforce.
    pub async fn policy_write(
        &self,
        name: &str,
        family: &str,
        text: &str,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let name = name.to_lowercase();
        let path = format!("{family}{name}");
        let record = self.record("policy.write", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Update, parameters)?;
            if FIXED.contains(&name.as_str()) {
                return Err(Error::invalid(format!("cannot update {name:?} policy")));
            }
            if text.is_empty() {
                return Err(Error::invalid("'policy' parameter not supplied or empty"));
            }
            if text.len() > MAX_TEXT {
                return Err(Error::new(coffer_api::Code::TooLarge, "a policy has at most 1 MiB"));
            }
            let policy = Policy::parse(&name, text)
                .map_err(|error| Error::invalid(format!("failed to parse policy: {error}")))?;
            let row = row(&name)?;
            let mut edit = Edit::under(self.active.locks.lock(&[&row]).await);
            self.active.policies.check_room(&name)?;
            let stored = PolicyRow { text: text.to_owned(), updated_ms: self.active.clock.now() };
            edit.put(row, codec::encode(&stored)?, None);
            edit.in_force(move |active| {
                active.policies.put(&name, policy);
                active.authority_changed();
            });
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// Deletes a policy; nothing there is no error.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on `sys/policies/acl/{name}`; [`coffer_api::Code::Invalid`] for
    /// `root`, `default`, `administrator` and `response-wrapping`.
    pub async fn policy_delete(&self, name: &str, family: &str) -> Result<(), Error> {
        self.delete_policy(name, family, || Ok(())).await
    }

    /// As [`Caller::policy_delete`], natively.
    ///
    /// # Errors
    /// As there, and [`coffer_api::Code::NotFound`] where there is no such policy.
    pub async fn policy_delete_existing(&self, name: &str) -> Result<(), Error> {
        let missing = || Err(Error::new(coffer_api::Code::NotFound, format!("there is no policy {name}")));
        self.delete_policy(name, "sys/policies/acl/", missing).await
    }

    async fn delete_policy(
        &self,
        name: &str,
        family: &str,
        missing: impl FnOnce() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let name = name.to_lowercase();
        let path = format!("{family}{name}");
        let record = self.record("policy.delete", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Delete, &())?;
            if name == "default" {
                return Err(Error::invalid("cannot delete default policy"));
            }
            if FIXED.contains(&name.as_str()) {
                return Err(Error::invalid(format!("cannot delete {name:?} policy")));
            }
            if name == ADMINISTRATOR {
                return Err(Error::invalid(
                    "cannot delete \"administrator\" policy: it is what recovery gives back; change it instead",
                ));
            }
            let row = row(&name)?;
            let guard = self.active.locks.lock(&[&row]).await;
            if self.active.policies.find(&name).is_none() {
                return missing().map(Done::Unlogged);
            }
            let mut edit = Edit::under(guard);
            edit.delete(row, None);
            edit.in_force(move |active| {
                active.policies.remove(&name);
                active.authority_changed();
            });
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }
}

impl Active {
    /// Reads and parses every stored policy.
    pub(crate) async fn load_policies(&self) -> Result<(), Error> {
        self.each(keys::POLICY, |key, stored: PolicyRow| {
            let name = key.strip_prefix(keys::POLICY).unwrap_or(key);
            let policy = Policy::parse(name, &stored.text).map_err(|error| codec::damaged(key, error))?;
            self.policies.put(name, policy);
            Ok(())
        })
        .await
    }
}

/// The row of a policy.
pub(crate) fn row(name: &str) -> Result<String, Error> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return Err(Error::invalid("a policy's name has 1 to 256 printable bytes"));
    }
    Ok(format!("{}{name}", keys::POLICY))
}
