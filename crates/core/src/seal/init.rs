//! The initialisation of a store under shares, open to whoever reaches the listener of a server on an empty store.

use coffer_api::{Code, Sensitive};

use super::{
    SealKind,
    pgp::Recipients,
    rekey::encrypted_to,
    root,
    shares::{AskedSplit, NewShares, Split},
};
use crate::{
    Context, Core, Error,
    activate::give_birth,
    node::is_own,
    record::{Actor, Record},
    token::create::first_root,
};

/// Clients look for these very words.
const TAKEN: &str = "Vault is already initialized";

/// What a store is initialised with.
#[derive(Clone, Debug, Default)]
pub struct InitSeal {
    /// The shares to be made.
    pub split: AskedSplit,
    /// Whom they are encrypted to, one after the other: OpenPGP keys in base64. Where there is none, they are told.
    pub pgp_keys: Vec<String>,
    /// Whom the root token is encrypted to.
    pub root_token_pgp_key: Option<String>,
}

/// A new store's keys: told once, kept nowhere.
pub struct Initialised {
    /// The shares.
    pub shares: NewShares,
    /// A token that may do everything; where it is encrypted, the message that has it, in base64.
    pub root_token: Sensitive<String>,
}

impl Core {
    /// Makes a store out of nothing, sealed under shares, in one commit: before it nothing is there, and after it
    /// everything. The node stays sealed.
    ///
    /// # Errors
    /// [`Code::Invalid`] where the split makes no sense, for a key that nothing may be encrypted to, and where the store
    /// is initialised; [`Code::Unavailable`] where another node leads.
    pub async fn init(&self, cx: Context, asked: InitSeal) -> Result<Initialised, Error> {
        let split = match asked.checked_split() {
            Ok(split) => split,
            Err(why) => return Err(self.refuse_init(&cx, why).await),
        };
        let _turn = self.unsealing.lock().await;
        let taken = match self.config.seal {
            SealKind::File => self.cluster_id.get().is_some(),
            SealKind::Shamir => root::read(self.store.as_ref()).await?.is_some(),
        };
        if taken {
            return Err(self.refuse_seal("system.init", &cx, Error::invalid(TAKEN)).await);
        }
        match self.config.seal {
            SealKind::File => return Err(Error::new(Code::Unavailable, "this node is starting; try again")),
            SealKind::Shamir => {}
        }
        // Looked at only now: whoever reaches the listener may ask, and reading keys is work.
        let (holders, owner) = match self.recipients_of_init(asked).await {
            Ok(recipients) => recipients,
            Err(why) => return Err(self.refuse_init(&cx, &why).await),
        };
        let (seal_key, shares) = split.make()?;
        let shares = shares.encrypted(holders.as_ref())?;
        let now = self.now_ms();
        let mut birth = root::create(SealKind::Shamir, &seal_key, Some(split), now)?;
        drop(seal_key);
        let root_token = first_root(&birth.token_key, now, &mut birth.edit)?;
        let root_token = match &owner {
            Some(owner) => Sensitive::new(owner.seal_token(&root_token)?),
            None => Sensitive::new(root_token.to_string()),
        };
        let kind = if is_own(&cx) { "local" } else { "anonymous" };
        let record = Record::of_request("system.init", "sys/init".to_owned(), Actor { kind, ..Actor::default() }, &cx)
            .fact("seal", SealKind::Shamir.name())
            .fact("shares", split.shares().to_string())
            .fact("threshold", split.threshold().to_string());
        let record = encrypted_to(record, "encrypted_to", holders.as_ref());
        let record = encrypted_to(record, "root_token_encrypted_to", owner.as_ref());
        let made = birth.root.cluster_id;
        let born = self.leading(async |epoch| Ok(give_birth(self, epoch, birth, record).await.map(drop)?)).await;
        // Whether a commit whose answer was lost went in, the row says; and whose it is.
        let row = root::read(self.store.as_ref()).await?;
        if let Some(row) = &row {
            self.see_seal(row);
        }
        match (born, row) {
            (_, Some(row)) if row.cluster_id == made => {}
            (_, Some(_)) => return Err(self.refuse_seal("system.init", &cx, Error::invalid(TAKEN)).await),
            (Err(error), None) => return Err(error),
            (Ok(()), None) => return Err(Error::internal("the store lost its first commit")),
        }
        Ok(Initialised { shares, root_token })
    }

    async fn recipients_of_init(&self, asked: InitSeal) -> Result<(Option<Recipients>, Option<Recipients>), String> {
        let holders = Recipients::read(asked.pgp_keys, self.now_ms()).await?;
        let owner = Recipients::read(asked.root_token_pgp_key.into_iter().collect(), self.now_ms()).await?;
        Ok((holders, owner))
    }

    async fn refuse_init(&self, cx: &Context, why: &str) -> Error {
        let error = Error::invalid(format!("invalid seal configuration: {why}"));
        self.refuse_seal("system.init", cx, error).await
    }
}

impl InitSeal {
    /// The split, once it is known to make sense and to have a key for each share where it has keys.
    fn checked_split(&self) -> Result<Split, &'static str> {
        let split = self.split.checked()?;
        match self.pgp_keys.len() {
            0 => Ok(split),
            len if len == usize::from(split.shares()) => Ok(split),
            _ => Err("count mismatch between number of provided PGP keys and number of shares"),
        }
    }
}
