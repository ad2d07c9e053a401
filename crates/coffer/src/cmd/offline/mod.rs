//! Commands that need no server and know the core's formats and rules instead.

pub(crate) mod audit_verify;
pub(crate) mod backup;
mod log_dir;
pub(crate) mod policy_test;
