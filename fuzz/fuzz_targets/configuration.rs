//! Configuration files.
#![no_main]

use std::{path::PathBuf, sync::LazyLock};

static DIRECTORY: LazyLock<PathBuf> = LazyLock::new(|| {
    let directory = std::env::temp_dir().join(format!("coffer-fuzz-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("the temporary directory is writable");
    directory
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coffer_server::fuzz::configuration(bytes, &DIRECTORY));
