//! Batch tokens: sealed claims that are stored nowhere.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use coffer_api::{Code, token::TokenKind};
use zeroize::Zeroizing;

use super::{BATCH_PREFIX, MAX_TOKEN, TokenEntry, TokenState};
use crate::{Error, active::Active, codec};

const BATCH_AAD: &[u8] = b"coffer batch token";

impl Active {
    pub(super) async fn batch_state(&self, token: &str) -> Result<Option<Arc<TokenState>>, Error> {
        let Some(entry) = self.open_batch(token)? else { return Ok(None) };
        let parent = match &entry.parent {
            Some(accessor) => match self.state_of(accessor).await? {
                Some(parent) => Some(parent),
                None => return Ok(None),
            },
            None => None,
        };
        let state = TokenState::new(TokenKind::Batch, String::new(), entry, parent);
        Ok(state.is_alive(&self.clock).then(|| Arc::new(state)))
    }

    fn open_batch(&self, token: &str) -> Result<Option<TokenEntry>, Error> {
        let Some(bytes) = token.strip_prefix(BATCH_PREFIX).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()) else {
            return Ok(None);
        };
        let Some((kid, sealed)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
        let kid = u32::from_be_bytes(*kid);
        let keys = self.keyrings.batch.all();
        let Some((_, key)) = keys.iter().find(|(number, _)| *number == kid) else { return Ok(None) };
        match key.open(BATCH_AAD, sealed) {
            Ok(claims) => {
                let entry: TokenEntry = codec::decode("a batch token", &claims)?;
                Ok(Some(TokenEntry { kid, ..entry }))
            }
            Err(_) => Ok(None),
        }
    }

    /// A batch token that carries these claims.
    pub(crate) fn make_batch(&self, entry: &TokenEntry) -> Result<Zeroizing<String>, Error> {
        let (kid, key) = self.keyrings.batch.current()?;
        let sealed = key.seal(BATCH_AAD, &codec::encode(entry)?)?;
        let bytes = [kid.to_be_bytes().as_slice(), &sealed].concat();
        let token = format!("{BATCH_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes));
        if token.len() > MAX_TOKEN {
            return Err(Error::new(Code::TooLarge, "too many policies or too much metadata for a batch token"));
        }
        Ok(Zeroizing::new(token))
    }
}
