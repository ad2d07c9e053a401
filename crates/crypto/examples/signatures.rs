//! RSA-2048 signatures by aws-lc-rs alone, for `make bench` to compare with: threads that sign for a time and do nothing
//! else. Prints a line of JSON: signatures, seconds.
//!
//! Usage: `signatures THREADS SECONDS`

use std::error::Error;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::RSA_PSS_SHA256;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [threads, seconds] = arguments.as_slice() else { return Err("usage: signatures THREADS SECONDS".into()) };
    let (threads, seconds): (usize, u64) = (threads.parse()?, seconds.parse()?);
    let key = KeyPair::generate(KeySize::Rsa2048)?;
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let counts: Vec<Result<u64, Unspecified>> = thread::scope(|scope| {
        let signers: Vec<_> = (0..threads).map(|_| scope.spawn(|| sign_until(&key, end))).collect();
        signers.into_iter().map(|signer| signer.join().unwrap_or(Err(Unspecified))).collect()
    });
    let took = started.elapsed().as_secs_f64();
    let signatures: u64 = counts.into_iter().sum::<Result<_, _>>()?;
    writeln!(std::io::stdout(), "{{\"signatures\":{signatures},\"seconds\":{took:.6}}}")?;
    Ok(())
}

/// How many messages were signed by then.
fn sign_until(key: &KeyPair, end: Instant) -> Result<u64, Unspecified> {
    let random = SystemRandom::new();
    let mut signature = vec![0; key.public_modulus_len()];
    let mut signed = 0;
    while Instant::now() < end {
        key.sign(&RSA_PSS_SHA256, &random, b"sixteen byte msg", &mut signature)?;
        signed += 1;
    }
    Ok(signed)
}
