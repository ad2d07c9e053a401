//! Operations on what belongs to no engine: policies, identity, the log, the system itself.

pub(crate) mod audit;
pub(crate) mod capabilities;
pub(crate) mod devices;
pub(crate) mod identity;
pub(crate) mod identity_alias;
pub(crate) mod identity_delete;
pub(crate) mod identity_find;
pub(crate) mod identity_group;
pub(crate) mod identity_group_alias;
pub(crate) mod identity_merge;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod password_policy;
pub(crate) mod policy;
pub(crate) mod refused_write;
pub(crate) mod settings;
pub(crate) mod system;
pub(crate) mod tools;
