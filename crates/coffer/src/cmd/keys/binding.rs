//! What a ciphertext or a signature is bound to beside its key; and base64, which the API carries bytes in.

use base64::{Engine, engine::general_purpose::STANDARD};
use clap::Args;
use coffer_api::Sensitive;
use zeroize::Zeroizing;

use super::encrypt::value_of;
use crate::{
    failure::{Exit, Failure},
    given::{self, Given},
    session::Session,
};

/// Options of what is bound.
#[derive(Args)]
pub(super) struct Binding {
    #[command(flatten)]
    context: Context,
    /// What the ciphertext is bound to, and is needed to decrypt it; @FILE takes it from a file
    #[arg(long, value_name = "TEXT", value_parser = given::parse)]
    associated_data: Option<Given>,
}

/// Option of a derived key's context.
#[derive(Args)]
pub(super) struct Context {
    /// Which key of a derived one; @FILE takes it from a file
    #[arg(long, value_name = "TEXT", value_parser = given::parse)]
    context: Option<Given>,
}

/// A short value that a command takes as a whole.
#[derive(Args)]
pub(super) struct Value {
    /// The value; - takes it from stdin, @FILE from a file, and without it it is asked for
    #[arg(long, value_name = "VALUE", value_parser = given::parse)]
    value: Option<Option<Given>>,
    /// Drop one line break at the end of the value
    #[arg(long)]
    trim: bool,
}

impl Value {
    /// Its bytes in base64.
    ///
    /// # Errors
    /// Where they cannot be had.
    pub(super) fn encoded(&self, session: &Session) -> Result<Sensitive<String>, Failure> {
        Ok(encode(&value_of(session, self.given(), self.trim)?))
    }

    /// Whether it comes from stdin, so that nothing else can.
    pub(super) fn is_stdin(&self) -> bool {
        matches!(self.given(), Some(Given::Stdin))
    }

    fn given(&self) -> Option<&Given> {
        self.value.as_ref().and_then(Option::as_ref)
    }
}

impl Binding {
    /// Context and associated data in base64.
    ///
    /// # Errors
    /// Where one cannot be read, or is to come from stdin.
    pub(super) fn encoded(&self) -> Result<(Option<String>, Option<String>), Failure> {
        Ok((self.context.encoded()?, encoded(self.associated_data.as_ref(), "--associated-data")?))
    }
}

impl Context {
    /// The context in base64.
    ///
    /// # Errors
    /// As [`Binding::encoded`].
    pub(super) fn encoded(&self) -> Result<Option<String>, Failure> {
        encoded(self.context.as_ref(), "--context")
    }
}

/// Bytes as the API takes them.
pub(super) fn encode(bytes: &[u8]) -> Sensitive<String> {
    Sensitive::new(STANDARD.encode(bytes))
}

/// Bytes as the API gives them.
///
/// # Errors
/// Where it is no base64.
pub(super) fn decode(text: &Sensitive<String>) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let bytes = STANDARD.decode(text.expose()).map(Zeroizing::new);
    bytes.map_err(|_| Failure::new(Exit::Server, "the server's reply holds no base64 where it should"))
}

fn encoded(given: Option<&Given>, option: &str) -> Result<Option<String>, Failure> {
    match given {
        None => Ok(None),
        Some(Given::Stdin) => Err(Failure::local(format!("{option} does not come from stdin")).hint("use @FILE")),
        Some(given @ (Given::File(_) | Given::Inline(_))) => Ok(Some(STANDARD.encode(&*given.bytes()?))),
    }
}
