//! How long a token lives: what is asked for, within the bounds of its login's mount, its role and itself.

use super::{TokenEntry, create::Wanted};
use crate::{Error, active::Active, mount::signed, time::go_seconds};

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
    /// A new token's lifetime in seconds; 0 = for ever, negative = over already.
    ///
    /// # Errors
    /// [`coffer_api::Code::Invalid`] where its mount lets no token live.
    pub(crate) fn lifetime(&self, wanted: &Wanted, is_root: bool, warnings: &mut Vec<String>) -> Result<i64, Error> {
        let of_mount = self.limits.lease_ttls(self.mounts.resolve(&wanted.path).as_deref());
        if is_root && wanted.period == 0 && wanted.ttl.is_none() && wanted.explicit_max_ttl == 0 {
            return Ok(0);
        }
        let default = u64::try_from(of_mount.default).unwrap_or_default();
        if wanted.wrapping {
            return Ok(signed(wanted.ttl.unwrap_or(default)));
        }
        let max = of_mount.most()?;
        if wanted.period == 0 && wanted.ttl.is_none() && of_mount.default < 0 {
            return Ok(of_mount.default);
        }
        let most = least([max, wanted.max_ttl.unwrap_or(0), wanted.explicit_max_ttl]);
        if wanted.period > 0 {
            return Ok(signed(capped("period", wanted.period, most, warnings)));
        }
        Ok(signed(match wanted.ttl {
            Some(ttl) => capped("TTL", ttl, most, warnings),
            // Nobody asked for the default of a root token, which has none.
            None if is_root => default.min(most),
            None if wanted.explicit_max_ttl > 0 || wanted.login.is_some() => capped("TTL", default, most, warnings),
            None => default.min(most),
        }))
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
        let period = capped("period", terms.period, least([terms.max, 0, entry.explicit_max_ttl]), warnings);
        return milliseconds(period).min(left);
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
    let (asked, most) = (go_seconds(asked), go_seconds(most));
    format!("{what} of \"{asked}\" exceeded the effective max_ttl of \"{most}\"; {what} value is capped accordingly")
}

/// The smallest that is not 0.
fn least(of: [u64; 3]) -> u64 {
    of.into_iter().filter(|one| *one > 0).min().unwrap_or(u64::MAX)
}
