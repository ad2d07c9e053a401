//! The server from outside: requests over loopback against a server of each test's own.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test fails by panicking")]

mod approle;
mod audit;
mod dialects;
mod endpoints;
mod http;
mod identity;
mod keys;
mod kv;
mod local;
mod mounts;
mod native;
mod openapi;
mod policy;
mod server;
mod token;
mod userpass;
