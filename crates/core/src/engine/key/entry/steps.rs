//! How the versions of a key come, change their states and follow one another. Every change of a state is made here.

use coffer_api::Code;

use super::{Compromise, KeyEntry, KeyVersion, MAX_VERSIONS};
use crate::{
    Error,
    engine::key::state::{KeyState, KeyStep},
};

impl KeyEntry {
    /// Takes a version one step. Every change of a state goes through here, but for the birth of a version.
    ///
    /// # Errors
    /// [`Code::KeyState`] where its state does not allow the step; [`Code::NotFound`] without such a version.
    pub(crate) fn step(&mut self, number: u32, step: KeyStep, now: i64) -> Result<(), Error> {
        let version = self.known(number)?;
        let Some(next) = version.state.after(step, version.past()) else {
            return Err(self.refused(version, step.name()));
        };
        if self.primary == Some(number) && next != KeyState::Active {
            self.primary = None;
        }
        self.updated_ms = now;
        let Some(version) = self.version_mut(number) else { return Ok(()) };
        version.state = next;
        match step {
            // It stays superseded.
            KeyStep::Suspend | KeyStep::Resume => {}
            KeyStep::Activate
            | KeyStep::CancelDestroy
            | KeyStep::Compromise
            | KeyStep::Deactivate
            | KeyStep::Discard
            | KeyStep::Reap
            | KeyStep::Rollback
            | KeyStep::ScheduleDestroy => version.deactivate_at_ms = None,
        }
        match next {
            KeyState::Active => {
                version.activated_ms.get_or_insert(now);
                version.deactivated_ms = None;
            }
            KeyState::Deactivated => version.deactivated_ms = Some(now),
            KeyState::DestroyScheduled => version.scheduled_ms = Some(now),
            KeyState::Destroyed => version.destroyed_ms = Some(now),
            KeyState::PreActive | KeyState::Suspended | KeyState::Compromised => {}
        }
        match next {
            KeyState::DestroyScheduled | KeyState::Destroyed => {}
            KeyState::PreActive
            | KeyState::Active
            | KeyState::Suspended
            | KeyState::Deactivated
            | KeyState::Compromised => {
                version.scheduled_ms = None;
                version.destroy_at_ms = None;
            }
        }
        Ok(())
    }

    /// Ends a suspension. A version that was superseded, and whose overlap is over, is deactivated by that.
    ///
    /// # Errors
    /// As [`KeyEntry::step`].
    pub(crate) fn resume(&mut self, number: u32, now: i64) -> Result<(), Error> {
        self.step(number, KeyStep::Resume, now)?;
        match self.known(number)?.deactivate_at_ms.is_some_and(|at| at <= now) {
            true => self.step(number, KeyStep::Deactivate, now),
            false => Ok(()),
        }
    }

    /// Marks a version as compromised.
    ///
    /// # Errors
    /// As [`KeyEntry::step`].
    pub(crate) fn compromise(&mut self, number: u32, reason: String, now: i64) -> Result<(), Error> {
        self.step(number, KeyStep::Compromise, now)?;
        if let Some(version) = self.version_mut(number) {
            version.compromise = Some(Compromise { at_ms: now, reason });
        }
        Ok(())
    }

    /// Schedules a version's destruction, or destroys at once what was never in use. Tells what happened.
    ///
    /// # Errors
    /// As [`KeyEntry::step`].
    pub(crate) fn schedule(&mut self, number: u32, destroy_at: i64, now: i64) -> Result<KeyState, Error> {
        let step = match self.known(number)?.state {
            KeyState::PreActive => KeyStep::Discard,
            KeyState::Active
            | KeyState::Suspended
            | KeyState::Deactivated
            | KeyState::Compromised
            | KeyState::DestroyScheduled
            | KeyState::Destroyed => KeyStep::ScheduleDestroy,
        };
        self.step(number, step, now)?;
        let version = self.version_mut(number).ok_or_else(Error::not_found)?;
        if version.state == KeyState::DestroyScheduled {
            version.destroy_at_ms = Some(destroy_at);
        }
        Ok(version.state)
    }

    /// Puts a running destruction off; never earlier.
    pub(crate) fn put_off(&mut self, number: u32, destroy_at: i64) {
        if let Some(version) = self.version_mut(number) {
            version.destroy_at_ms = version.destroy_at_ms.map(|at| at.max(destroy_at));
        }
    }

    /// Notes that the destruction of a version was attested.
    pub(crate) fn attested(&mut self, number: u32, now: i64) {
        if let Some(version) = self.version_mut(number) {
            version.attested_ms = Some(now);
        }
    }

    /// Adds a version. It takes the oldest destroyed one's place where there are too many.
    ///
    /// # Errors
    /// [`Code::KeyState`] where there are [`MAX_VERSIONS`] and none is destroyed.
    pub(crate) fn add(&mut self, version: KeyVersion) -> Result<(), Error> {
        if self.versions.len() >= MAX_VERSIONS {
            let finished = |version: &KeyVersion| version.attested_ms.is_some();
            let Some(oldest) = self.versions.iter().position(finished) else {
                let message = format!("the key {:?} has {MAX_VERSIONS} versions; destroy some", self.name);
                return Err(Error::new(Code::KeyState, message));
            };
            self.versions.remove(oldest);
        }
        self.latest = version.number;
        self.updated_ms = version.created_ms;
        self.versions.push(version);
        Ok(())
    }

    /// Makes an active version the primary one, being newer: those before are superseded, and end at once or after the
    /// overlap where the key says so. One that is suspended does not wake up for that: it ends when it is resumed.
    ///
    /// # Errors
    /// [`Code::KeyState`] where the version is not active.
    pub(crate) fn make_primary(&mut self, number: u32, now: i64) -> Result<(), Error> {
        let version = self.known(number)?;
        if version.state != KeyState::Active {
            return Err(self.refused(version, "being made primary"));
        }
        self.primary = Some(number);
        if self.deactivate_on_rotate {
            self.supersede(number, now)?;
        }
        if let Some(version) = self.version_mut(number) {
            version.deactivate_at_ms = None;
        }
        Ok(())
    }

    /// Plans the end of every version but the new primary one that has none planned.
    fn supersede(&mut self, primary: u32, now: i64) -> Result<(), Error> {
        let ends = now.saturating_add(self.overlap_ms);
        let mut over = Vec::new();
        let planned = |version: &KeyVersion| version.number == primary || version.deactivate_at_ms.is_some();
        for version in self.versions.iter_mut().filter(|version| !planned(version)) {
            match version.state {
                KeyState::Active if self.overlap_ms == 0 => over.push(version.number),
                KeyState::Active | KeyState::Suspended => version.deactivate_at_ms = Some(ends),
                KeyState::PreActive
                | KeyState::Deactivated
                | KeyState::Compromised
                | KeyState::DestroyScheduled
                | KeyState::Destroyed => {}
            }
        }
        over.into_iter().try_for_each(|number| self.step(number, KeyStep::Deactivate, now))
    }

    /// Makes a version that was superseded, or that lost its place, the primary one again. Nothing else changes.
    ///
    /// # Errors
    /// [`Code::KeyState`] where its state does not allow it or it is the primary one.
    pub(crate) fn roll_back(&mut self, number: u32, now: i64) -> Result<(), Error> {
        if self.primary == Some(number) {
            let message = format!("version {number} of the key {:?} is the primary one", self.name);
            return Err(Error::new(Code::KeyState, message));
        }
        // What it encrypted could not be decrypted.
        let floor = self.min_decryption.max(self.min_available);
        if number < floor {
            let message = format!(
                "version {number} of the key {:?} is below its min_decryption_version {floor}; lower that first",
                self.name
            );
            return Err(Error::new(Code::KeyState, message));
        }
        self.step(number, KeyStep::Rollback, now)?;
        self.primary = Some(number);
        Ok(())
    }
}
