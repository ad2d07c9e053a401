//! The client against stub servers that answer, redirect, stall and break.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, unreachable_pub, reason = "tests and their stub server")]

mod calls;
mod items;
mod redirects;
mod stub;
mod tls;
mod transport;
