//! Engines: what answers below a mount.

pub(crate) mod cubbyhole;
pub(crate) mod key;
pub(crate) mod kv;
