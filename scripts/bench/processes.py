"""Processes that the bench starts: each ends with the bench, however it ends."""

import atexit
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_running = []


class Process:
    """A child in a session of its own, with its output in a file."""

    def __init__(self, command, log, env=None, **options):
        self.command = [str(word) for word in command]
        self.log = pathlib.Path(log)
        with self.log.open("ab") as output:
            self.child = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                start_new_session=True,
                preexec_fn=_die_with_parent,
                **options,
            )
        self.pid = self.child.pid
        _running.append(self)

    def wait_for(self, ready, seconds=60):
        """Polls `ready` until it returns something; fails when the process ends or the time is over."""
        deadline = time.monotonic() + seconds
        while True:
            found = ready()
            if found:
                return found
            if self.child.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                raise RuntimeError(f"{' '.join(self.command[:3])} is not ready:\n{tail}")
            time.sleep(0.01)

    def stop(self, seconds=60):
        """Asks it to end, and makes it end when it does not."""
        deadline = time.monotonic() + seconds
        self._signal(signal.SIGTERM)
        # Below strace the server ends after it.
        while self.child.poll() is None or self._lives():
            if time.monotonic() > deadline:
                self.kill()
                break
            time.sleep(0.01)
        if self in _running:
            _running.remove(self)

    def kill(self):
        """Ends it and everything in its session at once."""
        self._signal(signal.SIGKILL)
        self.child.wait()

    def _lives(self):
        """Whether anything of its session is left."""
        try:
            os.killpg(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def _signal(self, number):
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            pass


def free_port():
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def stop_all():
    """Ends what is still running."""
    for process in list(_running):
        process.stop(10)


def _die_with_parent():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _on_signal(number, _frame):
    raise SystemExit(128 + number)


atexit.register(stop_all)
signal.signal(signal.SIGTERM, _on_signal)
