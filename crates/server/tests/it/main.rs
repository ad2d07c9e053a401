//! The server from outside: requests over loopback against a server of each test's own.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod approle;
mod audit;
mod compatibility;
mod cubbyhole;
mod dialects;
mod endpoints;
mod fuzz;
mod hostile;
mod http;
mod identity;
mod identity_merge;
mod keys;
mod kv;
mod kv1;
mod leases;
mod local;
mod mounts;
mod mounts_tune;
mod native;
mod openapi;
mod policy;
mod policy_settings;
mod provisional;
mod root_token;
mod server;
mod shamir;
mod spelled;
mod sys;
mod tls;
mod token;
mod tools;
mod transit;
mod userpass;
mod warnings;
mod wrapping;
