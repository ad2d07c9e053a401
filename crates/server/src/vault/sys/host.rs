//! `sys/host-info` and `sys/version-history`: the machine, and the releases that ran on the store.

use std::{collections::BTreeMap, fs};

use coffer_core::Error;
use serde::Serialize;

use super::super::{
    call::{Outcome, VaultCall, bare},
    envelope::Envelope,
};
use crate::{
    error::{self, Success},
    in_flight::InFlight,
};

/// `sys/host-info`: what the system tells, with a warning for each part that it does not.
pub(super) async fn info(call: &mut VaultCall) -> Outcome {
    call.caller.host_read().await?;
    let (info, warnings) = tokio::task::spawn_blocking(Info::collect).await.map_err(Error::internal)?;
    Ok(call.envelope(Envelope::data(&info).with_warnings(warnings)))
}

/// `sys/in-flight-req`: a bare object.
pub(super) async fn in_flight(call: &mut VaultCall) -> Outcome {
    call.caller.system_read("sys/in-flight-req").await?;
    let shown = call.parts.extensions.get::<InFlight>().map(InFlight::shown).unwrap_or_default();
    Ok(bare(error::success(Success::Body), &shown))
}

/// `sys/version-history`.
pub(super) async fn versions(call: &mut VaultCall) -> Outcome {
    #[derive(Serialize)]
    struct History<'a> {
        key_info: BTreeMap<&'a str, Installed<'a>>,
        keys: Vec<&'a str>,
    }
    #[derive(Serialize)]
    struct Installed<'a> {
        previous_version: Option<&'a str>,
        timestamp_installed: &'a str,
    }
    let found = call.caller.version_history().await?;
    let info = found.iter().map(|installed| {
        let shown =
            Installed { previous_version: installed.previous.as_deref(), timestamp_installed: &installed.installed };
        (installed.version.as_str(), shown)
    });
    let keys = found.iter().map(|installed| installed.version.as_str()).collect();
    Ok(call.data(&History { key_info: info.collect(), keys }))
}

#[derive(Serialize)]
struct Info {
    cpu: Option<Vec<Cpu>>,
    disk: Option<Vec<Disk>>,
    host: Host,
    memory: Option<Memory>,
    timestamp: String,
}

#[derive(Serialize)]
struct Cpu {
    cpu: usize,
    #[serde(rename = "modelName")]
    model_name: String,
    mhz: f64,
    #[serde(rename = "vendorId")]
    vendor_id: String,
}

#[derive(Serialize)]
struct Disk {
    free: u64,
    path: &'static str,
    total: u64,
    used: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Host {
    hostname: String,
    kernel_arch: String,
    kernel_version: String,
    os: String,
    uptime: Option<u64>,
}

#[derive(Serialize)]
struct Memory {
    available: u64,
    free: u64,
    total: u64,
    used: u64,
}

impl Info {
    fn collect() -> (Self, Vec<String>) {
        let cpu = fs::read_to_string("/proc/cpuinfo").ok().map(|text| cpus(&text)).filter(|cpus| !cpus.is_empty());
        let memory = fs::read_to_string("/proc/meminfo").ok().and_then(|text| memory(&text));
        let disk = disk("/");
        let missing = [("cpu", cpu.is_none()), ("disk", disk.is_none()), ("memory", memory.is_none())];
        let warnings = missing.into_iter().filter(|(_, missing)| *missing);
        let warnings = warnings.map(|(part, _)| format!("the system does not tell about: {part}")).collect();
        let name = rustix::system::uname();
        let text = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let uptime = fs::read_to_string("/proc/uptime").ok();
        let host = Host {
            hostname: text(name.nodename()),
            kernel_arch: text(name.machine()),
            kernel_version: text(name.release()),
            os: text(name.sysname()).to_lowercase(),
            uptime: uptime.and_then(|text| text.split('.').next()?.parse().ok()),
        };
        let timestamp = jiff::Timestamp::now().to_string();
        (Self { cpu, disk: disk.map(|disk| vec![disk]), host, memory, timestamp }, warnings)
    }
}

/// The processors of `/proc/cpuinfo`.
fn cpus(text: &str) -> Vec<Cpu> {
    let field = |block: &str, name: &str| {
        let pairs = block.lines().filter_map(|line| line.split_once(':'));
        pairs.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim().to_owned())
    };
    let blocks = text.split("\n\n").take(MAX_CPUS);
    let cpu = |block: &str| {
        Some(Cpu {
            cpu: field(block, "processor")?.parse().ok()?,
            model_name: field(block, "model name").unwrap_or_default(),
            mhz: field(block, "cpu MHz").and_then(|mhz| mhz.parse().ok()).unwrap_or_default(),
            vendor_id: field(block, "vendor_id").unwrap_or_default(),
        })
    };
    blocks.filter_map(cpu).collect()
}

/// The memory of `/proc/meminfo`, in bytes.
fn memory(text: &str) -> Option<Memory> {
    let field = |name: &str| -> Option<u64> {
        let (_, value) = text.lines().filter_map(|line| line.split_once(':')).find(|(key, _)| *key == name)?;
        value.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
    };
    let (total, available) = (field("MemTotal")?, field("MemAvailable")?);
    Some(Memory { available, free: field("MemFree")?, total, used: total.saturating_sub(available) })
}

fn disk(path: &'static str) -> Option<Disk> {
    let stat = rustix::fs::statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let used = bytes(stat.f_blocks.saturating_sub(stat.f_bfree));
    Some(Disk { free: bytes(stat.f_bavail), path, total: bytes(stat.f_blocks), used })
}

/// Processors shown at most.
const MAX_CPUS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_tells_is_read_and_nonsense_is_nothing() {
        let text = "processor\t: 0\nvendor_id\t: V\nmodel name\t: M: 1\ncpu MHz\t\t: 2445.428\n\nprocessor\t: 1\n\nx\n";
        let cpus = cpus(text);
        assert_eq!((cpus.len(), cpus[0].model_name.as_str(), cpus[1].cpu), (2, "M: 1", 1));
        assert!((cpus[0].mhz - 2445.428).abs() < 1e-9);
        let found = memory("MemTotal: 100 kB\nMemFree:  10 kB\nMemAvailable:   40 kB\n").unwrap();
        assert_eq!((found.total, found.free, found.used), (102_400, 10_240, 61_440));
        for bad in ["", "MemTotal: x kB", "MemTotal: 1 kB\nMemFree: 1 kB", "MemTotal: 99999999999999999999 kB"] {
            assert!(memory(bad).is_none(), "{bad}");
        }
    }
}
