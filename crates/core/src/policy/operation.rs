//! What can be asked for (operations) and what a rule can hold (capabilities).

use std::fmt;

/// A logical operation. For a write the caller has already settled, by the engine's existence check, whether it
/// creates or updates.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Operation {
    /// A write to what does not exist yet.
    Create,
    /// A deletion.
    Delete,
    /// A list of one level.
    List,
    /// A partial change.
    Patch,
    /// A read.
    Read,
    /// A list of all levels.
    Scan,
    /// A write to what exists, or to what has no existence.
    Update,
}

impl Operation {
    /// All operations.
    pub const ALL: [Operation; 7] = [
        Operation::Create,
        Operation::Delete,
        Operation::List,
        Operation::Patch,
        Operation::Read,
        Operation::Scan,
        Operation::Update,
    ];

    /// The capability that a rule must hold to allow this.
    pub fn capability(self) -> Capability {
        match self {
            Operation::Create => Capability::Create,
            Operation::Delete => Capability::Delete,
            Operation::List => Capability::List,
            Operation::Patch => Capability::Patch,
            Operation::Read => Capability::Read,
            Operation::Scan => Capability::Scan,
            Operation::Update => Capability::Update,
        }
    }

    /// Whether the operation enumerates names; such a path may be written with or without a trailing `/`.
    pub(super) fn enumerates(self) -> bool {
        matches!(self, Operation::List | Operation::Scan)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.capability().name())
    }
}

/// One capability of a rule.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Capability {
    /// Write what does not exist.
    Create,
    /// Delete.
    Delete,
    /// Refuse everything, whatever else is granted for the same pattern.
    Deny,
    /// List one level.
    List,
    /// Change in part.
    Patch,
    /// Read.
    Read,
    /// List all levels.
    Scan,
    /// Use the paths that need more than a capability, see [`needs_sudo`](super::needs_sudo).
    Sudo,
    /// Write what exists.
    Update,
}

impl Capability {
    /// All capabilities, in the order of their names.
    pub const ALL: [Capability; 9] = [
        Capability::Create,
        Capability::Delete,
        Capability::Deny,
        Capability::List,
        Capability::Patch,
        Capability::Read,
        Capability::Scan,
        Capability::Sudo,
        Capability::Update,
    ];

    /// The word that policies use.
    pub fn name(self) -> &'static str {
        match self {
            Capability::Create => "create",
            Capability::Delete => "delete",
            Capability::Deny => "deny",
            Capability::List => "list",
            Capability::Patch => "patch",
            Capability::Read => "read",
            Capability::Scan => "scan",
            Capability::Sudo => "sudo",
            Capability::Update => "update",
        }
    }

    /// The capability of that name.
    pub fn from_name(name: &str) -> Option<Capability> {
        Capability::ALL.into_iter().find(|capability| capability.name() == name)
    }

    fn bit(self) -> u16 {
        match self {
            Capability::Create => 1,
            Capability::Delete => 1 << 1,
            Capability::Deny => 1 << 2,
            Capability::List => 1 << 3,
            Capability::Patch => 1 << 4,
            Capability::Read => 1 << 5,
            Capability::Scan => 1 << 6,
            Capability::Sudo => 1 << 7,
            Capability::Update => 1 << 8,
        }
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of capabilities.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
pub struct Capabilities(u16);

impl Capabilities {
    /// None.
    pub const EMPTY: Capabilities = Capabilities(0);
    /// Those of the root policy: everything.
    pub const ROOT: Capabilities = Capabilities(ROOT_BIT);

    /// Whether this is the root policy's.
    pub fn is_root(self) -> bool {
        self.0 & ROOT_BIT != 0
    }

    /// Whether `capability` is held. Root holds all but `deny`.
    pub fn contains(self, capability: Capability) -> bool {
        if self.is_root() { capability != Capability::Deny } else { self.0 & capability.bit() != 0 }
    }

    /// Whether nothing at all is allowed.
    pub fn is_denied(self) -> bool {
        self.0 == 0 || self.contains(Capability::Deny)
    }

    /// Both sets joined: `deny` in either leaves nothing but `deny`.
    pub fn joined(self, other: Capabilities) -> Capabilities {
        let joined = Capabilities(self.0 | other.0);
        if joined.contains(Capability::Deny) { Capabilities(Capability::Deny.bit()) } else { joined }
    }

    /// The names, sorted, as `sys/capabilities` answers them: `["root"]` for root, `["deny"]` for nothing.
    pub fn names(self) -> Vec<&'static str> {
        if self.is_root() {
            vec!["root"]
        } else if self.is_denied() {
            vec![Capability::Deny.name()]
        } else {
            Capability::ALL.into_iter().filter(|c| self.contains(*c)).map(Capability::name).collect()
        }
    }
}

impl FromIterator<Capability> for Capabilities {
    fn from_iter<T: IntoIterator<Item = Capability>>(capabilities: T) -> Capabilities {
        capabilities.into_iter().fold(Capabilities::EMPTY, |set, c| set.joined(Capabilities(c.bit())))
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl fmt::Display for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(", "))
    }
}

const ROOT_BIT: u16 = 1 << 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capability_of_every_name_is_found_again() {
        for capability in Capability::ALL {
            assert_eq!(Capability::from_name(capability.name()), Some(capability));
        }
        assert_eq!(Capability::from_name("root"), None);
        assert_eq!(Capability::from_name("Read"), None);
    }

    #[test]
    fn capabilities_with_deny_hold_nothing_else() {
        let set: Capabilities = [Capability::Read, Capability::Deny, Capability::List].into_iter().collect();
        assert_eq!(set.names(), ["deny"]);
        assert!(!set.contains(Capability::Read) && !set.contains(Capability::List));
        assert_eq!(Capabilities::EMPTY.names(), ["deny"]);
        assert_eq!(Capabilities::ROOT.names(), ["root"]);
    }

    #[test]
    fn capabilities_names_are_sorted() {
        let set: Capabilities = Capability::ALL.into_iter().filter(|c| *c != Capability::Deny).collect();
        let names = set.names();
        assert!(names.is_sorted() && names.len() == 8);
    }
}
