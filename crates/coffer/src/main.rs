//! The `coffer` binary: server, client and operator's tool in one. It must never reach inside a server: apart from
//! `server` itself and the offline commands, everything goes over the native API.

mod behind;
mod cli;
mod cmd;
mod complete;
mod data_dir;
mod dotenv;
mod duration;
mod environment;
mod failure;
mod given;
mod input;
mod keyring;
mod output;
mod paging;
mod plan;
mod profile;
mod redact;
mod scope;
mod session;
mod signals;
mod spelling;
mod stream;
mod token_file;
mod token_place;
mod usage;
mod value_diff;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

use cli::Cli;
use environment::Environment;

/// Freed memory is wiped: what libraries leave behind of values and tokens goes with their buffers. Beneath lies mimalloc:
/// glibc's allocator keeps what a burst of large requests took, an arena a thread, and costs a read more CPU.
#[cfg(not(feature = "bench-unwiped"))]
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<MiMalloc> = zeroizing_alloc::ZeroAlloc(MiMalloc);

/// What wiping costs is measured against this.
#[cfg(feature = "bench-unwiped")]
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    complete::answer();
    let result = match Cli::try_parse_from(spelling::with_two_dashes(std::env::args_os())) {
        Ok(cli) => cmd::dispatch(cli, Environment::of_process()),
        Err(error) => usage::answer(&error),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(),
    }
}
