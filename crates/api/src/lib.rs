//! What goes over the wire: request and reply types of the native API, shared by server and client.
//!
//! Nothing here is ever stored, and nothing here knows HTTP, cryptography or storage. The only type that
//! serialises a secret value is [`Sensitive`].

pub mod audit;
pub mod auth;
pub mod backup;
pub mod copies;
pub mod error;
pub mod generate;
pub mod id;
pub mod keys;
pub mod operator;
pub mod policy;
pub mod reference;
pub mod seal;
pub mod secrets;
pub mod sensitive;
pub mod snapshots;
pub mod token;

pub use error::{Code, Problem};
pub use id::{EntityId, Name, Page, Scope};
pub use sensitive::{HIDDEN_VALUE, HideValues, Sensitive};
