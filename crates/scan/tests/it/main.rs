//! The scanner from outside: its rules, files of users, trees, diffs, reports.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, unreachable_pub, reason = "a test fails by panicking")]

mod config;
mod diff;
mod engine;
mod fuzz;
mod report;
mod rules;
mod sample;
mod schema;
mod tree;
