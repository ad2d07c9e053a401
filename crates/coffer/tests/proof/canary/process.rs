//! A server whose every word goes to files, and whose memory is read from outside.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::SocketAddr,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};

use super::needle::{LONGEST, Needles};
use crate::{
    http::Client,
    wait::{PATIENCE, until},
};

/// A running server; killed with the value.
pub struct Process {
    child: Child,
    address: SocketAddr,
    stderr: PathBuf,
}

/// What a search of a process's memory came to.
#[derive(Debug, Default)]
pub struct Memory {
    /// Each needle found, with the mapping that it is in, and in brackets the mapping's flags: `lo` is locked, `dd` is in no
    /// dump (proc_pid_smaps(5)).
    pub found: BTreeSet<String>,
    /// Readable mappings that could not be read.
    pub unread: Vec<String>,
    /// Bytes searched.
    pub bytes: u64,
}

impl Process {
    /// Starts the command, its output going to files of this name, and waits until it is active.
    pub fn start(mut command: Command, outputs: &Path, name: &str) -> Self {
        let stderr = outputs.join(format!("{name}.stderr"));
        let stdout = File::create(outputs.join(format!("{name}.stdout"))).unwrap();
        command.stdin(Stdio::null()).stdout(stdout).stderr(File::create(&stderr).unwrap());
        let mut child = command.spawn().unwrap();
        let address = until("the server's address", PATIENCE, || {
            let said = fs::read_to_string(&stderr).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "the server did not start: {}", tail(&said));
            let line = said.lines().find_map(|line| line.strip_prefix("listening on http://"))?;
            line.parse().ok()
        });
        let process = Self { child, address, stderr };
        process.wait_until_active();
        process
    }

    /// Waits until it leads, with its keys.
    pub fn wait_until_active(&self) {
        let mut client = self.client().with_timeout(Duration::from_secs(5));
        until("state active", PATIENCE, || (client.get("/readyz").ok()?.status == 200).then_some(()));
    }

    pub fn client(&self) -> Client {
        Client::new(self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What it wrote to stderr so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// Sends a signal that ends it, and waits for the end. All it ever said is in the files then.
    pub fn end(mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let status = until("the end of the process", PATIENCE, || self.child.try_wait().unwrap());
        assert!(signal == Signal::KILL || status.success(), "{status}: {}", tail(&self.said()));
    }

    /// Waits until nobody is connected to it any more.
    pub fn wait_for_no_connection(&self) {
        until("the end of all connections", PATIENCE, || {
            let sockets = fs::read_to_string(format!("/proc/{}/net/tcp", self.child.id())).unwrap();
            let port = format!(":{:04X}", self.address.port());
            let is_open = sockets.lines().skip(1).any(|line| {
                let fields: Vec<&str> = line.split_whitespace().collect();
                // 0A listens; 06 is over for the server, and waits in the kernel alone.
                fields[1].ends_with(&port) && !matches!(fields[3], "0A" | "06")
            });
            (!is_open).then_some(())
        });
    }

    /// Searches every readable mapping.
    pub fn memory(&self, needles: &Needles) -> Memory {
        let of = |name| format!("/proc/{}/{name}", self.child.id());
        let opened = File::open(of("mem"));
        let memory = opened.expect("this test reads the server's memory, for which it must run as root");
        let mut searched = Memory::default();
        let mut buffer = vec![0; CHUNK];
        for (map, flags) in mappings(&fs::read_to_string(of("smaps")).unwrap()) {
            let mut fields = map.split_whitespace();
            let (range, access) = (fields.next().unwrap(), fields.next().unwrap());
            // The kernel's pages, which it shows and does not give.
            if !access.starts_with('r') || map.contains("[vvar") || map.contains("[vsyscall]") {
                continue;
            }
            let (start, end) = range.split_once('-').unwrap();
            let (mut at, end) = (u64::from_str_radix(start, 16).unwrap(), u64::from_str_radix(end, 16).unwrap());
            while at < end {
                let wanted = usize::try_from(end - at).unwrap().min(CHUNK);
                if memory.read_exact_at(&mut buffer[..wanted], at).is_err() {
                    searched.unread.push(map.to_owned());
                    break;
                }
                let found = needles.find(&buffer[..wanted]);
                searched.found.extend(found.iter().map(|name| format!("{name} in {map} [ {flags} ]")));
                searched.bytes += u64::try_from(wanted).unwrap();
                // What lies across the end of a chunk is whole in the next one.
                let step = if wanted < CHUNK { wanted } else { wanted - LONGEST };
                at += u64::try_from(step).unwrap();
            }
        }
        // The stacks of threads that ended meanwhile are gone.
        let maps = fs::read_to_string(of("maps")).unwrap();
        searched.unread.retain(|map| maps.lines().any(|still| still == map));
        searched
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- the end of the server's log:\n{}---", tail(&fs::read_to_string(&self.stderr).unwrap()));
        }
    }
}

/// Each mapping's line with its flags.
fn mappings(smaps: &str) -> Vec<(&str, &str)> {
    let mut mappings: Vec<(&str, &str)> = Vec::new();
    for line in smaps.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if !first.ends_with(':') {
            mappings.push((line, ""));
        } else if let (Some(flags), Some(last)) = (line.strip_prefix("VmFlags:"), mappings.last_mut()) {
            last.1 = flags.trim();
        }
    }
    assert!(mappings.iter().any(|(_, flags)| flags.contains("rd")), "no flags in smaps");
    mappings
}

/// The last lines, without the most talkative.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.contains("TRACE")).collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

const CHUNK: usize = 4 << 20;
