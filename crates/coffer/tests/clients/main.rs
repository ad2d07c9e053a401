//! Programs that others wrote for Vault, against Coffer: tables of every call of theirs that is in scope, each with its
//! success and its refusal. With `COFFER_ORACLE=1` the same tables run against OpenBao, which every row must pass too.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, unreachable_pub, reason = "a test fails by panicking")]

mod agent;
mod bao;
mod programs;
mod servers;
mod tls;
