//! What of a mount can be changed while it answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Mount, MountKind, enable::asked_as};
use crate::{
    Caller, Error,
    caller::Done,
    codec,
    commit::Edit,
    keys,
    policy::{Operation, Parameters},
};

/// Bounds on what a mount holds: all mounts stay in memory.
const MAX_DESCRIPTION: usize = 4096;
const MAX_OPTIONS: usize = 64;
const MAX_OPTION_BYTES: usize = 512;
const MAX_NAMES: usize = 100;
const MAX_NAME_BYTES: usize = 256;

/// Settings of a mount beside its lifetimes.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Tuning {
    /// Who sees the mount without a token.
    pub listing: Listing,
    /// What a login here gives; login methods alone.
    pub token_type: LoginTokenType,
    /// Kept and shown. Only ciphertext is ever cached, and never stale, so nothing depends on it.
    pub force_no_cache: bool,
    /// Kept and shown. The log holds no keys and values of requests, so there are none to be excepted.
    pub audit_non_hmac_request_keys: Vec<String>,
    /// As for requests.
    pub audit_non_hmac_response_keys: Vec<String>,
    /// Kept and shown: none of the engines reads a header.
    pub passthrough_request_headers: Vec<String>,
    /// Kept and shown: none of the engines sets a header.
    pub allowed_response_headers: Vec<String>,
    /// Kept and shown: there is no replication that it would keep the mount out of.
    pub local: bool,
    /// Kept and shown: every value is sealed alike.
    pub seal_wrap: bool,
    /// Kept and shown: there is one source of random bytes.
    pub external_entropy_access: bool,
}

/// Who sees a mount in the list of mounts without a token.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum Listing {
    /// Nobody said: nobody.
    #[default]
    Default,
    /// Nobody.
    Hidden,
    /// Anybody.
    Unauthenticated,
}

/// Which kind of token a login gives.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum LoginTokenType {
    /// Batch tokens, whatever the method says.
    Batch,
    /// Batch tokens where the method says nothing.
    DefaultBatch,
    /// Service tokens where the method says nothing.
    #[default]
    DefaultService,
    /// Service tokens, whatever the method says.
    Service,
}

/// Changes to a mount; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct MountTune {
    /// For people.
    pub description: Option<String>,
    /// Options to set; one with an empty value is removed.
    pub options: Option<BTreeMap<String, String>>,
    /// Seconds, 0 = the system's.
    pub default_lease_ttl: Option<i64>,
    /// Seconds, 0 = the system's.
    pub max_lease_ttl: Option<i64>,
    /// Who sees the mount without a token.
    pub listing: Option<Listing>,
    /// What a login gives.
    pub token_type: Option<LoginTokenType>,
    /// See [`Tuning`].
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// See [`Tuning`].
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// See [`Tuning`].
    pub passthrough_request_headers: Option<Vec<String>>,
    /// See [`Tuning`].
    pub allowed_response_headers: Option<Vec<String>>,
}

/// What tuning came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tuned {
    /// The settings are in force.
    Settings,
    /// They are, and a KV mount keeps versions from now on.
    Versioned,
}

impl Listing {
    /// As clients write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "",
            Self::Hidden => "hidden",
            Self::Unauthenticated => "unauth",
        }
    }

    /// From what clients write.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Default, Self::Hidden, Self::Unauthenticated].into_iter().find(|listing| listing.name() == name)
    }
}

impl LoginTokenType {
    /// As clients write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Batch => "batch",
            Self::DefaultBatch => "default-batch",
            Self::DefaultService => "default-service",
            Self::Service => "service",
        }
    }

    /// From what clients write; nothing is `default-service`.
    pub fn parse(name: &str) -> Option<Self> {
        let all = [Self::Batch, Self::DefaultBatch, Self::DefaultService, Self::Service];
        if name.is_empty() { Some(Self::default()) } else { all.into_iter().find(|kind| kind.name() == name) }
    }
}

impl Caller {
    /// Changes the mount at `path` (with its final `/`), asked for as `logical`.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `logical`; [`coffer_api::Code::Invalid`] where there is no such
    /// mount, it is a fixed one, or it cannot be what is asked.
    pub async fn mount_tune(
        &self,
        logical: &str,
        path: &str,
        tune: MountTune,
        parameters: &dyn Parameters,
    ) -> Result<Tuned, Error> {
        let asked = asked_as(logical);
        let record = self.record("mount.tune", &asked);
        self.recorded(record.clone(), async {
            self.authorise(&asked, Operation::Update, parameters)?;
            let guard = self.active.locks.lock(&[keys::MOUNT]).await;
            let absent = || Error::invalid(format!("tune of path {path:?} failed: no mount entry found"));
            let mut mount = self.active.mounts.at(path).ok_or_else(absent)?.as_ref().clone();
            let tuned = mount.tune(tune)?;
            mount.used();
            let record = match tuned {
                Tuned::Settings => record,
                Tuned::Versioned => record.fact("upgraded", "kv version 2"),
            };
            let mut edit = Edit::under(guard);
            edit.put(Mount::row(path), codec::encode(&mount)?, None);
            edit.in_force(move |active| {
                active.mounts.put(mount);
                active.leftovers_asked.notify_one();
            });
            Ok(Done::Logged(tuned, self.commit(edit, record).await?))
        })
        .await
    }
}

impl Mount {
    fn tune(&mut self, tune: MountTune) -> Result<Tuned, Error> {
        if self.kind.is_fixed()
            && self.kind != MountKind::Token
            && let Some(name) = tune.first_name()
        {
            return Err(Error::invalid(format!("cannot tune parameter {name} of {}", self.path)));
        }
        if tune.token_type.is_some() && !self.path.starts_with("auth/") {
            return Err(Error::invalid("'token_type' can only be modified on auth mounts"));
        }
        if tune.token_type.is_some() && self.kind == MountKind::Token {
            return Err(Error::invalid("'token_type' cannot be set for 'token' or 'ns_token' auth mounts"));
        }
        set(&mut self.default_lease_ttl, tune.default_lease_ttl);
        set(&mut self.max_lease_ttl, tune.max_lease_ttl);
        let (default, max) = (self.default_lease_ttl, self.max_lease_ttl);
        if max != 0 && default != 0 && default > max {
            return Err(Error::invalid(format!(
                "backend max lease TTL of {max} would be less than backend default lease TTL of {default}"
            )));
        }
        let tuned = self.tune_options(tune.options.unwrap_or_default())?;
        set(&mut self.description, tune.description);
        let tuning = &mut self.tuning;
        set(&mut tuning.listing, tune.listing);
        set(&mut tuning.token_type, tune.token_type);
        set(&mut tuning.audit_non_hmac_request_keys, tune.audit_non_hmac_request_keys);
        set(&mut tuning.audit_non_hmac_response_keys, tune.audit_non_hmac_response_keys);
        set(&mut tuning.passthrough_request_headers, tune.passthrough_request_headers);
        set(&mut tuning.allowed_response_headers, tune.allowed_response_headers);
        self.check_bounds()?;
        Ok(tuned)
    }

    /// Sets options. A key without versions is stored as one with a single version, so a KV mount is versioned by
    /// being called so; there is no way back, which would lose versions.
    fn tune_options(&mut self, changes: BTreeMap<String, String>) -> Result<Tuned, Error> {
        let tuned = match (self.kind, changes.get("version").map(String::as_str)) {
            (MountKind::Generic, Some(_)) => {
                return Err(Error::invalid("secrets engine \"generic\" does not allow setting a version"));
            }
            (MountKind::KvV1, Some("2")) => Tuned::Versioned,
            (MountKind::KvV2, Some("" | "1")) => return Err(Error::invalid("cannot downgrade mount from version 2")),
            (MountKind::KvV1 | MountKind::KvV2, Some(version)) if !matches!(version, "" | "1" | "2") => {
                let shown: String = version.chars().take(100).collect();
                return Err(Error::invalid(format!("invalid version provided: {shown}")));
            }
            _ => Tuned::Settings,
        };
        if tuned == Tuned::Versioned {
            self.kind = MountKind::KvV2;
        }
        for (name, value) in changes {
            let options = self.options.get_or_insert_default();
            if value.is_empty() {
                options.remove(&name);
            } else {
                options.insert(name, value);
            }
        }
        Ok(tuned)
    }

    /// # Errors
    /// Where the mount holds more than its place in memory.
    pub(super) fn check_bounds(&self) -> Result<(), Error> {
        let options = self.options.iter().flatten();
        let long_option = options.clone().any(|(name, value)| name.len() + value.len() > MAX_OPTION_BYTES);
        let lists = [
            &self.tuning.audit_non_hmac_request_keys,
            &self.tuning.audit_non_hmac_response_keys,
            &self.tuning.passthrough_request_headers,
            &self.tuning.allowed_response_headers,
        ];
        let long_list =
            |list: &Vec<String>| list.len() > MAX_NAMES || list.iter().any(|name| name.len() > MAX_NAME_BYTES);
        if self.description.len() > MAX_DESCRIPTION
            || options.count() > MAX_OPTIONS
            || long_option
            || lists.into_iter().any(long_list)
        {
            return Err(Error::invalid(format!(
                "a mount has a description of at most {MAX_DESCRIPTION} bytes, {MAX_OPTIONS} options of \
                 {MAX_OPTION_BYTES}, and lists of {MAX_NAMES} names of {MAX_NAME_BYTES}"
            )));
        }
        Ok(())
    }
}

impl MountTune {
    /// The first setting that is given, as clients call it.
    fn first_name(&self) -> Option<&'static str> {
        [
            (self.description.is_some(), "description"),
            (self.options.is_some(), "options"),
            (self.default_lease_ttl.is_some(), "default_lease_ttl"),
            (self.max_lease_ttl.is_some(), "max_lease_ttl"),
            (self.listing.is_some(), "listing_visibility"),
            (self.token_type.is_some(), "token_type"),
            (self.audit_non_hmac_request_keys.is_some(), "audit_non_hmac_request_keys"),
            (self.audit_non_hmac_response_keys.is_some(), "audit_non_hmac_response_keys"),
            (self.passthrough_request_headers.is_some(), "passthrough_request_headers"),
            (self.allowed_response_headers.is_some(), "allowed_response_headers"),
        ]
        .into_iter()
        .find_map(|(given, name)| given.then_some(name))
    }
}

fn set<T>(setting: &mut T, change: Option<T>) {
    if let Some(change) = change {
        *setting = change;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mount::MountEnable;

    fn mount(path: &str, kind: MountKind) -> Mount {
        Mount::new(path, kind, MountEnable::default(), 0).unwrap()
    }

    fn version(version: &str) -> MountTune {
        let options = BTreeMap::from([("version".to_owned(), version.to_owned())]);
        MountTune { options: Some(options), ..MountTune::default() }
    }

    #[test]
    fn version_goes_up_and_never_down() {
        let mut kv = mount("kv/", MountKind::KvV1);
        assert_eq!(kv.tune(version("1")).unwrap(), Tuned::Settings);
        assert!(kv.tune(version("3")).is_err());
        assert_eq!((kv.kind, kv.option("version")), (MountKind::KvV1, Some("1")));
        assert_eq!(kv.tune(version("2")).unwrap(), Tuned::Versioned);
        assert_eq!((kv.kind, kv.option("version")), (MountKind::KvV2, Some("2")));
        assert_eq!(kv.tune(version("2")).unwrap(), Tuned::Settings);
        for down in ["1", ""] {
            assert!(kv.tune(version(down)).is_err());
        }
        assert!(mount("g/", MountKind::Generic).tune(version("2")).is_err());
    }

    #[test]
    fn refused_tuning_names_the_parameter() {
        let tune = MountTune { max_lease_ttl: Some(1), ..MountTune::default() };
        let refused = mount("sys/", MountKind::System).tune(tune.clone()).unwrap_err();
        assert_eq!(refused.public(), "cannot tune parameter max_lease_ttl of sys/");
        assert!(mount("sys/", MountKind::System).tune(MountTune::default()).is_ok());
        assert!(mount("auth/token/", MountKind::Token).tune(tune).is_ok());
        let typed = MountTune { token_type: Some(LoginTokenType::Batch), ..MountTune::default() };
        assert!(mount("kv/", MountKind::KvV2).tune(typed.clone()).is_err());
        assert!(mount("auth/token/", MountKind::Token).tune(typed.clone()).is_err());
        assert!(mount("auth/up/", MountKind::Userpass).tune(typed).is_ok());
    }

    #[test]
    fn mount_larger_than_its_bounds_is_refused() {
        let mut kv = mount("kv/", MountKind::KvV2);
        let names = |count: usize, len: usize| Some(vec!["x".repeat(len); count]);
        let tune = |list| MountTune { allowed_response_headers: list, ..MountTune::default() };
        assert!(kv.tune(tune(names(MAX_NAMES, MAX_NAME_BYTES))).is_ok());
        assert!(kv.tune(tune(names(MAX_NAMES + 1, 1))).is_err());
        assert!(kv.tune(tune(names(1, MAX_NAME_BYTES + 1))).is_err());
        let long = MountTune { description: Some("x".repeat(MAX_DESCRIPTION + 1)), ..MountTune::default() };
        assert!(mount("kv/", MountKind::KvV2).tune(long).is_err());
    }
}
