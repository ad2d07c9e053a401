//! The Vault dialect under `/v1/`: lenient in, enveloped out. It only translates; every rule is the core's.

mod approle;
mod call;
mod capabilities;
mod cors;
mod cubbyhole;
pub(crate) mod envelope;
mod help;
mod identity;
mod ignored;
mod kv;
mod kv1;
mod leases;
pub(crate) mod lenient;
mod root_token;
mod rotate;
mod router;
mod seal;
mod status;
mod sys;
mod token;
mod token_parameters;
mod token_role;
pub(crate) mod tools;
pub(crate) mod transit;
mod userpass;
pub(crate) mod wrapping;

pub(crate) use self::router::{answer, is_native_alias};
