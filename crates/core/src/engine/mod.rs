//! Engines: what answers below a mount.

pub(crate) mod kv;
