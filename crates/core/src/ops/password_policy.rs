//! Password policies: kept for who makes passwords by them.

use std::sync::Arc;

use coffer_api::{Page, Sensitive};
use serde::{Deserialize, Serialize};

use crate::{
    Caller, Error,
    caller::Done,
    codec::{self, Persisted},
    commit::Edit,
    generate::policy::PasswordPolicy,
    keys,
    ops::{list::ListPart, policy::checked_name},
    policy::{Operation, Parameters},
};

/// Where they are asked for.
const AREA: &str = "sys/policies/password/";
/// Largest text, in bytes.
const MAX_TEXT: usize = 64 * 1024;
/// Characters of a password.
const LENGTHS: std::ops::RangeInclusive<usize> = 4..=100;
/// Passwords that are made of a policy before it is taken.
const TRIED: u32 = 10;

/// A password policy as it is stored (`password-policy/{name}`).
#[derive(Clone, Debug, Deserialize, Serialize)]
struct PasswordPolicyRow {
    text: String,
    updated_ms: i64,
}

impl Persisted for PasswordPolicyRow {}

impl Caller {
    /// Names of password policies, asked for as `path`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without list on `path`.
    pub async fn password_policy_list(&self, path: &str, part: ListPart<'_>) -> Result<Page<String>, Error> {
        self.recorded(self.record("password_policy.list", path), async {
            let part = self.authorise_list(path, part)?;
            Ok(Done::Unlogged(self.active.list(keys::PASSWORD_POLICY, part).await?))
        })
        .await
    }

    /// A password policy's text.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/policies/password/{name}`; [`coffer_api::Code::NotFound`]
    /// where there is no such policy.
    pub async fn password_policy_read(&self, name: &str) -> Result<String, Error> {
        let path = format!("{AREA}{name}");
        self.recorded(self.record("password_policy.read", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            Ok(Done::Unlogged(self.password_policy(name).await?.text))
        })
        .await
    }

    /// Writes a password policy. What is told beside is how few passwords fit it, where few do.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `sys/policies/password/{name}`; [`coffer_api::Code::Invalid`]
    /// where the text is no policy, or no password was found that fits it.
    pub async fn password_policy_write(
        &self,
        name: &str,
        text: &str,
        parameters: &dyn Parameters,
    ) -> Result<Option<String>, Error> {
        let path = format!("{AREA}{name}");
        let record = self.record("password_policy.write", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Update, parameters)?;
            let row = row(name)?;
            let failed = tried(text).await?;
            let mut edit = Edit::under(self.active.locks.lock(&[&row]).await);
            let stored = PasswordPolicyRow { text: text.to_owned(), updated_ms: self.active.clock.now() };
            edit.put(row, codec::encode(&stored)?, None);
            let warning = (failed > 0).then(|| {
                format!("failed to generate passwords {failed} times out of {TRIED} attempts - is the policy too restrictive?")
            });
            Ok(Done::Logged(warning, self.commit(edit, record).await?))
        })
        .await
    }

    /// Deletes a password policy; nothing there is no error.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without delete on `sys/policies/password/{name}`.
    pub async fn password_policy_delete(&self, name: &str) -> Result<(), Error> {
        let path = format!("{AREA}{name}");
        let record = self.record("password_policy.delete", &path);
        self.recorded(record.clone(), async {
            self.authorise(&path, Operation::Delete, &())?;
            let row = row(name)?;
            let guard = self.active.locks.lock(&[&row]).await;
            if self.active.row::<PasswordPolicyRow>(&row).await?.is_none() {
                return Ok(Done::Unlogged(()));
            }
            let mut edit = Edit::under(guard);
            edit.delete(row, None);
            Ok(Done::Logged((), self.commit(edit, record).await?))
        })
        .await
    }

    /// A password that fits a policy.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without read on `sys/policies/password/{name}/generate`;
    /// [`coffer_api::Code::NotFound`] where there is no such policy; [`coffer_api::Code::Invalid`] where hardly a
    /// password fits it and none was found.
    pub async fn password_generate(&self, name: &str) -> Result<Sensitive<String>, Error> {
        let path = format!("{AREA}{name}/generate");
        self.recorded(self.record("password_policy.generate", &path), async {
            self.authorise(&path, Operation::Read, &())?;
            let text = self.password_policy(name).await?.text;
            let made = tokio::task::spawn_blocking(move || {
                let policy = PasswordPolicy::parse(&text).map_err(Error::internal)?;
                policy.password()
            });
            let made = made.await.map_err(Error::internal)??;
            let password =
                made.ok_or_else(|| Error::invalid("hardly a password fits this policy, and none was found"))?;
            Ok(Done::Unlogged(Sensitive::new(password.as_str().to_owned())))
        })
        .await
    }

    async fn password_policy(&self, name: &str) -> Result<PasswordPolicyRow, Error> {
        let absent = || Error::new(coffer_api::Code::NotFound, "1 error occurred:\n\t* policy does not exist\n\n");
        let found = self.active.row::<PasswordPolicyRow>(&row(name)?).await?;
        found.map(|found| found.value).ok_or_else(absent)
    }
}

/// How many of some passwords were not found by a policy's text.
async fn tried(text: &str) -> Result<u32, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error::new(coffer_api::Code::TooLarge, "a password policy has at most 64 KiB"));
    }
    let text: Arc<str> = text.into();
    let failed = tokio::task::spawn_blocking(move || {
        let policy = PasswordPolicy::parse(&text).map_err(|why| refused(&format!("invalid password policy: {why}")))?;
        if !LENGTHS.contains(&policy.length()) {
            return Err(refused("passwords must be between 4 and 100 characters"));
        }
        let mut failed = 0;
        for _ in 0..TRIED {
            failed += u32::from(policy.password()?.is_none());
        }
        Ok::<u32, Error>(failed)
    });
    match failed.await.map_err(Error::internal)?? {
        TRIED => Err(refused("unable to generate password from provided policy: are the rules impossible?")),
        failed => Ok(failed),
    }
}

fn refused(why: &str) -> Error {
    Error::invalid(format!("1 error occurred:\n\t* {why}\n\n"))
}

fn row(name: &str) -> Result<String, Error> {
    checked_name(name)?;
    Ok(format!("{}{name}", keys::PASSWORD_POLICY))
}
