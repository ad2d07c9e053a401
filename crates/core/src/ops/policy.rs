//! Policies: list, read, write, delete.

use std::{cmp::Ordering, sync::Arc};

use coffer_api::{Page, policy::PolicyText};

use crate::{
    Caller, Error,
    active::Active,
    caller::Done,
    codec,
    commit::{Edit, Urgency},
    engine::kv::list::MAX_LISTED,
    keys,
    ops::list::ListPart,
    policies::{ADMINISTRATOR, PolicyRow, PolicySettings, RESPONSE_WRAPPING, ROOT},
    policy::{Operation, Parameters, TemplateValues, builtin},
    record::Record,
    time::rfc3339,
    token::create::milliseconds,
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
            let mut names = self.active.policies.names(self.active.clock.now());
            names.push(ROOT.to_owned());
            names.retain(|name| which.has(name));
            names.sort_unstable_by(|one, other| which.order(one, other));
            let part = part.of_ordered(names, String::as_str, |one, other| which.order(one, other))?;
            Ok(Done::Unlogged(part))
        })
        .await
    }

    /// A policy's text, which `root` has none of, and what is set beside it.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/policies/acl/{name}`; [`coffer_api::Code::NotFound`] where
    /// there is no such policy.
    pub async fn policy_read(&self, name: &str, family: &str) -> Result<PolicyFound, Error> {
        let name = name.to_lowercase();
        let path = format!("{family}{name}");
        self.recorded(self.record("policy.read", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            let found = match name.as_str() {
                ROOT => PolicyRow::plain("", 0),
                RESPONSE_WRAPPING => PolicyRow::plain(builtin::RESPONSE_WRAPPING, 0),
                _ => self.active.stored_policy(&row(&name)?).await?.ok_or_else(Error::not_found)?,
            };
            let text = PolicyText { name: name.clone(), policy: found.text };
            Ok(Done::Unlogged(PolicyFound {
                text,
                modified: rfc3339(found.updated_ms),
                expiration: found.settings.until_ms.map(rfc3339),
                settings: found.settings,
            }))
        })
        .await
    }

    /// Writes a policy, with nothing set beside its text.
    ///
    /// # Errors
    /// As [`Caller::policy_set`].
    pub async fn policy_write(
        &self,
        name: &str,
        family: &str,
        text: &str,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let write = PolicyWrite { text: Some(text.to_owned()), ..PolicyWrite::default() };
        self.policy_set(name, family, Operation::Update, write, parameters).await
    }

    /// Writes a policy, or, with the operation patch, changes what `write` names of one that exists.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update (or patch) on `sys/policies/acl/{name}`;
    /// [`coffer_api::Code::Invalid`] where there is none to patch, where the text does not parse or asks for what Coffer
    /// does not enforce, where the policy would have ended already, and where the version is another than the one that
    /// is to be replaced, or must be named and is not.
    pub async fn policy_set(
        &self,
        name: &str,
        family: &str,
        operation: Operation,
        write: PolicyWrite,
        parameters: &dyn Parameters,
    ) -> Result<(), Error> {
        let name = name.to_lowercase();
        let path = format!("{family}{name}");
        let record = self.record("policy.write", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, operation, parameters)?;
            if FIXED.contains(&name.as_str()) {
                return Err(Error::invalid(format!("cannot update {name:?} policy")));
            }
            let row = row(&name)?;
            let mut edit = Edit::under(self.active.locks.lock(&[&row]).await);
            self.active.policies.check_room(&name)?;
            let old = self.active.stored_policy(&row).await?;
            if operation == Operation::Patch && old.is_none() {
                return Err(Error::invalid("policy not found"));
            }
            let now = self.active.clock.now();
            let stored = write.onto(old.as_ref().filter(|_| operation == Operation::Patch), now);
            check_text(&stored.text)?;
            if stored.settings.until_ms.is_some_and(|until| until <= now) {
                return Err(Error::invalid("refusing to update policy as expiration time has already elapsed"));
            }
            if stored.settings.until_ms.is_some() && name == ADMINISTRATOR {
                return Err(Error::invalid(
                    "\"administrator\" policy cannot expire: it is what recovery gives back; change it instead",
                ));
            }
            let policy =
                stored.parse(&name).map_err(|error| Error::invalid(format!("failed to parse policy: {error}")))?;
            let stored = stored.after(old.as_ref(), operation, write.cas)?;
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
            if !self.active.policies.has(&name, self.active.clock.now()) {
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
    /// The policy of a row, unless it has come to its end.
    async fn stored_policy(&self, row: &str) -> Result<Option<PolicyRow>, Error> {
        let found = self.row::<PolicyRow>(row).await?.map(|found| found.value);
        Ok(found.filter(|stored| !stored.has_ended(self.clock.now())))
    }

    /// Reads and parses every stored policy.
    pub(crate) async fn load_policies(&self) -> Result<(), Error> {
        self.each(keys::POLICY, |key, stored: PolicyRow| {
            let name = key.strip_prefix(keys::POLICY).unwrap_or(key);
            let policy = stored.parse(name).map_err(|error| codec::damaged(key, error))?;
            self.policies.put(name, policy);
            Ok(())
        })
        .await
    }
}

/// A policy as it was found.
#[derive(Clone, Debug)]
pub struct PolicyFound {
    /// Its name and text.
    pub text: PolicyText,
    /// When it was last written, RFC 3339.
    pub modified: String,
    /// The last moment at which it exists, RFC 3339.
    pub expiration: Option<String>,
    /// What is set beside the text.
    pub settings: PolicySettings,
}

/// What a write of a policy sets; a patch leaves what is absent as it is.
#[derive(Clone, Debug, Default)]
pub struct PolicyWrite {
    /// HCL or JSON of at most 1 MiB.
    pub text: Option<String>,
    /// The version that it replaces: 0 where there is none, -1 where there must be none.
    pub cas: Option<i64>,
    /// Whether later writes must name a version.
    pub cas_required: Option<bool>,
    /// When it ends.
    pub end: Option<PolicyEnd>,
    /// Whether templates take values with `*` or `+`.
    pub wildcards: Option<bool>,
    /// Whether templates take values with `/`.
    pub slashes: Option<bool>,
}

/// When a policy ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PolicyEnd {
    /// After this many seconds.
    After(u64),
    /// After this UTC millisecond.
    At(i64),
    /// Never.
    Never,
}

impl PolicyWrite {
    fn onto(&self, old: Option<&PolicyRow>, now: i64) -> PolicyRow {
        let base = old.map(|old| old.settings.clone()).unwrap_or_default();
        let until_ms = match self.end {
            Some(PolicyEnd::After(seconds)) => Some(now.saturating_add(milliseconds(seconds))),
            Some(PolicyEnd::At(at)) => Some(at),
            Some(PolicyEnd::Never) => None,
            None => base.until_ms,
        };
        let text = self.text.clone().or_else(|| old.map(|old| old.text.clone()));
        let is_used = self.cas.is_some()
            || self.cas_required.is_some()
            || self.end.is_some()
            || self.wildcards.is_some()
            || self.slashes.is_some();
        let settings = PolicySettings {
            version: base.version,
            cas_required: self.cas_required.unwrap_or(base.cas_required),
            until_ms,
            values: TemplateValues {
                wildcards: self.wildcards.unwrap_or(base.values.wildcards),
                slashes: self.slashes.unwrap_or(base.values.slashes),
            },
            is_used,
        };
        PolicyRow { text: text.unwrap_or_default(), updated_ms: now, settings }
    }
}

impl PolicyRow {
    /// As the next version after `old`, where `cas` allows that.
    fn after(mut self, old: Option<&Self>, operation: Operation, cas: Option<i64>) -> Result<Self, Error> {
        let old = old.map(|old| &old.settings);
        let current = old.map_or(0, |old| old.version);
        let must_match = self.settings.cas_required || old.is_some_and(|old| old.cas_required);
        match cas {
            // A patch goes by the version that it was made from.
            None if must_match && operation != Operation::Patch => {
                return Err(Error::invalid("check-and-set parameter required for this call"));
            }
            Some(-1) if old.is_some() => {
                return Err(Error::invalid("check-and-set parameter set to -1 on existing entry"));
            }
            Some(cas) if cas != -1 && u64::try_from(cas) != Ok(current) => {
                return Err(Error::invalid(format!(
                    "check-and-set parameter {cas} did not match the current version {current}"
                )));
            }
            None | Some(_) => {}
        }
        self.settings.version = current.saturating_add(1);
        self.settings.is_used |= old.is_some_and(|old| old.is_used);
        Ok(self)
    }
}

/// Removes policies that have come to their end. They grant nothing any more before that; this only frees the rows.
pub(crate) async fn sweep(active: &Arc<Active>) -> Result<(), Error> {
    if active.clock.is_in_doubt() {
        return Ok(());
    }
    for name in active.policies.ended(active.clock.now()) {
        let row = row(&name)?;
        let mut edit = Edit::under(active.locks.lock(&[&row]).await);
        // It may have been written anew.
        if active.stored_policy(&row).await?.is_some() {
            continue;
        }
        let record = Record::system("policy.end").fact("name", name.clone());
        edit.delete(row, None);
        edit.in_force(move |active| {
            active.policies.remove(&name);
            active.authority_changed();
        });
        active.commit(edit, record, Urgency::Ordinary).await?.spend();
    }
    Ok(())
}

fn check_text(text: &str) -> Result<(), Error> {
    if text.is_empty() {
        return Err(Error::invalid("'policy' parameter not supplied or empty"));
    }
    if text.len() > MAX_TEXT {
        return Err(Error::new(coffer_api::Code::TooLarge, "a policy has at most 1 MiB"));
    }
    Ok(())
}

/// The row of a policy.
pub(crate) fn row(name: &str) -> Result<String, Error> {
    checked_name(name)?;
    Ok(format!("{}{name}", keys::POLICY))
}

/// # Errors
/// [`coffer_api::Code::Invalid`] where a name is none that a policy may have.
pub(super) fn checked_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
        return Err(Error::invalid("a policy's name has 1 to 256 printable bytes"));
    }
    if name.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
        return Err(Error::invalid("a policy's name has no empty or relative segments"));
    }
    Ok(())
}
