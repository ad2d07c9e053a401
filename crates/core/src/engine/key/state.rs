//! The states of a key's version: which step leads from which to which, and what may be done in each. Pure; every change
//! of a state goes through [`KeyState::after`], and every use asks [`KeyState::permits`].

use serde::{Deserialize, Serialize};

/// The state of one version of a key (NIST SP 800-57, part 1, section 7, with a destruction that can be called off).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum KeyState {
    /// Made and not in use yet.
    PreActive,
    /// Does everything.
    Active,
    /// Does nothing for now.
    Suspended,
    /// Reads and checks what it protected before.
    Deactivated,
    /// Somebody else may know it: reads and checks by special permission alone.
    Compromised,
    /// Will be destroyed at its time unless that is called off.
    DestroyScheduled,
    /// Gone for good; what is known of it stays.
    Destroyed,
}

/// A step from one state to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyStep {
    /// Put a new version into use.
    Activate,
    /// Call a scheduled destruction off.
    CancelDestroy,
    /// Mark as known to somebody else.
    Compromise,
    /// End its use for anything new.
    Deactivate,
    /// Destroy at once what was never in use.
    Discard,
    /// Destroy what is due; the reaper alone.
    Reap,
    /// End a suspension.
    Resume,
    /// Make primary again.
    Rollback,
    /// Destroy later.
    ScheduleDestroy,
    /// Stop for now.
    Suspend,
}

/// What is to be done with a version.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum KeyUse {
    /// Take its secret part out.
    Export,
    /// Decrypt, verify, unwrap, decapsulate.
    Process,
    /// Encrypt, sign, make a MAC, wrap, encapsulate, derive, make a data key.
    Protect,
}

/// On which condition a use is permitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Permit {
    /// On none.
    Always,
    /// To who may use what is compromised: update on `{mount}keys/{name}/use-compromised`.
    UseCompromised,
}

impl KeyState {
    /// Every state, in the order in which a version goes through them.
    pub const ALL: [Self; 7] = [
        Self::PreActive,
        Self::Active,
        Self::Suspended,
        Self::Deactivated,
        Self::Compromised,
        Self::DestroyScheduled,
        Self::Destroyed,
    ];

    /// Its name in answers and records.
    pub fn name(self) -> &'static str {
        match self {
            Self::PreActive => "pre_active",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deactivated => "deactivated",
            Self::Compromised => "compromised",
            Self::DestroyScheduled => "destroy_scheduled",
            Self::Destroyed => "destroyed",
        }
    }

    /// The state of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// The state after a step, of a version that was ever compromised or was not; `None` where the step is refused.
    pub(crate) fn after(self, step: KeyStep, was: Past) -> Option<Self> {
        match (self, step) {
            (Self::PreActive, KeyStep::Activate) => Some(Self::Active),
            (Self::PreActive, KeyStep::Discard) => Some(Self::Destroyed),
            (Self::Active, KeyStep::Suspend) => Some(Self::Suspended),
            (Self::Suspended, KeyStep::Resume) => Some(Self::Active),
            (Self::Active | Self::Suspended, KeyStep::Deactivate) => Some(Self::Deactivated),
            (Self::PreActive | Self::Active | Self::Suspended | Self::Deactivated, KeyStep::Compromise) => {
                Some(Self::Compromised)
            }
            (Self::Active | Self::Deactivated, KeyStep::Rollback) => Some(Self::Active),
            (Self::Suspended | Self::Deactivated | Self::Compromised, KeyStep::ScheduleDestroy) => {
                Some(Self::DestroyScheduled)
            }
            (Self::DestroyScheduled, KeyStep::CancelDestroy) => Some(match was {
                Past::Clean => Self::Deactivated,
                Past::Compromised => Self::Compromised,
            }),
            (Self::DestroyScheduled, KeyStep::Reap) => Some(Self::Destroyed),
            (
                Self::PreActive
                | Self::Active
                | Self::Suspended
                | Self::Deactivated
                | Self::Compromised
                | Self::DestroyScheduled
                | Self::Destroyed,
                _,
            ) => None,
        }
    }

    /// Whether a version may be used so.
    pub(crate) fn permits(self, wanted: KeyUse) -> Option<Permit> {
        match (self, wanted) {
            (Self::Active, KeyUse::Export | KeyUse::Process | KeyUse::Protect)
            | (Self::Deactivated, KeyUse::Process) => Some(Permit::Always),
            (Self::Compromised, KeyUse::Process) => Some(Permit::UseCompromised),
            (Self::Deactivated | Self::Compromised, KeyUse::Export | KeyUse::Protect)
            | (Self::PreActive | Self::Suspended | Self::DestroyScheduled | Self::Destroyed, _) => None,
        }
    }

    /// The steps that people can ask for in this state, by name.
    pub(crate) fn steps(self) -> Vec<&'static str> {
        let asked = KeyStep::ALL.into_iter().filter(|step| *step != KeyStep::Reap);
        asked.filter(|step| self.after(*step, Past::Clean).is_some()).map(KeyStep::name).collect()
    }
}

/// Whether a version was ever compromised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Past {
    Clean,
    Compromised,
}

impl KeyStep {
    const ALL: [Self; 10] = [
        Self::Activate,
        Self::CancelDestroy,
        Self::Compromise,
        Self::Deactivate,
        Self::Discard,
        Self::Reap,
        Self::Resume,
        Self::Rollback,
        Self::ScheduleDestroy,
        Self::Suspend,
    ];

    /// What it is called in paths and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Activate => "activate",
            Self::CancelDestroy => "cancel-destroy",
            Self::Compromise => "compromise",
            Self::Deactivate => "deactivate",
            // To who asks both are "destroy": what was never in use goes at once.
            Self::Discard | Self::ScheduleDestroy => "destroy",
            Self::Reap => "reap",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
            Self::Suspend => "suspend",
        }
    }
}

impl KeyUse {
    /// What it is called in messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Export => "export",
            Self::Process => "decrypt, verify, unwrap and decapsulate",
            Self::Protect => "encrypt, sign, mac, wrap and encapsulate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{KeyState::*, KeyStep::*, *};

    /// Every step that is allowed, and where it leads: of a version that was never compromised, and of one that was.
    const STEPS: [(KeyState, KeyStep, KeyState, KeyState); 17] = [
        (PreActive, Activate, Active, Active),
        (PreActive, Discard, Destroyed, Destroyed),
        (PreActive, Compromise, KeyState::Compromised, KeyState::Compromised),
        (Active, Suspend, Suspended, Suspended),
        (Active, Deactivate, Deactivated, Deactivated),
        (Active, Compromise, KeyState::Compromised, KeyState::Compromised),
        (Active, Rollback, Active, Active),
        (Suspended, Resume, Active, Active),
        (Suspended, Deactivate, Deactivated, Deactivated),
        (Suspended, Compromise, KeyState::Compromised, KeyState::Compromised),
        (Suspended, ScheduleDestroy, DestroyScheduled, DestroyScheduled),
        (Deactivated, Compromise, KeyState::Compromised, KeyState::Compromised),
        (Deactivated, Rollback, Active, Active),
        (Deactivated, ScheduleDestroy, DestroyScheduled, DestroyScheduled),
        (KeyState::Compromised, ScheduleDestroy, DestroyScheduled, DestroyScheduled),
        (DestroyScheduled, CancelDestroy, Deactivated, KeyState::Compromised),
        (DestroyScheduled, Reap, Destroyed, Destroyed),
    ];

    #[test]
    fn every_step_from_every_state_leads_where_the_table_says() {
        let mut seen = 0;
        for state in KeyState::ALL {
            for step in KeyStep::ALL {
                let row = STEPS.iter().find(|(from, by, ..)| (*from, *by) == (state, step));
                assert_eq!(state.after(step, Past::Clean), row.map(|row| row.2), "{state:?} {step:?}");
                assert_eq!(
                    state.after(step, Past::Compromised),
                    row.map(|row| row.3),
                    "{state:?} {step:?}, compromised"
                );
                seen += usize::from(row.is_some());
            }
        }
        assert_eq!(seen, STEPS.len(), "a row of the table is no pair of state and step");
    }

    #[test]
    fn every_use_in_every_state_is_permitted_as_the_table_says() {
        let table = [
            (PreActive, [None; 3]),
            (Active, [Some(Permit::Always); 3]),
            (Suspended, [None; 3]),
            (Deactivated, [None, Some(Permit::Always), None]),
            (KeyState::Compromised, [None, Some(Permit::UseCompromised), None]),
            (DestroyScheduled, [None; 3]),
            (Destroyed, [None; 3]),
        ];
        assert_eq!(table.map(|(state, _)| state), KeyState::ALL);
        for (state, permits) in table {
            let uses = [KeyUse::Protect, KeyUse::Process, KeyUse::Export];
            assert_eq!(uses.map(|wanted| state.permits(wanted)), permits, "{state:?}");
        }
    }

    #[test]
    fn steps_that_a_state_allows_are_named_for_people_without_the_reapers() {
        let named = KeyState::ALL.map(|state| state.steps().join(" "));
        assert_eq!(
            named,
            [
                "activate compromise destroy",
                "compromise deactivate rollback suspend",
                "compromise deactivate resume destroy",
                "compromise rollback destroy",
                "destroy",
                "cancel-destroy",
                "",
            ]
        );
        assert!(KeyState::ALL.iter().all(|state| KeyState::parse(state.name()) == Some(*state)));
        assert_eq!(KeyState::parse("Active"), None);
    }
}
