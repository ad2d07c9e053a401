"""What size costs: a store of many secrets against one of few, and the time a server takes to be there."""

import os
import signal
import socket
import subprocess
import time

import machine
from load import READ, Load
from processes import Process, free_port
from servers import Coffer


def pair(plan, few, many):
    """One round's runs over both stores, in an order that changes from round to round."""
    number = 0

    def one(_name):
        nonlocal number
        number += 1
        subjects = [(few, plan.few), (many, plan.many)]
        if number % 2 == 0:
            subjects.reverse()
        return {server.name: Load(READ, 64, plan.many_seconds, secrets).run(server) for server, secrets in subjects}

    return one


def first_start(program, directory, times):
    """Exec to the first authenticated read of a server that makes its store first, in milliseconds."""
    found = []
    for number in range(times):
        server = _Unstarted(program, directory / f"first{number}")
        found.append(_time_start(server, "/v1/auth/token/lookup-self"))
        server.process.kill()
    return found


def starts(server, times, end=signal.SIGTERM):
    """Exec to the first authenticated read over a store that is there, in milliseconds; `end` is how each run ends."""
    found = []
    for _ in range(times):
        _end(server, end)
        found.append(_time_start(server, "/v1/secret/data/bench/s0000000"))
    return found


def idle_rss(server, seconds=3):
    """Resident memory of a server that has nothing to do, in MB."""
    time.sleep(seconds)
    return machine.rss_mb(server.pid)


def _end(server, number):
    os.kill(server.pid, number)
    server.process.child.wait()
    server.process.stop()


class _Unstarted(Coffer):
    """A Coffer that is started by hand."""

    def __init__(self, program, directory):
        self.program, self.directory, self.name = program, directory, "coffer"
        self.storage, self.read_durability, self.prefix, self.database = None, "synced", (), None
        directory.mkdir(parents=True)


def _time_start(server, path):
    """Starts a server and asks until it has answered one read, in milliseconds."""
    server.port = free_port()
    began = time.perf_counter()
    server.process = Process(server.command(), server.directory / "log", env=server.environment())
    deadline = began + 120
    while time.perf_counter() < deadline:
        if _read(server, path):
            return (time.perf_counter() - began) * 1e3
        if server.process.child.poll() is not None:
            raise subprocess.SubprocessError(f"the server ended:\n{server.process.log.read_text()[-2000:]}")
        time.sleep(0.0005)
    raise TimeoutError("no read succeeded within two minutes")


def _read(server, path):
    """Whether one authenticated read succeeds now."""
    token = server.token or _initial_token(server)
    if not token:
        return False
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=60) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nX-Vault-Token: {token}\r\n\r\n"
            connection.sendall(head.encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200 ")
    except OSError:
        return False


def _initial_token(server):
    """The token of a first start, once its file is there."""
    try:
        return (server.directory / "data" / "initial-token").read_text().strip()
    except FileNotFoundError:
        return None
