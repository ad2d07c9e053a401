//! Data keys: random bytes for somebody else's encryption, handed out together with their ciphertext, or as that alone.

use coffer_crypto::{keys::Usage, rng};
use zeroize::Zeroizing;

use super::{Batch, Encrypted, KeyFault, KeyOperation, cipher::Sealer, input::Input, supported, text::base64};
use crate::{
    Caller, Error,
    mount::Mount,
    policy::{Operation, Parameters},
    record::Record,
};

/// What data key is wanted.
pub struct DataKey<'a> {
    /// Whether to show it.
    pub reveal: Reveal,
    /// How long it is.
    pub bits: DataKeyBits,
    /// Chooses the key of a derived one.
    pub context: Input<'a>,
    /// Bound to the ciphertext.
    pub associated_data: Input<'a>,
    /// 0 = the primary one.
    pub key_version: i64,
}

/// Length of a data key.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DataKeyBits {
    /// 16 bytes.
    Bits128,
    /// 32 bytes.
    Bits256,
    /// 64 bytes.
    Bits512,
}

/// Whether a data key is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Reveal {
    /// Together with its ciphertext, to who may ask for `datakey/plaintext`.
    Plain,
    /// Its ciphertext alone.
    Wrapped,
}

/// A data key.
pub struct NewDataKey {
    /// `vault:v<version>:` and base64.
    pub ciphertext: String,
    /// That encrypted it.
    pub key_version: u32,
    /// The key in base64, where it is shown; wiped on drop.
    pub plaintext: Option<Zeroizing<String>>,
}

impl DataKeyBits {
    /// The length of so many bits, if there are such.
    pub fn from_bits(bits: i64) -> Option<Self> {
        match bits {
            128 => Some(Self::Bits128),
            256 => Some(Self::Bits256),
            512 => Some(Self::Bits512),
            _ => None,
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::Bits128 => 16,
            Self::Bits256 => 32,
            Self::Bits512 => 64,
        }
    }
}

impl Reveal {
    /// As the path names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plaintext",
            Self::Wrapped => "wrapped",
        }
    }
}

impl Caller {
    /// Makes a data key.
    ///
    /// # Errors
    /// [`coffer_api::Code::Denied`] without update on `{mount}datakey/{plaintext|wrapped}/{name}`;
    /// [`coffer_api::Code::NotFound`] where there is no such key. What goes against its use is the inner result.
    pub async fn key_data_key(
        &self,
        mount: &Mount,
        name: &str,
        wanted: DataKey<'_>,
        parameters: &dyn Parameters,
    ) -> Result<Result<NewDataKey, KeyFault>, Error> {
        let path = format!("{}datakey/{}/{name}", mount.path, wanted.reveal.name());
        let mut record = self.record("key.data_key", path);
        let result = self.data_key(mount, name, &wanted, parameters, &mut record).await;
        let batch: Batch<NewDataKey> = self.settled(record, result.map(|made| vec![made])).await?;
        batch.into_iter().next().ok_or_else(|| Error::internal("a data key has no result"))
    }

    async fn data_key(
        &self,
        mount: &Mount,
        name: &str,
        wanted: &DataKey<'_>,
        parameters: &dyn Parameters,
        record: &mut Record,
    ) -> Result<Result<NewDataKey, KeyFault>, Error> {
        let key = self.granted_key(mount, name, Operation::Update, parameters, record).await?;
        if let Err(fault) = supported(key.entry.algorithm, Usage::Encrypt, KeyOperation::Encrypt) {
            return Ok(Err(fault));
        }
        let mut sealer = Sealer::new(self, &key, 1);
        sealer.need(self, &key, std::iter::once(wanted.key_version), record).await?;
        let mut plaintext = Zeroizing::new(vec![0; wanted.bits.bytes()]);
        rng::fill(&mut plaintext)?;
        let sealed = sealer.seal(&plaintext, wanted.context, wanted.associated_data, wanted.key_version);
        Ok(sealed.map(|Encrypted { ciphertext, key_version }| {
            let plaintext = match wanted.reveal {
                Reveal::Plain => Some(base64(&plaintext)),
                Reveal::Wrapped => None,
            };
            NewDataKey { ciphertext, key_version, plaintext }
        }))
    }
}
