"""The servers that are compared, behind one face: `name`, `pid`, `port`, `token`, and the CPU of a database behind."""

import os
import pathlib
import re
import signal
import sqlite3
import subprocess

import machine
from http_json import Client
from processes import Process, free_port

ROOT = pathlib.Path(__file__).resolve().parents[2]
POLICY = '''
path "secret/data/bench/*" { capabilities = ["create", "read", "update"] }
path "transit/*" { capabilities = ["update"] }
'''
VALUE = "0123456789abcdef" * 32


class Server:
    """What all have in common."""

    name = ""
    token = ""
    port = 0
    process = None

    @property
    def pid(self):
        return self.process.pid

    def database_cpu(self):
        """CPU time, in seconds, of the database that the server needs beside itself."""
        return 0.0

    def stop(self):
        self.process.stop()


class Bare(Server):
    """axum with one constant body."""

    name = "bare axum"

    def __init__(self, program, log, body_bytes):
        self.process = Process([program, body_bytes], log)
        self.token = "t" * 29
        self.port = self.process.wait_for(lambda: _port(self.process.log))


class Coffer(Server):
    """A Coffer of its own data directory, or over a database by URL."""

    def __init__(self, program, directory, name, storage=None, read_durability="synced", prefix=(), database=None):
        self.program, self.directory, self.name = program, directory, name
        self.storage, self.read_durability, self.prefix, self.database = storage, read_durability, prefix, database
        directory.mkdir(parents=True, exist_ok=True)
        self.start()

    def start(self):
        """Starts it, again over the same data; returns once it listens."""
        self.port = free_port()
        self.process = Process([*self.prefix, *self.command()], self.directory / "log", env=self.environment())
        self.process.wait_for(lambda: _answers(self.port))

    def command(self):
        """The server's command line."""
        storage = ["--storage", self.storage] if self.storage else []
        return [
            self.program, "server", "--data", self.directory / "data", "--listen", f"127.0.0.1:{self.port}",
            "--audit-read-durability", self.read_durability, *storage,
        ]

    def environment(self):
        """Nothing of the caller's own settings."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COFFER_", "VAULT_"))}
        return {**kept, "RUST_LOG": "warn"}

    @property
    def pid(self):
        """The server itself, also below strace."""
        return machine.process_tree(self.process.pid)[-1] if self.prefix else self.process.pid

    def prepare(self, secrets):
        """Writes the policy, the token and the secrets."""
        root = Client(self.port, (self.directory / "data" / "initial-token").read_text().strip())
        self.root = root
        root.call("PUT", "/v1/sys/policies/acl/bench", {"policy": POLICY})
        made = root.call("POST", "/v1/auth/token/create", {"policies": ["bench"], "ttl": "24h"})
        self.token = made["auth"]["client_token"]
        if sorted(made["auth"]["token_policies"]) != ["bench", "default"]:
            raise RuntimeError(f"not the token that the bench wants: {made}")
        root.all(_patches(secrets), threads=128)
        _check(self)

    def metrics(self):
        """The figures of /metrics by name, buckets as `name_bucket{le="..."}`."""
        lines = Client(self.port).text("/metrics").splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
        return {name: int(float(value)) for name, value in pairs}

    def database_cpu(self):
        return self.database.cpu() if self.database else 0.0

    def outbox_row(self):
        """The bytes of (key, value) of an outbox row, once one is seen in the SQLite file."""
        query = "SELECT length(key), length(value) FROM entries WHERE key >= x'6f7574626f782f' AND key < x'6f7574626f7830' LIMIT 1"
        with self.open_database() as database:
            return database.execute(query).fetchone()

    def open_database(self):
        """The SQLite file, read-only, while the server runs."""
        return sqlite3.connect(f"file:{self.directory / 'data' / 'store.db'}?mode=ro", uri=True)


def _patches(secrets, each=100):
    """The native calls that write secrets 0 to `secrets`."""
    for first in range(0, secrets, each):
        numbers = range(first, min(first + each, secrets))
        entries = [{"name": f"s{number:07d}", "value": VALUE} for number in numbers]
        yield "PATCH", "/api/v1/secrets/bench/", {"secrets": entries}


def _check(server):
    """A read through the path that is measured gives the value."""
    found = Client(server.port, server.token).call("GET", "/v1/secret/data/bench/s0000000")
    if found["data"]["data"]["value"] != VALUE:
        raise RuntimeError(f"{server.name} gives {found}")


def body_bytes(server):
    """The size of the body of a read."""
    return len(Client(server.port, server.token).content("GET", "/v1/secret/data/bench/s0000000"))


def _port(log):
    found = re.search(r"listening on http://127\.0\.0\.1:(\d+)", log.read_text(errors="replace"))
    return int(found.group(1)) if found else None


def _answers(port):
    try:
        return Client(port).call("GET", "/healthz")
    except OSError:
        return None
