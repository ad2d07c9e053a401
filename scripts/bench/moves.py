"""Many secrets at once: a .env file in and out by the command."""

import pathlib
import subprocess
import tempfile
import time

SECRETS = 10_000
IMPORT, EXPORT = "import", "export"


def seconds(plan, program, server):
    """Seconds by command, one for each round, into a scope that is empty each time."""
    environment = {**server.environment(), "COFFER_ADDR": f"http://127.0.0.1:{server.port}"}
    environment["COFFER_TOKEN"] = server.root.token
    found = {IMPORT: [], EXPORT: []}
    with tempfile.TemporaryDirectory(prefix="coffer-bench-moves-") as directory:
        source, copy = pathlib.Path(directory) / "in.env", pathlib.Path(directory) / "out.env"
        lines = (f'# number {n}\nSECRET_{n:05}="{"v" * 100} {n}"\n' for n in range(SECRETS))
        source.write_text("".join(lines))
        for number in range(plan.rounds):
            scope = ["--scope", f"moves:r{number}"]
            found[IMPORT].append(_timed([program, "env", "import", source, "--yes", *scope], environment))
            found[EXPORT].append(_timed([program, "env", "export", "--out", copy, *scope], environment))
            if copy.read_text() != source.read_text():
                raise RuntimeError("another file came out than went in")
    return found


def _timed(command, environment):
    began = time.perf_counter()
    subprocess.run([str(word) for word in command], env=environment, check=True, capture_output=True)
    return time.perf_counter() - began
