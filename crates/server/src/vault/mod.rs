//! The Vault dialect under `/v1/`: lenient in, enveloped out. It only translates; every rule is the core's.

mod approle;
mod call;
pub(crate) mod envelope;
mod identity;
mod kv;
pub(crate) mod lenient;
mod router;
mod status;
mod sys;
mod token;
mod token_parameters;
mod userpass;

pub(crate) use self::router::{answer, is_native_alias};
