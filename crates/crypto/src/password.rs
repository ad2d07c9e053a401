//! Passwords of people: Argon2id in PHC strings.

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::{Error, rng};

/// Hashes a password under a random salt, with 19 MiB and two passes (OWASP's recommendation), which takes tens of
/// milliseconds of CPU: never on a thread that serves others.
///
/// # Errors
/// [`Error::Parameters`] for a password longer than 4096 bytes, [`Error::Random`].
pub fn hash(password: &[u8]) -> Result<String, Error> {
    const FAILED: Error = Error::Parameters("a password has at most 4096 bytes");
    if password.len() > MAX_PASSWORD_LEN {
        return Err(FAILED);
    }
    let salt = rng::bytes::<16>()?;
    let params = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(|_| FAILED)?;
    let hash = Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_with_salt(password, &salt)
        .map_err(|_| FAILED)?;
    Ok(hash.to_string())
}

/// The cost of a bcrypt hash of any minor version, 4 to 31; none for a text that is no such hash. [`verify`] takes costs
/// to 12, about half a second of CPU.
pub fn bcrypt_cost(text: &str) -> Option<u32> {
    let parts = plain_bcrypt(text)?.parse::<bcrypt::HashParts>().ok()?;
    Some(parts.get_cost()).filter(|cost| (MIN_BCRYPT_COST..=MOST_BCRYPT_COST).contains(cost))
}

/// Checks a password against a stored PHC string, or a bcrypt hash; costs what the string asks for, up to 256 MiB and 16 passes.
///
/// # Errors
/// [`Error::Authentication`] for another password, [`Error::Parameters`] for a string that is no Argon2id hash or asks
/// for more than the bounds.
pub fn verify(password: &[u8], phc: &str) -> Result<(), Error> {
    const UNUSABLE: Error = Error::Parameters("the stored password hash is not Argon2id within bounds");
    if phc.len() > MAX_PHC_LEN {
        return Err(UNUSABLE);
    }
    if let (Some(cost), Some(hash)) = (bcrypt_cost(phc), plain_bcrypt(phc)) {
        if cost > MAX_BCRYPT_COST {
            return Err(UNUSABLE);
        }
        // Longer ones are cut, so that they would match others; the work is done all the same.
        let fits = password.len() <= MAX_BCRYPT_PASSWORD;
        let matches = bcrypt::verify(password, &hash).map_err(|_| UNUSABLE)? && fits;
        return if matches { Ok(()) } else { Err(Error::Authentication) };
    }
    let stored = PasswordHash::new(phc).map_err(|_| UNUSABLE)?;
    let params = Params::try_from(&stored).map_err(|_| UNUSABLE)?;
    let in_bounds = stored.algorithm == Algorithm::Argon2id.ident()
        && stored.version == Some(Version::V0x13.into())
        && stored.salt.as_ref().is_some_and(|salt| salt.len() >= MIN_SALT_LEN)
        && stored.hash.as_ref().is_some_and(|hash| hash.len() >= MIN_HASH_LEN)
        && params.m_cost() <= MAX_MEMORY_KIB
        && params.t_cost() <= MAX_PASSES
        && params.p_cost() <= MAX_LANES;
    if !in_bounds {
        return Err(UNUSABLE);
    }
    if password.len() > MAX_PASSWORD_LEN {
        return Err(Error::Authentication);
    }
    Argon2::default().verify_password(password, &stored).map_err(|_| Error::Authentication)
}

/// Checks a password against a stored hash as [`verify`] does, or against nobody's, with the work that takes for everybody
/// whose hash is one of [`hash`] or a bcrypt hash of at most `costliest`: whoever measures it learns nothing of a name.
///
/// # Errors
/// As [`verify`]; [`Error::Authentication`] for nobody.
pub fn verify_evenly(password: &[u8], stored: Option<&str>, costliest: Option<u32>) -> Result<(), Error> {
    let mut verified = Err(Error::Authentication);
    for step in steps(stored, costliest) {
        match step {
            Step::Argon2id(Some(hash)) | Step::Bcrypt(_, Some(hash)) => verified = verify(password, hash),
            Step::Argon2id(None) => drop(verify(password, NOBODY)),
            Step::Bcrypt(cost, None) => drop(verify(password, &nobody_of_bcrypt(cost))),
        }
    }
    verified
}

/// What is computed, of which at most one has the stored hash.
enum Step<'a> {
    Argon2id(Option<&'a str>),
    Bcrypt(u32, Option<&'a str>),
}

/// One Argon2id, and, where there are bcrypt hashes, as much as the costliest of them: a cheaper one leaves as much to be done as
/// one of each cost from its own up to that, since each doubles the one before.
fn steps(stored: Option<&str>, costliest: Option<u32>) -> Vec<Step<'_>> {
    let bcrypt = stored.and_then(|hash| Some((bcrypt_cost(hash)?, hash)));
    let mut steps = vec![Step::Argon2id(stored.filter(|_| bcrypt.is_none()))];
    match (bcrypt, costliest) {
        (Some((cost, hash)), costliest) => {
            steps.push(Step::Bcrypt(cost, Some(hash)));
            steps.extend((cost..costliest.unwrap_or(cost)).map(|cost| Step::Bcrypt(cost, None)));
        }
        (None, Some(costliest)) => steps.push(Step::Bcrypt(costliest, None)),
        (None, None) => {}
    }
    steps
}

fn nobody_of_bcrypt(cost: u32) -> String {
    format!("$2b${cost:02}$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
}

/// The text with the minor version that our implementation knows: all of them are computed alike.
fn plain_bcrypt(text: &str) -> Option<String> {
    let (minor, rest) = text.strip_prefix("$2")?.split_once('$')?;
    (minor.len() <= 1).then(|| format!("$2b${rest}"))
}

/// The hash of nobody's password, with the parameters of [`hash`].
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// The costliest bcrypt hash that [`verify`] computes.
pub const MAX_BCRYPT_COST: u32 = 12;
const MAX_PASSWORD_LEN: usize = 4096;
const MIN_BCRYPT_COST: u32 = 4;
const MOST_BCRYPT_COST: u32 = 31;
const MAX_BCRYPT_PASSWORD: usize = 72;
const MAX_PHC_LEN: usize = 256;
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const MAX_MEMORY_KIB: u32 = 256 * 1024;
const MAX_PASSES: u32 = 16;
const MAX_LANES: u32 = 8;
const MIN_SALT_LEN: usize = 8;
const MIN_HASH_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bcrypt_published_vectors_hold() {
        // From the test suite of the program that came with the algorithm (crypt_blowfish).
        let hash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";
        for minor in ["2a", "2b", "2y", "2x", "2"] {
            let hash = hash.replacen("2a", minor, 1);
            assert_eq!(bcrypt_cost(&hash), Some(5), "{hash}");
            assert!(verify(b"U*U", &hash).is_ok(), "{hash}");
            assert!(matches!(verify(b"U*U*", &hash), Err(Error::Authentication)));
            assert!(matches!(verify(&[b'x'; 73], &hash), Err(Error::Authentication)));
        }
        let of_cost = |cost: &str| hash.replacen("$05$", &format!("${cost}$"), 1);
        for (cost, read) in [("03", None), ("04", Some(4)), ("12", Some(12)), ("31", Some(31)), ("32", None)] {
            assert_eq!(bcrypt_cost(&of_cost(cost)), read, "{cost}");
        }
        assert!(matches!(verify(b"U*U", &of_cost("13")), Err(Error::Parameters(_))), "it would take too long");
        for bad in
            ["", "xx", "$2", "$2a$", "$2a$05$short", "$2ab$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"]
        {
            assert!(bcrypt_cost(bad).is_none() && matches!(verify(b"U*U", bad), Err(Error::Parameters(_))), "{bad}");
        }
    }

    #[test]
    fn work_is_the_same_for_nobody_and_for_every_kind_of_hash() {
        // In units of the cheapest bcrypt hash, and in Argon2id's.
        let work = |stored: Option<&str>, costliest| {
            let mut work = (0, 0_u64);
            for step in steps(stored, costliest) {
                match step {
                    Step::Argon2id(_) => work.0 += 1,
                    Step::Bcrypt(cost, _) => work.1 += 1 << cost,
                }
            }
            work
        };
        let argon2id = hash(b"x").unwrap();
        assert_eq!((work(None, None), work(Some(&argon2id), None)), ((1, 0), (1, 0)));
        for costliest in 5..=MAX_BCRYPT_COST {
            let everybody = (1, 1 << costliest);
            assert_eq!(work(None, Some(costliest)), everybody);
            assert_eq!(work(Some(&argon2id), Some(costliest)), everybody);
            for cost in 5..=costliest {
                assert_eq!(work(Some(&nobody_of_bcrypt(cost)), Some(costliest)), everybody, "{cost} {costliest}");
            }
        }
        // The stand-ins are hashes that are worked on, not refused.
        assert!(matches!(verify(b"x", NOBODY), Err(Error::Authentication)));
        assert!(matches!(verify(b"x", &nobody_of_bcrypt(5)), Err(Error::Authentication)));
    }

    #[test]
    fn password_verified_evenly_is_verified_as_ever() {
        let argon2id = hash(b"U*U").unwrap();
        let bcrypt = nobody_of_bcrypt(5);
        for costliest in [None, Some(5), Some(6)] {
            for stored in [&argon2id, &bcrypt] {
                assert!(verify_evenly(b"U*U", Some(stored), costliest).is_ok());
                assert!(matches!(verify_evenly(b"U*u", Some(stored), costliest), Err(Error::Authentication)));
            }
            assert!(matches!(verify_evenly(b"U*U", None, costliest), Err(Error::Authentication)), "nobody's");
        }
    }

    #[test]
    fn password_hashed_verifies_and_another_does_not() {
        let phc = hash(b"correct horse").unwrap();
        assert!(phc.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{phc}");
        assert!(verify(b"correct horse", &phc).is_ok());
        for wrong in [b"correct hors".as_slice(), b"", b"correct horse ", &[b'a'; 5000]] {
            assert!(matches!(verify(wrong, &phc), Err(Error::Authentication)));
        }
        assert_ne!(phc, hash(b"correct horse").unwrap());
    }

    #[test]
    fn password_hash_published_verifies() {
        // From the reference implementation's test suite: Argon2id, 256 KiB, two passes.
        let phc = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        assert!(verify(b"password", phc).is_ok());
        assert!(matches!(verify(b"passwore", phc), Err(Error::Authentication)));
    }

    #[test]
    fn password_too_long_is_refused() {
        assert!(hash(&[b'a'; 4096]).is_ok());
        assert!(matches!(hash(&[b'a'; 4097]), Err(Error::Parameters(_))));
    }

    #[test]
    fn password_hash_out_of_bounds_is_refused_without_work() {
        let tail = "c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4";
        for head in [
            "$argon2id$v=19$m=262145,t=2,p=1$",
            "$argon2id$v=19$m=4294967295,t=2,p=1$",
            "$argon2id$v=19$m=19456,t=17,p=1$",
            "$argon2id$v=19$m=19456,t=4294967295,p=1$",
            "$argon2id$v=19$m=19456,t=2,p=9$",
            "$argon2id$v=16$m=19456,t=2,p=1$",
            "$argon2id$m=19456,t=2,p=1$",
            "$argon2i$v=19$m=19456,t=2,p=1$",
            "$argon2d$v=19$m=19456,t=2,p=1$",
            "$pbkdf2-sha256$v=19$m=19456,t=2,p=1$",
            "$argon2id$v=19$m=-1,t=2,p=1$",
        ] {
            assert!(matches!(verify(b"password", &format!("{head}{tail}")), Err(Error::Parameters(_))), "{head}");
        }
        for phc in ["", "$", "$argon2id", "plain", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ", &"$a".repeat(1 << 20)] {
            assert!(matches!(verify(b"password", phc), Err(Error::Parameters(_))));
        }
    }
}
