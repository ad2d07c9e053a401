//! The task that leads a node through its states: it takes the leadership, activates, holds, and lets go.

use std::{sync::Arc, time::Duration};

use coffer_storage::Store;
use tokio::sync::{oneshot, watch};

use super::{Core, DRAIN, State, Wanted};
use crate::{
    StartError,
    activate::{self, Activated},
    active::Active,
    backup::schedule,
    engine::key::sweep,
    housekeeping,
    lease::{LEASE, Lease, RENEW_EVERY, monotonic_ms},
    leftovers, outbox,
    seal::root,
};

/// How often a standby looks at the leader row.
const LOOK: Duration = Duration::from_millis(150);
/// How often a sealed node looks at the root row, which others may make or change.
const LOOK_AT_SEAL: Duration = Duration::from_secs(1);
/// How long a node that gave its leadership up leaves it to others.
const STEPPED_DOWN: Duration = Duration::from_secs(10);

impl Core {
    pub(super) async fn supervise(self: Arc<Self>, first: oneshot::Sender<Result<Activated, StartError>>) {
        let mut first = Some(first);
        let mut wanted = self.wanted.subscribe();
        loop {
            let now = *wanted.borrow_and_update();
            match now {
                Wanted::Stopped => {
                    self.opened.lock().forget();
                    return;
                }
                Wanted::Sealed => {
                    self.opened.lock().forget();
                    self.state.store(Arc::new(State::Sealed));
                    self.reached.send_replace(Wanted::Sealed);
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(Activated::default()));
                    }
                    while tokio::time::timeout(LOOK_AT_SEAL, wanted.changed()).await.is_err() {
                        self.look_at_seal().await;
                    }
                }
                Wanted::SteppedDown => self.stand_back(&mut wanted).await,
                Wanted::Unsealed => self.lead_or_stand_by(&mut first, &mut wanted).await,
            }
        }
    }

    /// Another node may initialise the store, split its key anew or lead it to another seal.
    async fn look_at_seal(&self) {
        // No other process can have this store open.
        if self.engine() != "postgresql" {
            return;
        }
        match root::read(self.store.as_ref()).await {
            Ok(Some(row)) => self.see_seal(&row),
            Ok(None) => {}
            Err(error) => tracing::debug!(cause = %error, "the root row cannot be read"),
        }
    }

    async fn lead_or_stand_by(
        self: &Arc<Self>,
        first: &mut Option<oneshot::Sender<Result<Activated, StartError>>>,
        wanted: &mut watch::Receiver<Wanted>,
    ) {
        let asked = monotonic_ms();
        match self.store.lead(&self.node, &self.config.advertise, LEASE).await {
            Ok(Some(epoch)) => {
                self.state.store(Arc::new(State::Starting));
                let exclusive = self.engine() != "postgresql";
                let lease = Arc::new(if exclusive { Lease::exclusive() } else { Lease::granted(asked) });
                let renewal =
                    (!exclusive).then(|| tokio::spawn(renew(Arc::clone(&self.store), epoch, Arc::clone(&lease))));
                match activate::activate(self, epoch, Arc::clone(&lease)).await {
                    Ok((active, activated)) => {
                        self.state.store(Arc::new(State::Active(Arc::clone(&active))));
                        self.reached.send_replace(Wanted::Unsealed);
                        tracing::info!(node = self.node, epoch = epoch.0, "active");
                        if let Some(first) = first.take() {
                            let _ = first.send(Ok(activated));
                        }
                        self.hold(active, &lease, wanted).await;
                    }
                    Err(error) => {
                        tracing::error!(cause = %error, "this node leads but cannot become active");
                        lease.lose();
                        if let Err(error) = self.store.release(epoch).await {
                            tracing::warn!(cause = %error, "the leadership was not given back; it ends by itself");
                        }
                        match first.take() {
                            Some(first) => drop(first.send(Err(error))),
                            None => tokio::time::sleep(RENEW_EVERY).await,
                        }
                    }
                }
                if let Some(renewal) = renewal {
                    renewal.abort();
                }
            }
            Ok(None) => {
                let leader = self.store.leader().await.ok().flatten();
                let address = leader.map(|leader| leader.address);
                self.state.store(Arc::new(State::Standby { address }));
                self.reached.send_replace(Wanted::Unsealed);
                if let Some(first) = first.take() {
                    tracing::info!(node = self.node, "standing by");
                    let _ = first.send(Ok(Activated::default()));
                }
                wait(wanted).await;
            }
            Err(error) => {
                tracing::warn!(cause = %error, "the leader row cannot be read");
                self.state.store(Arc::new(State::Standby { address: None }));
                if let Some(first) = first.take() {
                    let _ = first.send(Err(error.into()));
                }
                wait(wanted).await;
            }
        }
    }

    /// Leaves the leadership to others: until one has it, at most for [`STEPPED_DOWN`].
    async fn stand_back(&self, wanted: &mut watch::Receiver<Wanted>) {
        tracing::info!(node = self.node, "stepped down");
        self.state.store(Arc::new(State::Standby { address: None }));
        self.reached.send_replace(Wanted::SteppedDown);
        let until = tokio::time::Instant::now() + STEPPED_DOWN;
        while *wanted.borrow_and_update() == Wanted::SteppedDown && tokio::time::Instant::now() < until {
            match self.store.leader().await {
                Ok(Some(leader)) if leader.node != self.node && !leader.remaining.is_zero() => break,
                Ok(_) | Err(_) => wait(wanted).await,
            }
        }
        // It may have been told something else meanwhile, which stands.
        self.wanted.send_if_modified(|wanted| {
            let stands_back = *wanted == Wanted::SteppedDown;
            if stands_back {
                *wanted = Wanted::Unsealed;
            }
            stands_back
        });
    }

    /// Stays active until told otherwise or until the leadership is lost.
    async fn hold(&self, active: Arc<Active>, lease: &Lease, wanted: &mut watch::Receiver<Wanted>) {
        let tasks = [
            tokio::spawn(outbox::tend(Arc::clone(&active))),
            tokio::spawn(housekeeping::keep(Arc::clone(&active))),
            tokio::spawn(leftovers::keep(Arc::clone(&active))),
            tokio::spawn(sweep::keep(Arc::clone(&active))),
            tokio::spawn(schedule::keep(
                Arc::clone(&active),
                self.seal.clone(),
                self.cluster_id.get().copied().unwrap_or_default(),
                self.config.backup.clone(),
            )),
            tokio::spawn(crate::audit::scrub::scrub(
                Arc::clone(&active),
                self.config.audit.dir.clone(),
                self.config.audit.scrub_every,
            )),
        ];
        while !lease.is_lost() && *wanted.borrow() == Wanted::Unsealed {
            let _ = tokio::time::timeout(Duration::from_millis(100), wanted.changed()).await;
        }
        let lost = lease.is_lost();
        self.state.store(Arc::new(State::Starting));
        active.stop.send_replace(true);
        for task in tasks {
            let _ = task.await;
        }
        if lost {
            self.metrics.takeovers.add(1);
            tracing::warn!(node = self.node, "another node leads");
        }
        let epoch = active.epoch;
        deactivate(active).await;
        if !lost {
            let _ = self.store.release(epoch).await;
        }
    }
}

/// Ends everything that held keys.
async fn deactivate(active: Arc<Active>) {
    let deadline = tokio::time::Instant::now() + DRAIN;
    while Arc::strong_count(&active) > 1 && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    if !active.lease.is_lost() {
        if let Err(error) = outbox::delete_logged(&active).await {
            tracing::warn!(cause = ?error, "some outbox rows are left; the next start logs them again");
        }
        if let Err(error) = housekeeping::persist_clock(&active).await {
            tracing::warn!(cause = ?error, "the time was not noted; a start with an earlier clock may not notice");
        }
    }
    active.lease.lose();
    match Arc::try_unwrap(active) {
        Ok(active) => {
            let Active { log, index, .. } = active;
            drop(index);
            if let Err(error) = tokio::task::spawn_blocking(move || log.close()).await {
                tracing::warn!(cause = %error, "the log was not closed in order");
            }
        }
        Err(_) => {
            tracing::warn!("requests were still running after the time they are given; their keys go when they end")
        }
    }
}

async fn renew(store: Arc<dyn Store>, epoch: coffer_storage::Epoch, lease: Arc<Lease>) {
    while !lease.is_lost() {
        tokio::time::sleep(RENEW_EVERY).await;
        let asked = monotonic_ms();
        match tokio::time::timeout(LEASE, store.renew(epoch, LEASE)).await {
            Ok(Ok(())) => lease.renewed(asked),
            Ok(Err(coffer_storage::Error::Fenced)) => lease.lose(),
            Ok(Err(error)) => tracing::warn!(cause = %error, "the leadership could not be renewed"),
            Err(_) => tracing::warn!("renewing the leadership took too long"),
        }
    }
}

async fn wait(wanted: &mut watch::Receiver<Wanted>) {
    let _ = tokio::time::timeout(LOOK, wanted.changed()).await;
}
