"""Files: what their encryption costs in memory, and by the command on a disk, beside `dd`."""

import contextlib
import dataclasses
import filecmp
import os
import pathlib
import subprocess
import tempfile
import time

import machine
from http_json import Client

MIB = 1 << 20
KEY = "files"
DD = "dd, synced"


@dataclasses.dataclass
class Pass:
    """One file, read and written."""

    bytes: int
    seconds: float
    # User and system time.
    cpu_seconds: float
    peak_mb: float

    @property
    def gib_a_second(self):
        return self.bytes / self.seconds / (1 << 30)

    @property
    def gib_a_core_second(self):
        return self.bytes / self.cpu_seconds / (1 << 30)


def in_memory(plan, program):
    """Passes by name over files in a tmpfs, one thread, with a data key at hand."""
    with _directory("/dev/shm") as directory:
        if machine.filesystem(directory) != "tmpfs":
            raise SystemExit("error: /dev/shm is no tmpfs, and files in memory are wanted")
        small, large = _plain(directory, plan.file_mib // 16), _plain(directory, plan.file_mib)
        sealed, opened = directory / "sealed", directory / "opened"
        found = {}
        for _ in range(plan.rounds):
            for name, source, how, before, after in (
                (f"encrypt {small.name}", small, "encrypt", small, sealed),
                (f"encrypt {large.name}", large, "encrypt", large, sealed),
                (f"decrypt {large.name}", large, "decrypt", sealed, opened),
            ):
                found.setdefault(name, []).append(run([program, how, before, after], source.stat().st_size))
            _check_equal(large, opened)
        return found


def on_disk(plan, program, server, directory):
    """Passes by name of the command over files beside the servers' data, and of `dd` with the same file."""
    Client(server.port, server.root.token).call("POST", "/api/v1/keys", {"name": KEY})
    environment = {**server.environment(), "COFFER_ADDR": f"http://127.0.0.1:{server.port}", "COFFER_TOKEN": server.token}
    with _directory(directory) as place:
        small, large = _plain(place, plan.file_mib // 16), _plain(place, plan.file_mib)
        sealed, opened, copy = place / "sealed", place / "opened", place / "copy"

        def coffer(how, before, after):
            return [program, "keys", how, KEY, "--in", before, "--out", after]

        found = {}
        for _ in range(plan.rounds):
            for name, source, command, made in (
                (DD, large, ["dd", f"if={large}", f"of={copy}", "bs=64K", "conv=fsync", "status=none"], copy),
                (f"encrypt {small.name}", small, coffer("encrypt", small, sealed), sealed),
                (f"encrypt {large.name}", large, coffer("encrypt", large, sealed), sealed),
                (f"decrypt {large.name}", large, coffer("decrypt", sealed, opened), opened),
            ):
                made.unlink(missing_ok=True)
                # What others wrote before is not this one's to wait for.
                os.sync()
                found.setdefault(name, []).append(run(command, source.stat().st_size, environment))
            _check_equal(large, opened)
        return found


@contextlib.contextmanager
def _directory(parent):
    with tempfile.TemporaryDirectory(prefix="coffer-bench-files-", dir=parent) as directory:
        yield pathlib.Path(directory)


def _plain(directory, mib):
    """A file of random bytes, named after its size."""
    path = directory / f"{mib} MiB"
    with path.open("wb") as file:
        for _ in range(mib):
            file.write(os.urandom(MIB))
    return path


def run(command, size, environment=None):
    """Runs it over so many bytes to its end, which must be a success."""
    began = time.perf_counter()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, env=environment)
    peak = 0.0
    # The kernel keeps the peak: what is missed is what grows in the last moment.
    while (ended := os.wait4(child.pid, os.WNOHANG))[0] == 0:
        peak = max(peak, machine.peak_mb(child.pid))
        time.sleep(0.002)
    seconds = time.perf_counter() - began
    _, status, usage = ended
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"{command} ended with {child.returncode}")
    return Pass(size, seconds, usage.ru_utime + usage.ru_stime, peak)


def _check_equal(plain, opened):
    if not filecmp.cmp(plain, opened, shallow=False):
        raise RuntimeError(f"{plain} is not what comes out of its encryption")
