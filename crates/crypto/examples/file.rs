//! Encrypts or decrypts one file with a fixed data key, for `make bench` to time: what the file format costs by itself.
//! Prints a line of JSON: bytes, seconds.
//!
//! Usage: `file encrypt|decrypt IN OUT`

use std::error::Error;
use std::fs::File;
use std::io::Write;
use std::time::Instant;

use coffer_crypto::{Secret, file};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [how, from, to] = arguments.as_slice() else { return Err(USAGE.into()) };
    let data_key = Secret::copy_from(&[7; 32])?;
    let (mut input, mut output) = (File::open(from)?, File::create(to)?);
    let started = Instant::now();
    let bytes = match how.as_str() {
        "encrypt" => file::encrypt(&data_key, b"envelope", &mut input, &mut output)?,
        "decrypt" => file::Header::read(&mut input)?.decrypt(&data_key, &mut input, &mut output)?,
        _ => return Err(USAGE.into()),
    };
    let took = started.elapsed().as_secs_f64();
    writeln!(std::io::stdout(), "{{\"bytes\":{bytes},\"seconds\":{took:.6}}}")?;
    Ok(())
}

const USAGE: &str = "usage: file encrypt|decrypt IN OUT";
