"""PostgreSQL from Debian's package: a server of its own in a temporary directory, reached by a unix socket."""

import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import urllib.parse

import machine
from processes import Process


class Postgres:
    """A server with Debian's defaults: every commit is synced. `counter` makes what counts its syncs, given a file."""

    def __init__(self, counter=None):
        self.binaries = _binaries()
        # The path of a unix socket is at most 107 bytes long.
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="coffer-bench-pg-", dir="/tmp"))
        self.account = _account()
        if self.account:
            os.chown(self.root, self.account.pw_uid, self.account.pw_gid)
        try:
            self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
            self.counter = counter(self.root / "syncs") if counter else None
            command = [
                *(self.counter.prefix if self.counter else ()), self.binaries / "postgres", "-D", self.data, "-k", self.root,
                "-c", "listen_addresses=", "-c", "max_connections=100",
            ]
            log = self.root.with_suffix(".log")
            self.process = Process(command, log, env=_environment(), cwd="/", **self._identity())
            self.process.wait_for(lambda: self._answers())
        except BaseException:
            self._remove()
            raise

    @property
    def data(self):
        return str(self.root / "data")

    def url(self, name):
        """The URL of a new, empty database."""
        self.sql(f"CREATE DATABASE {name}")
        return f"postgres://postgres@{urllib.parse.quote(str(self.root), safe='')}/{name}"

    def sql(self, text):
        """What a statement prints."""
        return self._run("psql", "-h", self.root, "-U", "postgres", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-qAtc", text)

    def cpu(self):
        """CPU time of all its processes, in seconds."""
        return machine.tree_cpu_seconds(self.process.pid)

    def stop(self):
        # An immediate shutdown: the directory goes anyway.
        self.process.kill()
        self.process.stop()
        self._remove()

    def _answers(self):
        try:
            return self.sql("SELECT 1")
        except subprocess.CalledProcessError:
            return None

    def _run(self, program, *arguments):
        done = subprocess.run(
            [self.binaries / program, *arguments], check=True, capture_output=True, text=True, stdin=subprocess.DEVNULL,
            env=_environment(), cwd="/", **self._identity(),
        )
        return done.stdout.strip()

    def _identity(self):
        return {"user": self.account.pw_uid, "group": self.account.pw_gid, "extra_groups": []} if self.account else {}

    def _remove(self):
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.with_suffix(".log").unlink(missing_ok=True)


def _binaries():
    """The newest installed server's programs."""
    versions = pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres")
    found = sorted(versions, key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0)
    if not found:
        raise SystemExit("error: PostgreSQL is not installed\nhint: scripts/install-test-deps.sh installs it")
    return found[-1].parent


def _account():
    """Whom to run it as where this process is root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise SystemExit("error: root needs an account postgres or nobody to run PostgreSQL")


def _environment():
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C"}
