"""One measured run: wrk against one server, with what the server and the machine spent meanwhile."""

import dataclasses
import json
import os
import pathlib
import subprocess

import machine

SCRIPT = pathlib.Path(__file__).with_name("wrk.lua")
# What is written in tables, and what wrk.lua sends.
READ, UPDATE, CREATE, LOGIN, POST = "read", "update", "create", "login", "post"


@dataclasses.dataclass
class Run:
    """What one run came to."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    # CPU of the server's process, microseconds per request.
    cpu_us: float
    # The same of the database behind it, where it has one.
    database_us: float
    # Cores, on average over the run: taken by the hypervisor; used by other processes and the kernel's own threads.
    steal: float
    foreign: float
    # The same, used by wrk.
    client: float = 0.0


@dataclasses.dataclass(frozen=True)
class Load:
    """What is asked of a server."""

    kind: str
    connections: int
    seconds: int
    # How many secrets there are.
    secrets: int
    # Distinguishes the names that different runs create.
    name: str = "run"
    path: str = "/v1/secret/data/bench/s"
    # What a login or a post sends.
    body: str = ""

    def command(self, server):
        """The wrk command line."""
        threads = min(2, self.connections)
        return [
            "wrk", f"-t{threads}", f"-c{self.connections}", f"-d{self.seconds}s", "--timeout", "20s",
            "-s", str(SCRIPT), f"http://127.0.0.1:{server.port}", "--",
            self.kind, self.path, str(self.secrets), server.token, self.name, self.body,
        ]

    def run(self, server):
        """Runs it. Fails on any answer that is no success: a wrong answer is never a fast one."""
        before, database_before = machine.cpu_seconds(server.pid), server.database_cpu()
        watch = machine.Watch()
        wrk = subprocess.Popen(self.command(server), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        output = wrk.stdout.read()
        wrk_cpu = _wait_cpu(wrk)
        watch.stop()
        cpu = machine.cpu_seconds(server.pid) - before
        database = server.database_cpu() - database_before
        result = [line for line in output.splitlines() if line.startswith("RESULT ")]
        if wrk.returncode != 0 or not result:
            raise RuntimeError(f"wrk failed on {server.name}: {output}")
        found = json.loads(result[0].removeprefix("RESULT "))
        if found["status"] or found["lost"] or not found["requests"]:
            raise RuntimeError(f"{server.name}, {self}: not every answer was a success: {found}")
        requests = found["requests"]
        return Run(
            requests=requests,
            rate=requests / found["us"] * 1e6,
            p50_ms=found["p50"] / 1e3,
            p99_ms=found["p99"] / 1e3,
            cpu_us=cpu / requests * 1e6,
            database_us=database / requests * 1e6,
            steal=watch.steal,
            foreign=max(0.0, watch.used - (cpu + database + wrk_cpu) / watch.elapsed),
            client=wrk_cpu / watch.elapsed,
        )


def _wait_cpu(child):
    """Waits for a child and returns the CPU time it used."""
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime
