//! Proof under stress: the built program, driven as a process over HTTP, killed, stopped, starved of disk and lied to
//! about the time, on SQLite and on PostgreSQL. What must hold afterwards is in ARCHITECTURE.md, "Invariants".
#![allow(
    clippy::as_conversions,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

mod audit_log;
mod failpoints;
mod http;
mod kill;
mod load;
mod node;
mod wait;

#[path = "../../../storage/tests/postgres_server/mod.rs"]
mod postgres_server;
