//! `coffer keys csr` and `set-certificate`.

use std::path::PathBuf;

use clap::Args;
use coffer_api::keys::{KeyCertificate, KeyCsr};

use super::missing;
use crate::{failure::Failure, input, session::Session};

/// Options of `keys csr`.
#[derive(Args)]
pub(crate) struct Csr {
    /// The key's name
    name: String,
    /// File with a request in PEM whose subject and attributes the new one has; - is stdin
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// This version instead of the highest
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
}

/// Options of `keys set-certificate`.
#[derive(Args)]
pub(crate) struct SetCertificate {
    /// The key's name
    name: String,
    /// File with certificates in PEM, the key's own first; - is stdin
    #[arg(long, value_name = "FILE")]
    chain: PathBuf,
    /// Of this version instead of the highest
    #[arg(long, value_name = "N", alias = "versions")]
    version: Option<u32>,
}

/// Makes a certificate signing request.
///
/// # Errors
/// Where the server refuses, or the file cannot be read.
pub(super) async fn csr(session: &Session, arguments: &Csr) -> Result<(), Failure> {
    let template = arguments.template.as_deref().map(|path| input::text_file(path, PEM_LIMIT)).transpose()?;
    let wanted = KeyCsr { template, version: arguments.version };
    let made = session.client()?.key_csr(&arguments.name, &wanted).await.map_err(missing)?;
    session.output.show_text(&made, |made| &made.csr)
}

/// Puts certificates on a version.
///
/// # Errors
/// Where the server refuses, or the file cannot be read.
pub(super) async fn set(session: &Session, arguments: &SetCertificate) -> Result<(), Failure> {
    let certificate =
        KeyCertificate { chain: input::text_file(&arguments.chain, PEM_LIMIT)?, version: arguments.version };
    let key = session.client()?.key_set_certificate(&arguments.name, &certificate).await.map_err(missing)?;
    session.output.note(format!("set the certificates of {}", key.name));
    Ok(())
}

/// As the server has it.
const PEM_LIMIT: usize = 256 << 10;
