"""Backups: a large store backed up while its server runs, verified and restored, beside `dd` of as many bytes."""

import dataclasses
import json
import os
import shutil
import subprocess
import time

import machine

MIB = 1 << 20
# A key made for this alone.
IDENTITY = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
RECIPIENT = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj"
DD = "dd, synced"
CREATE, VERIFY, RESTORE = "create", "verify", "restore"
TIMES = 3


@dataclasses.dataclass
class Pass:
    """One backup's bytes, written or read."""

    bytes: int
    seconds: float
    # Of the command; of `create` also the server's, after it.
    peak_mb: float

    @property
    def mb_a_second(self):
        return self.bytes / self.seconds / 1e6


def measure(program, server, directory):
    """Passes by name over the store of a running server."""
    place = directory / "backups"
    place.mkdir()
    (place / "key").write_text(IDENTITY + "\n")
    environment = {**server.environment(), "COFFER_ADDR": f"http://127.0.0.1:{server.port}", "COFFER_TOKEN": server.root.token}
    environment.pop("COFFER_STORAGE", None)
    found = {}
    for _ in range(TIMES):
        os.sync()
        out = place / "out"
        out.mkdir()
        made = _run([program, "backup", "create", "--out", out, "--recipient", RECIPIENT, "--timeout", "10m"], environment)
        (backup,) = out.iterdir()
        size = sum(part.stat().st_size for part in backup.iterdir())
        made.bytes = size
        made.peak_mb = max(made.peak_mb, machine.rss_mb(server.pid))
        found.setdefault(CREATE, []).append(made)

        copy = place / "copy"
        os.sync()
        source = max(backup.iterdir(), key=lambda part: part.stat().st_size)
        copied = _run(["dd", f"if={source}", f"of={copy}", "bs=1M", "conv=fsync", "status=none"], environment)
        copied.bytes = source.stat().st_size
        copy.unlink()
        found.setdefault(DD, []).append(copied)

        verified = _run([program, "backup", "verify", backup, "--identity", place / "key"], environment)
        verified.bytes = size
        found.setdefault(VERIFY, []).append(verified)

        data = place / "data"
        os.sync()
        restored = _run([program, "backup", "restore", backup, "--identity", place / "key", "--data", data], environment)
        restored.bytes = size
        found.setdefault(RESTORE, []).append(restored)
        shutil.rmtree(data)
        shutil.rmtree(out)
    shutil.rmtree(place)
    return found


def _run(command, environment):
    """Runs it to its end, which must be a success."""
    began = time.perf_counter()
    child = subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    peak = 0.0
    while (ended := os.wait4(child.pid, os.WNOHANG))[0] == 0:
        peak = max(peak, machine.peak_mb(child.pid))
        time.sleep(0.005)
    seconds = time.perf_counter() - began
    child.returncode = os.waitstatus_to_exitcode(ended[1])
    if child.returncode != 0:
        raise RuntimeError(f"{json.dumps([str(word) for word in command])} ended with {child.returncode}")
    return Pass(0, seconds, peak)
