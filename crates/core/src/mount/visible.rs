//! What of the mounts and of its own rights a client may see without a policy for it: user interfaces ask before
//! anybody has logged in, clients before they know which version of an engine they speak to.

use std::{collections::BTreeMap, sync::Arc};

use coffer_api::Code;

use super::{Listing, Mount};
use crate::{
    Caller, Context, Core, Error,
    caller::{Done, anonymous},
    policy::{Access, Operation},
    record::Record,
};

/// Everything that a caller's policies grant.
#[derive(Clone, Debug)]
pub enum ResultantAcl {
    /// Everything.
    Root,
    /// Pattern by pattern, in order; those with `+` are left out, for which clients have no place.
    Rules(Vec<GrantedPath>),
}

/// One pattern and what it holds.
#[derive(Clone, Debug)]
pub struct GrantedPath {
    /// A path, or where `exact` is not set what paths begin with.
    pub path: String,
    /// Whether it stands for one path alone.
    pub exact: bool,
    /// Names of capabilities, in order; `deny` alone where the pattern denies.
    pub capabilities: Vec<&'static str>,
}

impl Core {
    /// The mounts that are shown to anybody, for a request without a token.
    ///
    /// # Errors
    /// [`Code::RateLimited`] above the rate at which requests without a token are logged one by one: the rest is
    /// counted with the refusals.
    pub async fn mounts_shown_to_anybody(&self, cx: Context) -> Result<Vec<Arc<Mount>>, Error> {
        let active = self.active()?;
        active.may_read()?;
        if !active.refusals.is_single() {
            return Err(Error::new(Code::RateLimited, "too many requests without a token; try again"));
        }
        let record = Record::of_request("mount.list", UI_MOUNTS.to_owned(), anonymous(), &cx);
        active.log_read(&record).await?;
        let mut mounts = active.mounts.all();
        mounts.retain(|mount| mount.tuning.listing == Listing::Unauthenticated);
        Ok(mounts)
    }
}

impl Caller {
    /// The mounts where the caller may do anything at all, and those that are shown to anybody.
    ///
    /// # Errors
    /// Where this node may not answer.
    pub async fn mounts_visible(&self) -> Result<Vec<Arc<Mount>>, Error> {
        self.recorded(self.record("mount.list", UI_MOUNTS), async {
            let mut mounts = self.active.mounts.all();
            mounts.retain(|mount| mount.tuning.listing == Listing::Unauthenticated || self.has_access(mount));
            mounts.retain(|mount| !mount.is_unused());
            Ok(Done::Unlogged(mounts))
        })
        .await
    }

    /// The mount that `path` lies at or below, where the caller may do anything at all there.
    ///
    /// # Errors
    /// [`Code::Denied`] otherwise, and where there is no such mount.
    pub async fn mount_preflight(&self, path: &str) -> Result<Arc<Mount>, Error> {
        self.recorded(self.record("mount.preflight", format!("{UI_MOUNTS}/{path}")), async {
            let slashed = format!("{}/", path.trim_end_matches('/'));
            let found = self.active.mounts.resolve(&slashed);
            let refused = || {
                let message = format!(
                    "preflight capability check returned 403, please ensure client's policies grant access to path \
                     {slashed:?}"
                );
                Error::new(Code::Denied, message)
            };
            found.filter(|mount| self.has_access(mount)).map(Done::Unlogged).ok_or_else(refused)
        })
        .await
    }

    /// What the caller's policies grant.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `sys/internal/ui/resultant-acl`.
    pub async fn resultant_acl(&self) -> Result<ResultantAcl, Error> {
        let path = "sys/internal/ui/resultant-acl";
        self.recorded(self.record("capabilities.read", path), async {
            self.authorise(path, Operation::Read, &())?;
            if self.authority.acl.is_root() {
                return Ok(Done::Unlogged(ResultantAcl::Root));
            }
            let mut rules = BTreeMap::new();
            for rule in self.authority.acl.rules(self.active.clock.now()) {
                let path = match rule.exact {
                    true => rule.pattern,
                    false => rule.pattern.strip_suffix('*').unwrap_or(rule.pattern),
                };
                let segments = !rule.exact && rule.pattern.split('/').any(|segment| matches!(segment, "+" | "+*"));
                if !segments {
                    rules.insert((path.to_owned(), rule.exact), rule.capabilities.names());
                }
            }
            let rules = rules.into_iter();
            let shown = rules.map(|((path, exact), capabilities)| GrantedPath { path, exact, capabilities });
            Ok(Done::Unlogged(ResultantAcl::Rules(shown.collect())))
        })
        .await
    }

    /// Records that the caller asked which namespaces it sees. There are none but the root, which is not listed.
    ///
    /// # Errors
    /// Where this node may not answer.
    pub async fn namespaces_visible(&self) -> Result<(), Error> {
        let record = self.record("mount.list", "sys/internal/ui/namespaces");
        self.recorded(record, async { Ok(Done::Unlogged(())) }).await
    }

    fn has_access(&self, mount: &Mount) -> bool {
        self.authority.acl.any_access_under(&mount.path, self.active.clock.now()) == Access::Some
    }
}

const UI_MOUNTS: &str = "sys/internal/ui/mounts";
