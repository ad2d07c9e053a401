//! The command line, run as a program: cases as data files (`tests/cmd/**/*.toml`, described in `case.rs`), and what needs
//! a signal, a broken pipe or a terminal.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, unreachable_pub, reason = "a test fails by panicking")]

mod backup;
mod case;
mod complete;
mod doctor;
mod env;
mod expect;
mod files;
mod keys;
mod needed;
mod node;
mod program;
mod scan;
mod server;
mod settings;
mod shares;
mod stub;
mod terminal;
mod tls;
mod tokens;
mod tutorial;
mod userpass;
mod verify;
