//! How long a token lives: what is asked for, within the bounds of its login's mount, its role and itself.

use super::{TokenEntry, create::Wanted};
use crate::{Mount, active::Active, time::short};

/// Seconds that a mount gives: to who asks for nothing, and at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) default: u64,
    pub(crate) max: u64,
}

/// What a renewal goes by, in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Where no increment is asked for.
    pub(crate) ttl: u64,
    /// From the token's creation on.
    pub(crate) max: u64,
    /// 0 = not periodic.
    pub(crate) period: u64,
}

impl Active {
    /// The bounds of a mount, and where it has none (or there is no mount) the system's.
    pub(crate) fn bounds(&self, mount: Option<&Mount>) -> Bounds {
        let own = |of_mount: u64, of_system: u64| if of_mount > 0 { of_mount } else { of_system };
        let max = own(mount.map_or(0, |mount| mount.max_lease_ttl), self.limits.max_lease_ttl);
        let default = own(mount.map_or(0, |mount| mount.default_lease_ttl), self.limits.default_lease_ttl);
        Bounds { default: default.min(max), max }
    }

    /// A new token's lifetime in seconds; 0 = for ever.
    pub(crate) fn lifetime(&self, wanted: &Wanted, is_root: bool, warnings: &mut Vec<String>) -> u64 {
        let bounds = wanted.bounds.unwrap_or_else(|| self.bounds(None));
        if is_root && wanted.period == 0 && wanted.ttl.is_none() && wanted.explicit_max_ttl == 0 {
            return 0;
        }
        let limits = [bounds.max, wanted.max_ttl.unwrap_or(0), wanted.explicit_max_ttl];
        if wanted.period > 0 {
            let most = least([bounds.max, 0, wanted.explicit_max_ttl]);
            return capped("period", wanted.period, most, warnings);
        }
        let most = least(limits);
        match wanted.ttl {
            Some(ttl) => capped("TTL", ttl, most, warnings),
            None if wanted.login.is_some() => capped("TTL", bounds.default, most, warnings),
            None => bounds.default.min(most),
        }
    }
}

/// Milliseconds that a renewal gives from `now` on.
pub(crate) fn renewed(entry: &TokenEntry, terms: Terms, now: i64, increment: u64, warnings: &mut Vec<String>) -> i64 {
    let milliseconds = super::create::milliseconds;
    let left_of = |max: u64| entry.created_ms.saturating_add(milliseconds(max)).saturating_sub(now).max(0);
    if terms.period > 0 {
        let left = match entry.explicit_max_ttl {
            0 => i64::MAX,
            max => left_of(max),
        };
        return milliseconds(terms.period).min(left);
    }
    let asked = if increment > 0 { increment } else { terms.ttl };
    let most = least([terms.max, 0, entry.explicit_max_ttl]);
    let left = left_of(most);
    if milliseconds(asked) > left {
        warnings.push(exceeded("TTL", asked, most));
    }
    milliseconds(asked).min(left)
}

fn capped(what: &str, asked: u64, most: u64, warnings: &mut Vec<String>) -> u64 {
    if asked > most {
        warnings.push(exceeded(what, asked, most));
    }
    asked.min(most)
}

fn exceeded(what: &str, asked: u64, most: u64) -> String {
    let (asked, most) = (short(asked), short(most));
    format!("{what} of \"{asked}\" exceeded the effective max_ttl of \"{most}\"; {what} value is capped accordingly")
}

/// The smallest that is not 0.
fn least(of: [u64; 3]) -> u64 {
    of.into_iter().filter(|one| *one > 0).min().unwrap_or(u64::MAX)
}
