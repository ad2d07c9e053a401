//! How many entries a second the log takes on this disk: `log_throughput [directory] [tasks] [seconds]`.
//!
//! Rough on purpose: one process, closed loop, 400-byte entries; synced entries, then relaxed ones.
#![expect(clippy::print_stdout, reason = "a program for the terminal")]

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use coffer_core::tlog::{Log, Options, RealDisk, note::KeyName};
use coffer_crypto::{Secret, sign::SigningKey};

#[tokio::main(flavor = "multi_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let dir = arguments.next().map_or_else(|| std::env::temp_dir().join("coffer-log-throughput"), PathBuf::from);
    let tasks: u64 = arguments.next().map_or(Ok(64), |text| text.parse())?;
    let seconds: u64 = arguments.next().map_or(Ok(5), |text| text.parse())?;
    for relaxed in [false, true] {
        let dir = dir.join(if relaxed { "relaxed" } else { "synced" });
        run(dir, tasks, Duration::from_secs(seconds), relaxed).await?;
    }
    Ok(())
}

async fn run(dir: PathBuf, tasks: u64, time: Duration, relaxed: bool) -> Result<(), Box<dyn std::error::Error>> {
    let signer = SigningKey::from_seed(&Secret::random(32)?)?;
    let options = Options::new(KeyName::new("throughput.test/log")?);
    let (log, _) = Log::open(&dir, Arc::new(RealDisk), signer, options, None)?;
    let log = Arc::new(log);
    let worst = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut running = Vec::new();
    for _ in 0..tasks {
        let (log, worst) = (Arc::clone(&log), Arc::clone(&worst));
        running.push(tokio::spawn(async move {
            let mut waits = Vec::new();
            while begin.elapsed() < time {
                let started = Instant::now();
                let entry = vec![b'e'; 400];
                if relaxed {
                    log.written(&log.append_relaxed(vec![entry]).await?).await?;
                } else {
                    log.synced(&log.append(vec![entry]).await?).await?;
                }
                let took = started.elapsed();
                worst.fetch_max(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
                waits.push(took);
            }
            Ok::<_, coffer_core::tlog::AppendError>(waits)
        }));
    }
    let mut waits = Vec::new();
    for task in running {
        waits.extend(task.await??);
    }
    let elapsed = begin.elapsed();
    waits.sort();
    let at = |percent: usize| waits.get(waits.len() * percent / 100).copied().unwrap_or_default();
    let rate = u64::try_from(waits.len())? * 1000 / u64::try_from(elapsed.as_millis())?.max(1);
    let stats = log.stats();
    let kind = if relaxed { "relaxed" } else { "synced" };
    println!(
        "{kind}: {rate} entries/s, {tasks} tasks, p50 {:?}, p99 {:?}, worst {} us",
        at(50),
        at(99),
        worst.load(Ordering::Relaxed)
    );
    println!(
        "  {} batches, {} syncs, last sync {:?}, sizes {:?}",
        stats.batches, stats.syncs, stats.last_sync_time, stats.batch_sizes
    );
    let started = Instant::now();
    let Ok(log) = Arc::try_unwrap(log) else { return Err("a task still has the log".into()) };
    log.close()?;
    println!("  closed in {:?}", started.elapsed());
    Ok(())
}
