//! Proof under stress: the built program, driven as a process over HTTP, killed, stopped, starved of disk and lied to
//! about the time, on SQLite and on PostgreSQL. What must hold afterwards is in ARCHITECTURE.md, "Invariants".
#![allow(
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::print_stdout,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and says what it saw"
)]

mod audit_log;
mod backup;
mod canary;
mod clock;
mod disk_full;
mod durability;
mod failpoints;
mod flood;
mod golden;
mod http;
mod keys;
mod kill;
mod load;
mod local;
mod newcomer;
mod node;
mod nodes;
mod process;
mod scrub;
mod seal;
mod together;
mod uses;
mod wait;

#[path = "../../../storage/tests/postgres_server/mod.rs"]
mod postgres_server;
