#!/usr/bin/env python3
"""What README.md promises to a newcomer, on a machine of its own: `make run` on its real port and its real data directory,
then README's blocks, line by line, as root and as an ordinary user. Run as root; the first time it makes a release build.

The machine is two namespaces of this one: a network with nothing on port 8200, and mounts with nothing in /var/lib. The
ordinary user has rights to the tree and to the toolchain, which are root's here, and is somebody else in all else.
"""

import fcntl
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOBODY = 65534
PATIENCE = 120


def main():
    if os.geteuid() != 0:
        sys.exit("error: run as root, which can be anybody")
    if len(sys.argv) == 3 and sys.argv[1] == "--inside":
        return Newcomer(sys.argv[2]).follow()
    subprocess.run(["cargo", "build", "--release", "--locked", "--package", "coffer"], cwd=ROOT, check=True)
    for user in ("root", "nobody"):
        machine = ["unshare", "--mount", "--net", "--fork", "--kill-child"]
        subprocess.run([*machine, sys.executable, __file__, "--inside", user], check=True)
        print(f"newcomer: {user} got what README.md promises")


class Newcomer:
    def __init__(self, user):
        loopback_up()
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/var/lib"], check=True)
        self.is_root = user == "root"
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="newcomer-"))
        self.work = self.home / "work"
        self.work.mkdir()
        (self.work / "server").write_text("#!/bin/sh\nprintf 'it sees %s' \"$DATABASE_URL\"\n")
        (self.work / "server").chmod(0o755)
        if not self.is_root:
            for path in (self.home, self.work, self.work / "server"):
                os.chown(path, NOBODY, NOBODY)
        kept = pathlib.Path.home()
        self.environment = {
            "PATH": f"{ROOT / 'target/release'}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "CARGO_HOME": os.environ.get("CARGO_HOME", str(kept / ".cargo")),
            "RUSTUP_HOME": os.environ.get("RUSTUP_HOME", str(kept / ".rustup")),
        }
        self.data = pathlib.Path("/var/lib/coffer") if self.is_root else self.home / ".local/share/coffer"

    def follow(self):
        try:
            self.follow_readme()
        finally:
            shutil.rmtree(self.home)

    def follow_readme(self):
        readme = (ROOT / "README.md").read_text()
        start, store, _shares, less, prove, offline = blocks(readme, "sh")
        (python,) = blocks(readme, "python")
        assert start.splitlines()[0].split("#")[0].strip() == "make run", start

        log = self.home / "log"
        with log.open("wb") as said:
            server = subprocess.Popen(self.as_user(["make", "run"]), cwd=ROOT, env=self.environment, stdout=said,
                                      stderr=said, start_new_session=True)
        try:
            wait(lambda: "  coffer login --initial\n" in log.read_text(), lambda: log.read_text())
            text = log.read_text()
            assert "listening on http://127.0.0.1:8200" in text, text
            assert (self.data / "store.db").stat().st_uid == (0 if self.is_root else NOBODY), self.data
            # What was printed is all that has to be typed.
            hints = re.findall(r"^  (export .*|coffer .*)$", text, re.MULTILINE)
            assert any(hint.startswith("coffer secrets get") for hint in hints), text
            login = "coffer login --initial"
            self.shell("\n".join(hint for hint in hints if hint != login), before=login)
            assert self.shell("printf %s \"$SEEN\"", before="SEEN=$(coffer secrets get GREETING --project demo)") == "hello"

            lines = [line for line in store.splitlines() if not line.startswith(login)]
            assert self.shell("\n".join(lines)).endswith("it sees postgres://db/prod")
            (self.work / "read.py").write_text(python)
            assert self.shell(f"{ROOT / '.venv/bin/python'} read.py").strip() == "postgres://db/prod"
            self.shell("\n".join([less, prove, "declare -p VKEY > kept"]))
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=PATIENCE)
        told = self.shell(offline, before=". ./kept")
        assert "ORIGIN" in told, told

    def shell(self, text, before="true"):
        """Runs the commands one by one; each must end as its comment says, with 0 unless it says more."""
        script = [before]
        for command in commands(text):
            code = re.search(r"# exit code (\d+)", command)
            wanted = int(code.group(1)) if code else 0
            script.append(f'{command}\ncode=$?; [ $code -eq {wanted} ] || {{ echo "exit code $code" >&2; exit 99; }}')
        run = subprocess.run(self.as_user(["bash", "-c", "\n".join(script)]), cwd=self.work, env=self.environment,
                             stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
        assert run.returncode == 0, f"{text}\n--- stdout\n{run.stdout}--- stderr\n{run.stderr}"
        return run.stdout

    def as_user(self, command):
        if self.is_root:
            return command
        rights = "+dac_override,+dac_read_search"
        return ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", f"--inh-caps={rights}",
                f"--ambient-caps={rights}", *command]


def blocks(text, language):
    return [block.split("\n", 1)[1] for block in text.split("\n```")[1::2] if block.split("\n", 1)[0] == language]


def commands(text):
    """The lines, a here-document with the line that begins it."""
    found, mark = [], None
    for line in text.splitlines():
        if mark:
            found[-1] += f"\n{line}"
            mark = None if line == mark else mark
        elif line.strip():
            found.append(line)
            begins = re.search(r"<<'?(\w+)'?", line)
            mark = begins.group(1) if begins else None
    return found


def wait(is_there, said):
    end = time.monotonic() + PATIENCE
    while not is_there():
        assert time.monotonic() < end, said()
        time.sleep(0.1)


def loopback_up():
    """As `ip link set lo up`, which may not be installed."""
    get, put, up = 0x8913, 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = fcntl.ioctl(any_socket, get, struct.pack("16sH14x", b"lo", 0))
        flags = struct.unpack("16sH14x", request)[1]
        fcntl.ioctl(any_socket, put, struct.pack("16sH14x", b"lo", flags | up))


main()
