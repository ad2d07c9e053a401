//! Shamir's secret sharing over GF(2^8), so that only so many shares together give a key.
//!
//! A share is one byte longer than the key: a point of each byte's polynomial, then the x at which all were taken. One
//! share of one is the key itself. Arithmetic on secret bytes has neither branches nor tables, whose cache lines have
//! given shares away elsewhere (CVE-2023-25000). A wrong set of shares combines to a wrong key, which only a wrap tells.

use std::hint::black_box;

use zeroize::Zeroizing;

use crate::{Error, Secret, rng};

/// How many shares there are, 1 to 255.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Shares(pub u8);

/// How many shares give the key, 1 to 255.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Threshold(pub u8);

/// Splits a key.
///
/// # Errors
/// [`Error::Parameters`] unless `1 < threshold <= shares`, or both are 1; [`Error::Random`], [`Error::Memory`].
pub fn split(key: &Secret, shares: Shares, threshold: Threshold) -> Result<Vec<Secret>, Error> {
    match (shares.0, threshold.0) {
        (1, 1) => return Ok(vec![Secret::copy_from(key.expose())?]),
        (shares, threshold) if threshold > 1 && threshold <= shares => {}
        _ => return Err(Error::Parameters("a threshold is above one and at most the number of shares")),
    }
    // Per byte of the key, the coefficients of x^(threshold - 1) down to x.
    let degree = usize::from(threshold.0 - 1);
    let mut coefficients = Zeroizing::new(vec![0; key.len() * degree]);
    rng::fill(&mut coefficients)?;
    let share = |x: u8| {
        Secret::zeroed_with(key.len() + 1, |share| {
            let points = key.expose().iter().zip(coefficients.chunks_exact(degree));
            for (y, (constant, coefficients)) in share.iter_mut().zip(points) {
                *y = coefficients.iter().chain([constant]).fold(0, |y, next| multiply(y, x) ^ next);
            }
            if let Some(last) = share.last_mut() {
                *last = x;
            }
            Ok(())
        })
    };
    (1..=shares.0).map(share).collect()
}

/// The key that these shares give, all of which are used: one more than the threshold does no harm, one less gives
/// another key.
///
/// # Errors
/// [`Error::Parameters`] for no share, for several of different lengths or of one byte, and where two have the same x or one
/// has none; [`Error::Memory`].
pub fn combine<'a>(shares: impl IntoIterator<Item = &'a Secret>) -> Result<Secret, Error> {
    let shares: Vec<&Secret> = shares.into_iter().collect();
    let first = match shares.as_slice() {
        [] => return Err(Error::Parameters("no share")),
        [only] => return Secret::copy_from(only.expose()),
        [first, ..] => first,
    };
    if first.len() < 2 || shares.iter().any(|share| share.len() != first.len()) {
        return Err(Error::Parameters("all shares must have the same length"));
    }
    let parted = shares.iter().filter_map(|share| share.expose().split_last());
    let points: Vec<(u8, &[u8])> = parted.map(|(x, y)| (*x, y)).collect();
    let mut seen = [false; 256];
    for (x, _) in &points {
        let seen = seen.get_mut(usize::from(*x)).expect("a byte is below 256");
        if *x == 0 || std::mem::replace(seen, true) {
            return Err(Error::Parameters("each share must have another x, which is not zero"));
        }
    }
    Secret::zeroed_with(first.len() - 1, |key| {
        for (x, y) in &points {
            // Lagrange's basis polynomial at zero. The x of shares are no secret.
            let others = points.iter().map(|(other, _)| *other).filter(|other| other != x);
            let weight = others.fold(1, |weight, other| multiply(weight, multiply(other, inverse(other ^ x))));
            for (byte, y) in key.iter_mut().zip(*y) {
                *byte ^= multiply(weight, *y);
            }
        }
        Ok(())
    })
}

/// Product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1, in the same time and with the same accesses whatever the factors.
fn multiply(mut a: u8, b: u8) -> u8 {
    let mut product = 0;
    for bit in 0..8 {
        product ^= a & mask(b >> bit);
        a = (a << 1) ^ (REDUCER & mask(a >> 7));
    }
    product
}

/// All ones where the lowest bit is one, else zero; no optimiser sees that there are only two cases.
fn mask(bit: u8) -> u8 {
    black_box(0_u8.wrapping_sub(bit & 1))
}

/// `a^254`, which is the inverse of every `a` but zero.
fn inverse(a: u8) -> u8 {
    (0..253).fold(a, |power, _| multiply(power, a))
}

const REDUCER: u8 = 0x1b;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn secret(bytes: &[u8]) -> Secret {
        Secret::copy_from(bytes).unwrap()
    }

    fn of_hex(text: &str) -> Secret {
        let bytes = (0..text.len()).step_by(2).map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap());
        secret(&bytes.collect::<Vec<u8>>())
    }

    #[test]
    fn field_is_that_of_aes() {
        // FIPS 197, 4.2 and 4.2.1.
        assert_eq!(multiply(0x57, 0x83), 0xc1);
        assert_eq!(multiply(0x57, 0x13), 0xfe);
        for a in 1..=255 {
            assert_eq!(multiply(a, inverse(a)), 1, "{a}");
            assert_eq!((multiply(a, 0), multiply(0, a), multiply(a, 1)), (0, 0, a));
        }
    }

    #[test]
    fn every_three_of_five_shares_of_another_implementation_give_one_key() {
        // Recorded from OpenBao 2.7.2: `sys/init` with five shares, of which three are needed.
        let shares: Vec<Secret> = include_str!("../testdata/golden/shares-3-of-5.txt").lines().map(of_hex).collect();
        let key = combine(&shares).unwrap();
        for a in 0..5 {
            for b in (0..5).filter(|b| *b != a) {
                for c in (0..5).filter(|c| *c != a && *c != b) {
                    assert_eq!(combine([&shares[a], &shares[b], &shares[c]]).unwrap().expose(), key.expose());
                }
                assert_ne!(combine([&shares[a], &shares[b]]).unwrap().expose(), key.expose());
            }
        }
    }

    #[test]
    fn one_of_one_is_the_key() {
        let shares = split(&secret(&[7; 32]), Shares(1), Threshold(1)).unwrap();
        assert_eq!((shares.len(), shares[0].expose()), (1, [7; 32].as_slice()));
        assert_eq!(combine(&shares).unwrap().expose(), [7; 32]);
    }

    #[test]
    fn counts_that_make_no_sense_are_refused() {
        for (shares, threshold) in [(0, 0), (1, 0), (0, 1), (2, 1), (255, 1), (2, 3), (1, 2), (1, 255)] {
            let refused = split(&secret(&[1]), Shares(shares), Threshold(threshold));
            assert!(matches!(refused, Err(Error::Parameters(_))), "{shares} {threshold}");
        }
    }

    #[test]
    fn shares_that_do_not_go_together_are_refused() {
        let shares = split(&secret(&[9; 32]), Shares(3), Threshold(2)).unwrap();
        let [one, two] = [shares[0].expose(), shares[1].expose()];
        let mut same_x = two.to_vec();
        same_x[32] = one[32];
        let mut no_x = two.to_vec();
        no_x[32] = 0;
        for other in [one, &two[..32], &[two, &[1]].concat(), &same_x, &no_x] {
            assert!(matches!(combine([&shares[0], &secret(other)]), Err(Error::Parameters(_))), "{other:?}");
        }
        assert!(matches!(combine([]), Err(Error::Parameters(_))));
        assert!(matches!(combine([&secret(&[1]), &secret(&[2])]), Err(Error::Parameters(_))));
    }

    #[test]
    fn largest_split_gives_its_key() {
        let key = Secret::random(8).unwrap();
        let shares = split(&key, Shares(255), Threshold(255)).unwrap();
        assert_eq!(combine(&shares).unwrap().expose(), key.expose());
        assert_ne!(combine(&shares[1..]).unwrap().expose(), key.expose());
    }

    #[test]
    fn coefficients_take_every_value() {
        // A generator that leaves zero out gives the key away, little by little (RUSTSEC-2024-0398).
        let mut seen = [false; 256];
        for _ in 0..400 {
            for share in split(&secret(&[0; 32]), Shares(2), Threshold(2)).unwrap().iter().take(1) {
                share.expose()[..32].iter().for_each(|y| seen[usize::from(*y)] = true);
            }
        }
        assert!(seen.iter().all(|seen| *seen), "of 12800 coefficients none had some value");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn threshold_shares_give_the_key_and_fewer_do_not(
            key in proptest::collection::vec(any::<u8>(), 16..40), shares in 2_u8..12, more in 0_u8..12, from in 0_usize..12,
        ) {
            let threshold = 2 + more % (shares - 1);
            let key = secret(&key);
            let made = split(&key, Shares(shares), Threshold(threshold)).unwrap();
            let some: Vec<&Secret> = made.iter().cycle().skip(from).take(usize::from(threshold)).collect();
            let combined = combine(some.iter().copied()).unwrap();
            prop_assert_eq!(combined.expose(), key.expose());
            let fewer = combine(some.iter().skip(1).copied()).unwrap();
            prop_assert_ne!(fewer.expose(), key.expose());
        }
    }
}
