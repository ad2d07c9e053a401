//! A rekey that ends half-way: whatever becomes of its answer, somebody holds shares that open the store.

use std::{path::Path, sync::Arc, time::Duration};

use coffer_api::{Code, Sensitive, operator::NodeState};

use super::{config, context};
use crate::{
    AskedSplit, Asker, Ceremony, Config, Core, InitSeal, Rekey, RekeyEnd, RekeyStart, SealKind, Share, ShareBackup,
    Verification, seal::root,
};

struct Setup {
    core: Arc<Core>,
    root_token: Sensitive<String>,
    shares: Vec<Sensitive<String>>,
}

async fn start(dir: &Path) -> Arc<Core> {
    Core::start(Config { seal: SealKind::Shamir, ..config(dir) }).await.unwrap().0
}

/// An unsealed store under three shares, of which two open it.
async fn setup(dir: &Path) -> Setup {
    let core = start(dir).await;
    let split = AskedSplit { shares: 3, threshold: 2 };
    let made = core.init(context(), InitSeal { split, ..InitSeal::default() }).await.unwrap();
    let shares = made.shares.hex();
    assert!(opens(&core, &shares).await);
    Setup { core, root_token: made.root_token, shares }
}

/// Gives these shares to a sealed node; tells whether it is active now.
async fn opens(core: &Core, shares: &[Sensitive<String>]) -> bool {
    let _ = core.unseal_reset(context()).await;
    for share in shares {
        let _ = core.unseal(context(), Share::parse(share.expose()).unwrap()).await;
        if core.status().state == NodeState::Active {
            return true;
        }
    }
    false
}

async fn restarted(core: Arc<Core>, dir: &Path) -> Arc<Core> {
    core.shutdown().await;
    drop(core);
    start(dir).await
}

impl Setup {
    async fn asker(&self) -> Asker<'static> {
        self.core.asker(context(), Some(self.root_token.expose()), Ceremony::Rekey).await.unwrap()
    }

    /// A rekey up to its last share.
    async fn begun(&self, shares: i64, threshold: i64) -> String {
        let start = RekeyStart {
            split: AskedSplit { shares, threshold },
            verification: Verification::Unneeded,
            pgp_keys: Vec::new(),
            backup: ShareBackup::Untouched,
        };
        let progress = self.asker().await.rekey_start(Rekey::Rekey, start).await.unwrap();
        let nonce = progress.round.unwrap().nonce.to_string();
        let first = Share::parse(self.shares[0].expose()).unwrap();
        assert!(matches!(
            self.asker().await.rekey_share(Rekey::Rekey, &nonce, first).await.unwrap(),
            RekeyEnd::More(_)
        ));
        nonce
    }

    /// Its last share.
    async fn ended(&self, asker: &Asker<'static>, nonce: &str) -> Result<Vec<Sensitive<String>>, crate::Error> {
        let last = Share::parse(self.shares[1].expose()).unwrap();
        match asker.rekey_share(Rekey::Rekey, nonce, last).await? {
            RekeyEnd::Made { shares, .. } => Ok(shares.hex()),
            RekeyEnd::More(_) => panic!("two of three are enough"),
        }
    }

    async fn answered(&self, shares: i64, threshold: i64) -> Vec<Sensitive<String>> {
        let nonce = self.begun(shares, threshold).await;
        let asker = self.asker().await;
        let new = self.ended(&asker, &nonce).await.unwrap();
        asker.answered();
        new
    }
}

#[tokio::test]
async fn rekey_that_is_stored_and_cannot_be_logged_leaves_the_old_shares_good() {
    let dir = tempfile::tempdir().unwrap();
    let setup = setup(dir.path()).await;
    let nonce = setup.begun(5, 3).await;
    let asker = setup.asker().await;
    let active = setup.core.active().unwrap();
    std::fs::remove_dir_all(setup.core.config.audit.dir.join("segments")).unwrap();
    active.log.check_files();
    let error = setup.ended(&asker, &nonce).await.err().unwrap();
    assert_eq!(error.code(), Code::AuditUnavailable);
    let row = root::read(active.store.as_ref()).await.unwrap().unwrap();
    assert_eq!(row.split().unwrap().threshold(), 3, "the rekey is stored");
    let mut given = crate::seal::shares::Given::default();
    for (share, enough) in [(&setup.shares[2], false), (&setup.shares[0], true)] {
        let tried = row.give(&mut given, Share::parse(share.expose()).unwrap()).unwrap();
        assert_eq!(matches!(tried, root::Tried::Enough(Ok(_))), enough);
    }
    drop((asker, active));
    setup.core.shutdown().await;
}

#[tokio::test]
async fn rekey_whose_answer_never_left_leaves_both_sets_good_until_the_new_one_opens() {
    for (shares, threshold) in [(5, 3), (1, 1)] {
        let dir = tempfile::tempdir().unwrap();
        let setup = setup(dir.path()).await;
        let nonce = setup.begun(shares, threshold).await;
        let asker = setup.asker().await;
        let new = setup.ended(&asker, &nonce).await.unwrap();
        drop(asker);
        let Setup { core, shares: old, .. } = setup;
        let core = restarted(core, dir.path()).await;
        assert!(opens(&core, &old).await, "the shares that somebody holds");
        let core = restarted(core, dir.path()).await;
        assert!(opens(&core, &new).await, "the shares that somebody may hold");
        let core = restarted(core, dir.path()).await;
        assert!(!opens(&core, &old).await, "somebody was seen to hold the new ones");
        assert!(opens(&core, &new).await);
        core.shutdown().await;
    }
}

#[tokio::test]
async fn rekey_begun_anew_after_a_lost_answer_keeps_the_shares_that_were_given_good() {
    let dir = tempfile::tempdir().unwrap();
    let setup = setup(dir.path()).await;
    for _ in 0..2 {
        let nonce = setup.begun(5, 4).await;
        let asker = setup.asker().await;
        drop(setup.ended(&asker, &nonce).await.unwrap());
    }
    let Setup { core, shares: old, .. } = setup;
    let core = restarted(core, dir.path()).await;
    assert!(opens(&core, &old).await, "of three sets the first is the one that somebody holds");
    core.shutdown().await;
}

#[tokio::test]
async fn rekey_whose_answer_left_ends_the_old_shares() {
    let dir = tempfile::tempdir().unwrap();
    let setup = setup(dir.path()).await;
    let new = setup.answered(5, 3).await;
    let Setup { core, shares: old, .. } = setup;
    let core = restarted(core, dir.path()).await;
    assert!(!opens(&core, &old).await);
    assert!(opens(&core, &new[2..]).await);
    core.shutdown().await;
}

#[tokio::test]
async fn client_that_goes_away_while_its_rekey_is_stored_leaves_the_old_shares_good() {
    let dir = tempfile::tempdir().unwrap();
    let setup = setup(dir.path()).await;
    let nonce = setup.begun(5, 3).await;
    let asker = setup.asker().await;
    // It is polled until its commit is on its way, and not again.
    let _ = tokio::time::timeout(Duration::ZERO, setup.ended(&asker, &nonce)).await;
    drop(asker);
    let Setup { core, shares: old, .. } = setup;
    let core = restarted(core, dir.path()).await;
    assert!(opens(&core, &old).await);
    core.shutdown().await;
}
