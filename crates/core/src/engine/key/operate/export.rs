//! What leaves: secret parts of exportable keys, public parts and certificates of all.

use base64::{Engine, engine::general_purpose::STANDARD};
use coffer_api::Code;
use coffer_crypto::{
    hash,
    keys::{Algorithm, KeyMaterial, PublicKey, Usage},
};
use zeroize::Zeroizing;

use super::{
    super::{
        entry::{KeyEntry, KeyVersion},
        store::StoredMaterial,
    },
    key_not_found,
    loaded::LoadedVersion,
    pem,
    text::{base64, text},
};
use crate::{
    Caller, Error,
    active::{Active, Found},
    caller::Done,
    mount::Mount,
    policy::Operation,
    record::Record,
};

/// What of a key is to be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExportKind {
    /// Its certificates.
    CertificateChain,
    /// The secret part of a key that encrypts.
    EncryptionKey,
    /// What makes its HMACs.
    HmacKey,
    /// The public part.
    PublicKey,
    /// The secret part of a key that signs.
    SigningKey,
}

/// How it is to be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ExportFormat {
    /// As its algorithm has it in the Vault dialect.
    Default,
    /// Base64 of PKCS#8 or SubjectPublicKeyInfo.
    Der,
    /// PEM of the same.
    Pem,
    /// Base64 of the key's own bytes.
    Raw,
}

/// Which versions.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum VersionChoice {
    /// Every one that may be shown.
    All,
    /// The highest.
    Latest,
    /// This one.
    Number(u32),
}

/// How a public key is to be shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PublicFormat {
    /// JSON Web Key.
    Jwk,
    /// SubjectPublicKeyInfo in PEM.
    Pem,
}

/// What was exported.
pub struct Exported {
    /// The key's.
    pub name: String,
    /// The key's.
    pub algorithm: Algorithm,
    /// By version; wiped on drop.
    pub keys: Vec<(u32, Zeroizing<String>)>,
}

impl ExportKind {
    const ALL: [Self; 5] =
        [Self::CertificateChain, Self::EncryptionKey, Self::HmacKey, Self::PublicKey, Self::SigningKey];

    /// The kind of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As paths name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::CertificateChain => "certificate-chain",
            Self::EncryptionKey => "encryption-key",
            Self::HmacKey => "hmac-key",
            Self::PublicKey => "public-key",
            Self::SigningKey => "signing-key",
        }
    }

    /// Whether it is what only exportable keys show.
    fn is_secret(self) -> bool {
        match self {
            Self::EncryptionKey | Self::HmacKey | Self::SigningKey => true,
            Self::CertificateChain | Self::PublicKey => false,
        }
    }

    /// # Errors
    /// Where keys of the algorithm have no such thing.
    fn check(self, algorithm: Algorithm) -> Result<(), Error> {
        if self == Self::PublicKey && !algorithm.is_asymmetric() {
            return Err(Error::invalid(format!("unknown key type {} for export type public-key", algorithm.name())));
        }
        let why = match self {
            Self::EncryptionKey if !algorithm.supports(Usage::Encrypt) && !algorithm.supports(Usage::Encapsulate) => {
                "encryption not supported for the key"
            }
            Self::SigningKey if !algorithm.supports(Usage::Sign) => "signing not supported for the key",
            Self::CertificateChain if !algorithm.supports(Usage::Sign) => {
                "certificate chain not supported for keys that do not support signing"
            }
            Self::CertificateChain | Self::EncryptionKey | Self::HmacKey | Self::PublicKey | Self::SigningKey => {
                return Ok(());
            }
        };
        Err(Error::invalid(why))
    }
}

impl ExportFormat {
    /// The format of that name; none at all is the default.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::Default),
            "der" => Some(Self::Der),
            "pem" => Some(Self::Pem),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }
}

impl VersionChoice {
    /// What it adds to a path.
    pub fn suffix(self) -> String {
        match self {
            Self::All => String::new(),
            Self::Latest => "/latest".to_owned(),
            Self::Number(number) => format!("/{number}"),
        }
    }
}

impl Caller {
    /// Shows parts of a key: secret ones where it was made exportable and its versions are active.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}export/{kind}/{name}[/{version}]`; [`Code::NotFound`] without such a key;
    /// [`Code::Invalid`] where it is not exportable, or has no such part or version; [`Code::KeyState`] where its state
    /// does not allow it.
    pub async fn key_export(
        &self,
        mount: &Mount,
        kind: ExportKind,
        name: &str,
        version: VersionChoice,
        format: ExportFormat,
    ) -> Result<Exported, Error> {
        let path = format!("{}export/{}/{name}{}", mount.path, kind.name(), version.suffix());
        let mut record = self.record("key.export", path).fact("part", kind.name());
        let result = self.export(mount, kind, name, (version, format), &mut record).await;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    /// The public part of one version (`None`: the primary one, or else the highest) and its number, for programs that
    /// verify or encrypt by themselves.
    ///
    /// # Errors
    /// As [`Caller::key_export`]; [`Code::Unsupported`] where the format has no form for the algorithm.
    pub async fn key_public(
        &self,
        mount: &Mount,
        name: &str,
        version: Option<u32>,
        format: PublicFormat,
    ) -> Result<(u32, String), Error> {
        let choice = version.map_or(VersionChoice::All, VersionChoice::Number);
        let path = format!("{}export/public-key/{name}{}", mount.path, choice.suffix());
        let mut record = self.record("key.export", path).fact("part", ExportKind::PublicKey.name());
        let result = async {
            self.authorise(&record.path, Operation::Read, &())?;
            let entry = self.exported_entry(mount, name, &mut record).await?;
            ExportKind::PublicKey.check(entry.algorithm)?;
            let number = version.or(entry.primary).unwrap_or(entry.latest);
            let public = self.active.public_key(&entry, number).await?;
            record.version = Some(u64::from(number));
            let text = match format {
                PublicFormat::Jwk => {
                    let members = public.jwk().map_err(no_such_form)?;
                    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
                    serde_json::Value::Object(members.collect()).to_string()
                }
                PublicFormat::Pem => public.pem().map_err(no_such_form)?,
            };
            Ok((number, text))
        };
        let result = result.await;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    /// Shows the secret part of an exportable key to who holds another key alone: wrapped under `wrapping`. Under an RSA key
    /// the text is what transit's `import` takes, under any other `vault:v<version>:` and base64.
    ///
    /// # Errors
    /// [`Code::Denied`] without read on `{mount}byok-export/{wrapping}/{name}[/{version}]`; [`Code::NotFound`] without such
    /// keys; [`Code::Invalid`] where the one is not exportable, or the other wraps nothing; [`Code::KeyState`].
    pub async fn key_wrap(
        &self,
        mount: &Mount,
        wrapping: &str,
        name: &str,
        version: VersionChoice,
        hash: hash::Algorithm,
    ) -> Result<Exported, Error> {
        let path = format!("{}byok-export/{wrapping}/{name}{}", mount.path, version.suffix());
        let mut record = self.record("key.wrap", path).fact("wrapping_key", wrapping);
        let result = self.wrap_key(mount, wrapping, name, (version, hash), &mut record).await;
        self.recorded(record, async { result.map(Done::Unlogged) }).await
    }

    async fn export(
        &self,
        mount: &Mount,
        kind: ExportKind,
        name: &str,
        (version, format): (VersionChoice, ExportFormat),
        record: &mut Record,
    ) -> Result<Exported, Error> {
        self.authorise(&record.path, Operation::Read, &())?;
        let entry = self.exported_entry(mount, name, record).await?;
        if kind.is_secret() {
            check_exportable(&entry, "private key material is not exportable")?;
        }
        kind.check(entry.algorithm)?;
        let mut keys = Vec::new();
        for version in chosen(&entry, version, kind.is_secret())? {
            let number = version.number;
            let shown = match kind {
                ExportKind::CertificateChain => self.active.certificates(&entry, number).await?,
                ExportKind::PublicKey => shown_public(&self.active.public_key(&entry, number).await?, format)?,
                // Of a version whose public part alone is here there is nothing to show.
                ExportKind::EncryptionKey | ExportKind::SigningKey | ExportKind::HmacKey
                    if version.object.is_none() =>
                {
                    Zeroizing::default()
                }
                ExportKind::EncryptionKey | ExportKind::SigningKey => {
                    shown_secret(&self.active.key_material(&entry, number).await?.material, format)?
                }
                ExportKind::HmacKey => shown_hmac(&self.active.key_material(&entry, number).await?, format)?,
            };
            record.version = Some(u64::from(number));
            keys.push((number, shown));
        }
        Ok(Exported { name: entry.name, algorithm: entry.algorithm, keys })
    }

    async fn wrap_key(
        &self,
        mount: &Mount,
        wrapping: &str,
        name: &str,
        (version, hash): (VersionChoice, hash::Algorithm),
        record: &mut Record,
    ) -> Result<Exported, Error> {
        self.authorise(&record.path, Operation::Read, &())?;
        let key = self.active.loaded_key(mount, wrapping).await?;
        let absent = || Error::new(Code::NotFound, "there is no such wrapping key");
        let key = key.ok_or_else(|| absent().in_vault("no such destination key to export to"))?;
        let entry = self.exported_entry(mount, name, record).await?;
        check_exportable(&entry, "key is not exportable")?;
        let number = key.entry.for_protect(Usage::Wrap, None)?.number;
        let wrapping = key.version(&self.active, number).await?;
        let mut keys = Vec::new();
        for version in chosen(&entry, version, true)? {
            let stored = self.active.key_material(&entry, version.number).await?;
            record.version = Some(u64::from(version.number));
            keys.push((version.number, Zeroizing::new(wrapped(&wrapping, &stored.material, hash)?)));
        }
        Ok(Exported { name: entry.name, algorithm: entry.algorithm, keys })
    }

    /// The key that is to be exported, noted in the record.
    async fn exported_entry(&self, mount: &Mount, name: &str, record: &mut Record) -> Result<KeyEntry, Error> {
        let found = self.active.key_entry(mount.id, name).await?;
        let Found { value: entry, .. } = found.ok_or_else(key_not_found)?;
        record.facts.push(("key", entry.id.to_string()));
        record.facts.push(("key_name", entry.name.clone()));
        Ok(entry)
    }
}

impl Active {
    /// The public part of a version.
    ///
    /// # Errors
    /// [`Code::Invalid`] where it has none.
    pub(super) async fn public_key(&self, entry: &KeyEntry, number: u32) -> Result<PublicKey, Error> {
        let part = self.key_public_part(entry, number).await?.ok_or_else(no_such_version)?;
        part.value.key(entry.algorithm)
    }

    async fn certificates(&self, entry: &KeyEntry, number: u32) -> Result<Zeroizing<String>, Error> {
        let part = self.key_public_part(entry, number).await?.ok_or_else(no_such_version)?;
        if part.value.chain.is_empty() {
            return Err(Error::invalid("selected key version does not have a certificate chain imported"));
        }
        let chain: Vec<String> =
            part.value.chain.iter().map(|der| pem::encode("CERTIFICATE", der).trim_end().to_owned()).collect();
        Ok(Zeroizing::new(chain.join("\n")))
    }
}

/// The versions to be shown, each of which may be.
fn chosen(entry: &KeyEntry, choice: VersionChoice, secret: bool) -> Result<Vec<&KeyVersion>, Error> {
    let number = match choice {
        VersionChoice::All => {
            let shown = entry.versions.iter().filter(|version| version.number >= entry.min_decryption);
            let shown = shown.filter(|version| version.number >= entry.min_available);
            let shown: Vec<&KeyVersion> = shown.filter(|v| !secret || entry.for_export(v.number).is_ok()).collect();
            // Nothing may be shown: the highest version tells why.
            if shown.is_empty() && secret {
                entry.for_export(entry.latest)?;
            }
            return Ok(shown);
        }
        VersionChoice::Latest => entry.latest,
        VersionChoice::Number(number) => number,
    };
    if number < entry.min_decryption {
        let vault = "version for export is below minimum decryption version";
        return Err(Error::invalid("the version is below the key's min_decryption_version").in_vault(vault));
    }
    let version = entry.version(number).filter(|version| version.number >= entry.min_available);
    let version = version.ok_or_else(no_such_version)?;
    if secret {
        entry.for_export(number)?;
    }
    Ok(vec![version])
}

fn shown_secret(material: &KeyMaterial, format: ExportFormat) -> Result<Zeroizing<String>, Error> {
    let algorithm = material.algorithm();
    let asymmetric = algorithm.is_asymmetric();
    match (format, asymmetric) {
        (ExportFormat::Default, _) => {
            let text = material.export_text()?;
            if text.starts_with("-----") { Ok(Zeroizing::new(ended(algorithm, &text))) } else { Ok(text) }
        }
        (ExportFormat::Raw, false) => Ok(base64(&material.export()?)),
        (ExportFormat::Raw, true) if algorithm == Algorithm::Ed25519 => Ok(base64(&material.export()?)),
        (ExportFormat::Der, true) => Ok(base64(&material.export_pkcs8().map_err(no_such_form)?)),
        (ExportFormat::Pem, true) => {
            let der = material.export_pkcs8().map_err(no_such_form)?;
            let pem = Zeroizing::new(pem::encode("PRIVATE KEY", &der));
            Ok(Zeroizing::new(ended(algorithm, &pem)))
        }
        (ExportFormat::Raw, true) | (ExportFormat::Der | ExportFormat::Pem, false) => Err(wrong_format(algorithm)),
    }
}

fn shown_public(public: &PublicKey, format: ExportFormat) -> Result<Zeroizing<String>, Error> {
    let algorithm = public.algorithm();
    // Keys that have no other public form are shown as their bytes.
    let raw_by_default = matches!(algorithm, Algorithm::Ed25519 | Algorithm::XWing);
    let shown = match format {
        ExportFormat::Default if raw_by_default => STANDARD.encode(public.raw()),
        ExportFormat::Default | ExportFormat::Pem => ended(algorithm, &public.pem().map_err(no_such_form)?),
        ExportFormat::Der => STANDARD.encode(public.spki().map_err(no_such_form)?),
        ExportFormat::Raw if raw_by_default => STANDARD.encode(public.raw()),
        ExportFormat::Raw => return Err(wrong_format(algorithm)),
    };
    Ok(Zeroizing::new(shown))
}

fn shown_hmac(stored: &StoredMaterial, format: ExportFormat) -> Result<Zeroizing<String>, Error> {
    match format {
        ExportFormat::Default | ExportFormat::Raw => {}
        ExportFormat::Der | ExportFormat::Pem => {
            return Err(Error::invalid("unknown format for HMAC key; supported values are `` or `raw`"));
        }
    }
    match &stored.hmac {
        Some(key) => Ok(base64(key.as_slice())),
        None if stored.material.algorithm().supports(Usage::Mac) => Ok(base64(&stored.material.export()?)),
        None => Err(Error::invalid("no HMAC key exists for that key version")),
    }
}

/// A key as another one wraps it.
fn wrapped(wrapping: &LoadedVersion, material: &KeyMaterial, hash: hash::Algorithm) -> Result<String, Error> {
    let bytes = match material.algorithm().is_asymmetric() {
        true => material.export_pkcs8().or_else(|_| material.export())?,
        false => material.export()?,
    };
    match wrapping.key.algorithm() {
        Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => {
            Ok(STANDARD.encode(wrapping.key.wrap_rsa(hash, &bytes)?))
        }
        _ => Ok(text(wrapping.number, &wrapping.key.wrap(&bytes)?)),
    }
}

fn check_exportable(entry: &KeyEntry, message: &'static str) -> Result<(), Error> {
    if entry.exportable { Ok(()) } else { Err(Error::invalid(message)) }
}

/// The original ends RSA's PEM with a line break and no other.
fn ended(algorithm: Algorithm, pem: &str) -> String {
    let text = pem.trim_end();
    match algorithm {
        Algorithm::Rsa2048 | Algorithm::Rsa3072 | Algorithm::Rsa4096 => format!("{text}\n"),
        _ => text.to_owned(),
    }
}

fn no_such_version() -> Error {
    Error::invalid("version does not exist or cannot be found")
}

fn no_such_form(error: coffer_crypto::Error) -> Error {
    match error {
        coffer_crypto::Error::Unsupported(why) => Error::new(Code::Unsupported, why),
        other => other.into(),
    }
}

fn wrong_format(algorithm: Algorithm) -> Error {
    let known = if algorithm.is_asymmetric() { "``, `der`, or `pem`" } else { "`` or `raw`" };
    Error::invalid(format!("unknown format for a key of type {}; supported values are {known}", algorithm.name()))
}
