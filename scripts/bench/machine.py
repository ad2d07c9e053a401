"""What the machine is, and what it was doing during a measurement. All times in seconds."""

import os
import pathlib
import time

TICKS = os.sysconf("SC_CLK_TCK")


def describe(directory):
    """One line: cores, processor model, kernel, and the filesystem that the data lies on."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    kernel = os.uname().release.split("-")[0]
    return f"{os.cpu_count()} cores, {model}, Linux {kernel}, data on {filesystem(directory)}"


def filesystem(directory):
    """The type of the filesystem that holds `directory`."""
    device = os.stat(directory).st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return "unknown"


def process_tree(pid):
    """`pid` and all its descendants."""
    children = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat:
                children.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [pid]
    for parent in found:
        found.extend(children.get(parent, []))
    return found


def cpu_seconds(pid):
    """User and system time of a process so far, all its threads included."""
    stat = _stat(pid)
    if not stat:
        raise ProcessLookupError(f"process {pid} is gone")
    return (int(stat[11]) + int(stat[12])) / TICKS


def tree_cpu_seconds(pid):
    """User and system time of a process and its descendants, those that have ended and were waited for included."""
    total = 0
    for each in process_tree(pid):
        stat = _stat(each)
        if stat:
            total += sum(int(field) for field in stat[11:15])
    return total / TICKS


def rss_mb(pid):
    """Resident memory, in MB of 1,000,000 bytes."""
    return _status_kib(pid, "VmRSS:") * 1024 / 1e6


def peak_mb(pid):
    """The most memory that was resident so far, in MB of 1,000,000 bytes; 0 of a process that has ended."""
    return _status_kib(pid, "VmHWM:") * 1024 / 1e6


class Watch:
    """Between construction and `stop`: time passed, and how many cores were used here and stolen by the hypervisor."""

    def __init__(self):
        self.started = time.monotonic()
        self.busy, self.stolen = _machine_cpu()
        self.elapsed = self.steal = self.used = 0.0

    def stop(self):
        self.elapsed = time.monotonic() - self.started
        busy, stolen = _machine_cpu()
        self.steal = (stolen - self.stolen) / self.elapsed
        self.used = (busy - self.busy) / self.elapsed
        return self


def _machine_cpu():
    """Busy and stolen time of all cores since boot."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _idle, _wait, irq, softirq, steal = fields[:8]
    return (user + nice + system + irq + softirq) / TICKS, steal / TICKS


def _stat(pid):
    """The fields of /proc/PID/stat from the state on, or None when the process is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rsplit(")", 1)[1].split()


def _status_kib(pid, name):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    return 0
