//! Operations on what belongs to no engine: policies, identity, the log, the system itself.

pub(crate) mod audit;
pub(crate) mod capabilities;
pub(crate) mod devices;
pub(crate) mod identity;
pub(crate) mod identity_find;
pub(crate) mod keys;
pub(crate) mod list;
pub(crate) mod policy;
pub(crate) mod system;
pub(crate) mod tools;
