//! Commands that need no server and know the core's formats and rules instead.

pub(crate) mod audit_verify;
pub(crate) mod policy_test;
