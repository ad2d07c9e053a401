"""Syncs: how many a request costs, how long they take, and what becomes of the rates when each one takes 2 ms longer."""

import collections
import dataclasses
import re

from load import CREATE, READ, UPDATE, Load
from plan import CONNECTIONS

DELAY_MS = 2
_CALL = re.compile(rb"^(\d+) +(?:fdatasync|fsync)\(\d+(?:<([^>]*)>)?")
_RESUMED = re.compile(rb"^(\d+) +<\.\.\. (?:fdatasync|fsync) resumed>")
_TIME = re.compile(rb"<([\d.]+)>$")


@dataclasses.dataclass
class Syncs:
    """The syncs of a stretch of time."""

    count: int = 0
    # Milliseconds that each took, the added delay included, by the file's suffix (`db-wal`, `seg`, ...).
    times: dict = dataclasses.field(default_factory=lambda: collections.defaultdict(list))

    def mean(self, *suffixes):
        """The mean over the files with these suffixes, or over all, in milliseconds; 0 where there was none."""
        chosen = [times for suffix, times in self.times.items() if not suffixes or suffix in suffixes]
        total = sum(len(times) for times in chosen)
        return sum(map(sum, chosen)) / total if total else 0.0


class Counter:
    """Watches the syncs of a server that is started with `prefix` before its command line."""

    def __init__(self, file, delay_ms=0):
        self.file, self.delay_ms = file, delay_ms
        inject = ["-e", f"inject=fdatasync,fsync:delay_exit={delay_ms * 1000}"] if delay_ms else []
        self.prefix = [
            "strace", "--seccomp-bpf", "-f", "-y", "-T", "-qq", "-o", str(file), "-e", "trace=fdatasync,fsync", *inject,
        ]
        self.position = 0
        self.unfinished = {}

    def take(self):
        """The syncs since the last call."""
        with self.file.open("rb") as trace:
            trace.seek(self.position)
            text = trace.read()
        # A line that is still being written is for the next time.
        whole = text.rfind(b"\n") + 1
        self.position += whole
        found = Syncs()
        for line in text[:whole].splitlines():
            self._read(line, found)
        return found

    def _read(self, line, found):
        call, resumed = _CALL.match(line), _RESUMED.match(line)
        if call:
            found.count += 1
            suffix = (call[2] or b"").rsplit(b".", 1)[-1].decode()
            self.unfinished[call[1]] = suffix
        elif not resumed:
            return
        time = _TIME.search(line)
        pid = (call or resumed)[1]
        if time and pid in self.unfinished:
            # strace does not count the delay that it adds itself.
            found.times[self.unfinished.pop(pid)].append(float(time[1]) * 1e3 + self.delay_ms)


def per_write(plan, servers):
    """Syncs per write by (kind, connections, server name); `servers` is pairs of a server and its counters."""
    found = {}
    for kind in (UPDATE, CREATE):
        for connections in CONNECTIONS:
            for server, counters in servers:
                load = Load(kind, connections, min(plan.seconds, 2), plan.secrets, name=f"n{connections}")
                for counter in counters:
                    counter.take()
                run = load.run(server)
                found[kind, connections, server.name] = [counter.take().count / run.requests for counter in counters]
    return found


def slow_round(plan, servers, name):
    """One round at 64 connections over servers with slow syncs, as (server, counter): (run, syncs) by (kind, name)."""
    found = {}
    for kind in (READ, UPDATE, CREATE):
        for server, counter in servers:
            counter.take()
            run = Load(kind, 64, plan.seconds, plan.secrets, name=f"slow{name}").run(server)
            found[kind, server.name] = (run, counter.take())
    return found


def in_series(kind, syncs):
    """The mean sync of the log, and all the mean syncs that a request of Coffer waits for one after another, in ms."""
    log = syncs.mean("seg")
    return log, log if kind == READ else log + syncs.mean("db-wal")
