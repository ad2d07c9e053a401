//! HTTP in front of the core: the native API, the Vault dialect, configuration.
//!
//! It must never hold a rule: who may do what, what is recorded and what is stored is decided in the core alone.

mod app;
mod arriving;
mod body;
pub mod config;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod in_flight;
mod listener;
mod logical;
mod native;
mod request_id;
mod run;
mod tls;
mod vault;

pub use config::{Config, Overrides};
pub use listener::SocketError;
pub use logical::logical_path;
pub use native::document as openapi_document;
pub use run::{Reloader, RunError, Server, run};
pub use tls::TlsError;
