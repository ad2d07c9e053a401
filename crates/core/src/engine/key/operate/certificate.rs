//! Certificates of keys: requests that they sign, and the chains that come of them.

use coffer_crypto::{
    certificate::{Certificate, request},
    keys::{PublicKey, Usage},
};
use coffer_storage::Expect;

use super::{
    super::{create::key_record, entry::KeyEntry, public_row, view::KeyView},
    KeyOperation,
    cipher::require_private,
    key_not_found, note_key, pem,
};
use crate::{
    Caller, Error,
    active::Found,
    caller::Done,
    codec,
    commit::{Edit, Logged},
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// Certificates of one version at most.
const MAX_CHAIN: usize = 16;
/// Bytes of PEM at most.
const MAX_PEM: usize = 256 << 10;

impl Caller {
    /// A certificate signing request in PEM, signed by a version (`None`: the highest): of the subject and with the
    /// attributes of the template, itself a request in PEM, or empty.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}keys/{name}/csr`; [`coffer_api::Code::NotFound`] without such
    /// a key; [`coffer_api::Code::Invalid`] for a key that does not sign, or is derived, or a template that is none;
    /// [`coffer_api::Code::KeyState`].
    pub async fn key_csr(
        &self,
        mount: &Mount,
        name: &str,
        version: Option<u32>,
        template: &str,
        parameters: &dyn Parameters,
    ) -> Result<String, Error> {
        let mut record = self.record("key.csr", format!("{}keys/{name}/csr", mount.path));
        let result = self.csr(mount, name, version, template, parameters, &mut record).await;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    /// Keeps the certificates of a version (`None`: the highest), its own first, in place of those that it had.
    ///
    /// # Errors
    /// As [`Caller::key_csr`], with update on `{mount}keys/{name}/set-certificate`; [`coffer_api::Code::Invalid`] where
    /// the first certificate is not of this version's key.
    pub async fn key_set_certificate(
        &self,
        mount: &Mount,
        name: &str,
        version: Option<u32>,
        chain: &str,
        parameters: &dyn Parameters,
    ) -> Result<KeyView, Error> {
        let record = self.record("key.set_certificate", format!("{}keys/{name}/set-certificate", mount.path));
        self.recorded(record.clone(), async {
            self.authorise(&record.path, Operation::Update, parameters)?;
            let (entry, logged) = self.set_certificate(mount, name, version, chain, record).await?;
            Ok(Done::Logged(self.active.key_view(&entry).await?, logged))
        })
        .await
    }

    async fn csr(
        &self,
        mount: &Mount,
        name: &str,
        version: Option<u32>,
        template: &str,
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<String, Error> {
        self.authorise(&record.path, Operation::Update, parameters)?;
        let key = self.active.loaded_key(mount, name).await?.ok_or_else(key_not_found)?;
        note_key(record, &key);
        check_certified(&key.entry)?;
        let asked = version.unwrap_or(key.entry.latest);
        key.entry.version(asked).ok_or_else(|| Error::invalid("could not create the csr: no such key version"))?;
        let number = key.entry.for_protect(Usage::Sign, Some(asked))?.number;
        record.version = Some(u64::from(number));
        let template = match template {
            "" => None,
            text => {
                let blocks = Some(text).filter(|text| text.len() <= MAX_PEM).and_then(|text| pem::decode_all(text, 1));
                let block = blocks.and_then(|mut blocks| blocks.pop());
                Some(block.ok_or_else(|| Error::invalid("could not decode PEM CSR"))?.der)
            }
        };
        let loaded = key.version(&self.active, number).await?;
        require_private(&loaded, KeyOperation::Sign).map_err(|_| {
            Error::invalid("could not create the csr: private key not imported for key version selected")
        })?;
        let public = self.active.public_key(&key.entry, number).await?;
        let made = request(&loaded.key, &public, template.as_ref().map(|der| der.as_slice()));
        let der = made.map_err(|error| match error {
            coffer_crypto::Error::InvalidKey(_) => Error::invalid("could not parse the CSR"),
            coffer_crypto::Error::Unsupported(why) => Error::invalid(why),
            other => other.into(),
        })?;
        Ok(pem::encode("CERTIFICATE REQUEST", &der))
    }

    async fn set_certificate(
        &self,
        mount: &Mount,
        name: &str,
        version: Option<u32>,
        chain: &str,
        record: Record,
    ) -> Result<(KeyEntry, Logged), Error> {
        let chain = read_chain(chain)?;
        let guard = self.active.key_lock(mount.id, name).await;
        let Found { value: entry, .. } = self.active.key_entry(mount.id, name).await?.ok_or_else(key_not_found)?;
        check_certified(&entry)?;
        let number = version.unwrap_or(entry.latest);
        let part = self.active.key_public_part(&entry, number).await?;
        let part = part.ok_or_else(|| chain_refused("no such key version"))?;
        let public = part.value.key(entry.algorithm)?;
        check_chain(&chain, public.spki().map_err(|_| no_certificates(&entry))?.as_slice(), &entry)?;
        let mut value = part.value;
        value.chain = chain;
        let mut edit = Edit::under(guard);
        let row = public_row(mount.id, entry.id, number);
        edit.put(row, codec::encode(&value)?, Some(Expect::Revision(part.revision)));
        let mut record = key_record(record, &entry);
        record.version = Some(u64::from(number));
        let logged = self.commit(edit, record).await?;
        Ok((entry, logged))
    }
}

fn check_certified(entry: &KeyEntry) -> Result<(), Error> {
    if !entry.algorithm.supports(Usage::Sign) {
        return Err(Error::invalid(format!("key type '{}' does not support signing", entry.algorithm.name())));
    }
    match entry.derived {
        true => Err(Error::invalid("operation not supported for keys with derivation enabled")),
        false => Ok(()),
    }
}

/// The certificates of a PEM text in DER. Blocks of other kinds do not matter.
fn read_chain(text: &str) -> Result<Vec<Vec<u8>>, Error> {
    if text.len() > MAX_PEM {
        return Err(Error::new(coffer_api::Code::TooLarge, "a certificate chain holds at most 256 KiB of PEM"));
    }
    if text.trim().is_empty() {
        return Err(Error::invalid("provided certificate chain did not contain any valid PEM encoded certificate"));
    }
    let blocks = pem::decode_all(text, MAX_CHAIN);
    let blocks = blocks.ok_or_else(|| Error::invalid("could not decode a PEM block in the certificate chain"))?;
    let chain = blocks.into_iter().filter(|block| matches!(block.label, "CERTIFICATE" | "X509 CERTIFICATE"));
    let chain: Vec<Vec<u8>> = chain.map(|block| block.der.to_vec()).collect();
    match chain.is_empty() {
        true => Err(Error::invalid("provided certificate chain did not contain any valid PEM encoded certificate")),
        false => Ok(chain),
    }
}

/// A chain begins with the key's own certificate and goes on with those of authorities.
fn check_chain(chain: &[Vec<u8>], spki: &[u8], entry: &KeyEntry) -> Result<(), Error> {
    let mut parsed = Vec::with_capacity(chain.len());
    for der in chain {
        let certificate = Certificate::parse(der);
        parsed.push(certificate.map_err(|_| Error::invalid("could not parse a certificate in the certificate chain"))?);
    }
    let Some((own, authorities)) = parsed.split_first() else { return Ok(()) };
    if own.is_authority() {
        return Err(chain_refused("certificate in the first element is not a valid leaf certificate"));
    }
    if authorities.last().is_some_and(|last| !last.is_authority()) {
        return Err(chain_refused("certificate in the last element is not a valid CA certificate"));
    }
    if authorities.iter().any(|certificate| !certificate.is_authority()) {
        return Err(chain_refused("could not validate if there is only one leaf certificate in the provided chain"));
    }
    if PublicKey::from_spki(entry.algorithm, own.spki()).is_err() {
        return Err(Error::invalid(format!(
            "failed to persist certificate chain: could not validate key match between leaf certificate key and key \
             entry in transit: provided leaf certificate public key algorithm does not match the transit key type '{}'",
            entry.algorithm.name()
        )));
    }
    match own.spki() == spki {
        true => Ok(()),
        false => Err(chain_refused("leaf certificate public key does not match the selected key version")),
    }
}

fn chain_refused(why: &'static str) -> Error {
    Error::invalid(format!("failed to persist certificate chain: {why}"))
}

fn no_certificates(entry: &KeyEntry) -> Error {
    Error::invalid(format!("there are no certificates of keys of type {}", entry.algorithm.name()))
}
