"""Syncs: how many a write costs, and what becomes of the rates when each one takes 2 ms longer."""

import re
import shutil

from load import CREATE, READ, UPDATE, Load

DELAY_US = 2000
TRACE = "fdatasync,fsync"
# The mean waits are short against this, and the counts large, even where a sync is slow.
_CALL = re.compile(rb"\b(?:fdatasync|fsync)\(")


def slowed():
    """The command line before a server that makes each of its syncs take 2 ms longer."""
    return [
        "strace", "--seccomp-bpf", "-f", "-o", "/dev/null", "-e", f"trace={TRACE}",
        "-e", f"inject={TRACE}:delay_exit={DELAY_US}",
    ]


class Counter:
    """Counts the syncs of a server that is started with `prefix` before its command line."""

    def __init__(self, file):
        self.file = file
        self.prefix = ["strace", "--seccomp-bpf", "-f", "-qq", "-o", str(file), "-e", f"trace={TRACE}"]
        self.position = 0

    def take(self):
        """The syncs since the last call."""
        with self.file.open("rb") as trace:
            trace.seek(self.position)
            text = trace.read()
        # A line that is still being written is counted next time.
        whole = text.rfind(b"\n") + 1
        self.position += whole
        return len(_CALL.findall(text, 0, whole))


def per_write(plan, servers):
    """Syncs per write by (kind, connections, server name); `servers` is pairs of a server and its counters."""
    found = {}
    for kind in (UPDATE, CREATE):
        for connections in (1, 16, 64):
            for server, counters in servers:
                load = Load(kind, connections, min(plan.seconds, 2), plan.secrets, name=f"n{connections}")
                for counter in counters:
                    counter.take()
                run = load.run(server)
                found[kind, connections, server.name] = [counter.take() / run.requests for counter in counters]
    return found


def slow_round(plan, servers):
    """One round at 64 connections over servers started with `slowed()`: runs, and Coffer's mean log sync in seconds."""

    def one(name):
        runs, sync = {}, {}
        for kind in (READ, UPDATE, CREATE):
            for server in servers:
                before = _log_syncs(server)
                runs[kind, server.name] = Load(kind, 64, plan.seconds, plan.secrets, name=f"slow{name}").run(server)
                after = _log_syncs(server)
                if after:
                    sync[kind] = (after[1] - before[1]) / max(1, after[0] - before[0]) / 1e6
        return runs, sync

    return one


def _log_syncs(server):
    """(number, microseconds) of Coffer's log syncs so far; None for others."""
    if not hasattr(server, "metrics"):
        return None
    metrics = server.metrics()
    return metrics["coffer_log_syncs_total"], metrics["coffer_log_sync_microseconds_total"]


def is_available():
    """Whether strace is here."""
    return shutil.which("strace") is not None
