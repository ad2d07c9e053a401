//! Which servers are believed to be who they say: authorities from a PEM file, or those of the machine.

use std::sync::{Arc, OnceLock};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

/// What certificates are checked against.
pub(crate) struct Trust {
    /// `None` = the machine's.
    authorities: Option<RootCertStore>,
    /// Made when the first connection needs it.
    config: OnceLock<Arc<ClientConfig>>,
}

/// Why authorities cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Nothing in the text can be used.
    #[error("no usable PEM certificate of an authority")]
    Empty,
    /// A certificate is PEM, but not a certificate that could be an authority's.
    #[error("a certificate cannot be an authority's")]
    Unusable(#[source] rustls::Error),
}

impl Trust {
    /// The machine's authorities; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
    pub(crate) fn machine() -> Self {
        Self { authorities: None, config: OnceLock::new() }
    }

    /// The certificates of a PEM text, and no others.
    pub(crate) fn of_pem(text: &[u8]) -> Result<Self, TrustError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(text) {
            roots.add(certificate.map_err(|_| TrustError::Empty)?).map_err(TrustError::Unusable)?;
        }
        if roots.is_empty() {
            return Err(TrustError::Empty);
        }
        Ok(Self { authorities: Some(roots), config: OnceLock::new() })
    }

    /// How TLS is spoken: version 1.2 or later, certificate and name always checked.
    pub(crate) fn config(&self) -> Result<Arc<ClientConfig>, rustls::Error> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let roots = self.authorities.clone().unwrap_or_else(of_machine);
        let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}

/// A machine may have none; no server is believed then.
fn of_machine() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
