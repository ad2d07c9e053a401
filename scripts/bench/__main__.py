"""`make bench`: Coffer against a bare server, OpenBao and SQLite alone, on this machine. See docs/BENCHMARKS.md.

Usage: python3 scripts/bench [--quick] [--no-build] [--tries N] [--dir DIR]
"""

import argparse
import dataclasses
import json
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

# Keeps the tree clean: the modules below lie beside this file.
sys.dont_write_bytecode = True

import backups
import bars
import files
import keys
import lists
import logins
import machine
import moves
import openbao
import processes
import report
import rounds
import scale
import scans
import searches
import servers
import syncs
import writes
from load import CREATE, READ, UPDATE, Load
from openbao import OpenBao
from plan import CONNECTIONS, FULL, QUICK, Plan
from postgres import Postgres
from servers import ROOT, Bare, Coffer

UNWIPED = "coffer-unwiped"
DOCUMENT = ROOT / "docs" / "BENCHMARKS.md"


@dataclasses.dataclass
class Results:
    """Everything that was measured."""

    plan: Plan
    machine: str = ""
    synced: str = "coffer"
    written: str = "coffer, `written`"
    unwiped: str = "coffer, freed memory not wiped"
    postgres: str = "coffer on PostgreSQL"
    peer: str = "openbao"
    slim: str = "openbao, no default policy"
    replay: str = "sqlite replay"
    # The bare server that takes the same request, in rounds of keys.
    beside: str = Bare.name
    few: str = ""
    many: str = ""
    reads: dict = dataclasses.field(default_factory=dict)
    writes: dict = dataclasses.field(default_factory=dict)
    groups: dict = dataclasses.field(default_factory=dict)
    logins: dict = dataclasses.field(default_factory=dict)
    syncs: dict = dataclasses.field(default_factory=dict)
    keys: dict = dataclasses.field(default_factory=dict)
    lists: dict = dataclasses.field(default_factory=dict)
    files_in_memory: dict = dataclasses.field(default_factory=dict)
    files_on_disk: dict = dataclasses.field(default_factory=dict)
    moves: dict = dataclasses.field(default_factory=dict)
    scans: dict = dataclasses.field(default_factory=dict)
    backups: dict = dataclasses.field(default_factory=dict)
    searches: dict = dataclasses.field(default_factory=dict)
    slow: list = dataclasses.field(default_factory=list)
    scale: list = dataclasses.field(default_factory=list)
    starts: list = dataclasses.field(default_factory=list)
    idle_rss: list = dataclasses.field(default_factory=list)
    loaded_rss: list = dataclasses.field(default_factory=list)
    memory: list = dataclasses.field(default_factory=list)
    loading: str = ""
    binary_mb: float = 0
    bare: Bare | None = None
    commands: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Programs:
    """What is built before anything runs."""

    coffer: pathlib.Path
    # The same but for the allocator, which wipes nothing.
    unwiped: pathlib.Path
    bare: pathlib.Path
    replay: pathlib.Path
    signatures: pathlib.Path
    file: pathlib.Path


def main():
    arguments = _arguments()
    plan = QUICK if arguments.quick else FULL
    plan = dataclasses.replace(plan, tries=arguments.tries or plan.tries)
    _check_tools()
    if not arguments.no_build:
        _build()
    programs = _programs()
    began = time.monotonic()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="coffer-bench-", dir=arguments.dir))
    try:
        results = _measure(plan, programs, directory)
    finally:
        processes.stop_all()
        shutil.rmtree(directory, ignore_errors=True)
    judged = bars.judge(results)
    text = report.render(results, judged)
    print(text)
    if not plan.quick:
        DOCUMENT.write_text(report.insert(DOCUMENT.read_text(), text))
        print(f"written to {DOCUMENT.relative_to(ROOT)}")
    print(f"took {(time.monotonic() - began) / 60:.1f} minutes")
    busy = any(bar.holds is None for bar in judged)
    if busy:
        print("the machine was too busy: no verdict where the table says so")
    raise SystemExit(1 if any(not bar.holds for bar in judged) else 0)


def _arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="shorter, fewer rounds, smaller stores; changes no document")
    parser.add_argument("--no-build", action="store_true", help="measure the release build as it is")
    parser.add_argument("--tries", type=int, metavar="N", help="how often a round is run until the machine was quiet [5]")
    parser.add_argument("--dir", default="/tmp", help="where the servers' data lies for the time of the run [/tmp]")
    return parser.parse_args()


def _check_tools():
    """Everything needed is there, before anything starts."""
    for tool in ("wrk", "strace"):
        if not shutil.which(tool):
            raise SystemExit(f"error: {tool} is not installed\nhint: scripts/install-test-deps.sh installs it")
    openbao.program()


def _build():
    product = ["--package", "coffer"]
    _cargo_build([*product, "--features", "bench-unwiped"])
    release = _target() / "release"
    shutil.copy2(release / "coffer", release / UNWIPED)
    # The product by itself, as `make run` builds it: built together, the others' features would change it.
    for arguments in (
        product,
        [
            "--package", "coffer-server", "--example", "bare", "--package", "coffer-storage", "--example", "replay",
            "--package", "coffer-crypto", "--example", "signatures", "--example", "file",
        ],
    ):
        _cargo_build(arguments)


def _cargo_build(arguments):
    subprocess.run(["cargo", "build", "--release", "--locked", "--quiet", *arguments], check=True, cwd=ROOT)


def _programs():
    release = _target() / "release"
    examples = (release / "examples" / name for name in ("bare", "replay", "signatures", "file"))
    return Programs(release / "coffer", release / UNWIPED, *examples)


def _target():
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--locked"]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    return pathlib.Path(json.loads(done.stdout)["target_directory"])


def _measure(plan, programs, directory):
    if machine.filesystem(directory) in ("tmpfs", "ramfs", "overlay"):
        raise SystemExit(f"error: {directory} is not on a disk, so that syncs mean nothing\nhint: --dir DIR")
    results = Results(plan, machine.describe(directory), binary_mb=programs.coffer.stat().st_size / 1e6)
    results.commands = [
        (f"{kind}s; also with -t1 -c1 and -c16", report.wrk_line(Load(kind, 64, plan.seconds, plan.secrets)))
        for kind in (READ, UPDATE, CREATE)
    ]
    shown = keys.post(plan, keys.ENCRYPT, {"plaintext": "BASE64"})
    results.commands.append(("what is asked of keys; also decrypt with ciphertext, sign with input", report.wrk_line(shown)))
    _starts_and_memory(plan, programs, directory, results)
    postgres = Postgres()
    try:
        _side_by_side(plan, programs, directory, results, postgres)
    finally:
        postgres.stop()
    _keys(plan, programs, directory, results)
    _syncs(plan, programs, directory, results)
    _many(plan, programs, directory, results)
    return results


def _starts_and_memory(plan, programs, directory, results):
    say("starts of an empty server")
    times = scale.first_start(programs.coffer, directory, plan.starts)
    results.starts.append(("empty, first start: makes its store, keys and log", 100, times))
    server = Coffer(programs.coffer, directory / "small", "coffer")
    server.prepare(1)
    results.starts.append(("empty but for the secret read", 100, scale.starts(server, plan.starts)))
    results.idle_rss.append(("empty", scale.idle_rss(server)))
    server.stop()


def _side_by_side(plan, programs, directory, results, postgres):
    say(f"loading {plan.secrets:,} secrets into each server")
    coffer = Coffer(programs.coffer, directory / "coffer", results.synced)
    written = Coffer(programs.coffer, directory / "written", results.written, read_durability="written")
    unwiped = Coffer(programs.unwiped, directory / "unwiped", results.unwiped)
    url = postgres.url("coffer")
    on_postgres = Coffer(programs.coffer, directory / "postgres", results.postgres, storage=url, database=postgres)
    peer = OpenBao(directory / "openbao")
    for server in (coffer, written, unwiped, on_postgres, peer):
        server.prepare(plan.secrets)
    bare = Bare(programs.bare, directory / "bare.log", servers.body_bytes(coffer))
    results.commands.append(("Coffer", "coffer server --data DIR --listen 127.0.0.1:$PORT --audit-read-durability synced"))
    results.commands.append(("OpenBao", "bao server -config=FILE"))
    subjects = [coffer, written, unwiped, on_postgres, peer, peer.without_default_policy()]
    for connections in reversed(CONNECTIONS):
        say(f"reads, {connections} connections")

        def read(_name, connections=connections):
            return {each.name: Load(READ, connections, plan.seconds, plan.secrets).run(each) for each in subjects}

        for each in subjects:
            Load(READ, connections, 1, plan.secrets).run(each)
        results.reads[connections] = rounds.measure(plan, bare, connections, read)
    results.memory.append(("coffer, `written`, after the reads", machine.rss_mb(written.pid)))
    for server in (written, unwiped):
        server.stop()
    replay = writes.Replay(programs.replay, directory)
    for kind in (UPDATE, CREATE):
        results.writes[kind] = {}
        for connections in reversed(CONNECTIONS):
            say(f"{kind}s, {connections} connections")
            groups = results.groups.setdefault(connections, [])
            work = writes.work(plan, kind, connections, coffer, [on_postgres, peer], replay, groups)
            results.writes[kind][connections] = rounds.measure(plan, bare, connections, work)
    for server in (coffer, peer):
        logins.prepare(server, server.root)
    for kind in logins.KINDS:
        say(f"logins, {kind} tokens, 64 connections")
        results.logins[kind] = rounds.measure(plan, bare, 64, logins.work(plan, kind, [coffer, peer]))
    results.loaded_rss.append((f"{plan.secrets:,} secrets, their writes and the logins, SQLite", machine.rss_mb(coffer.pid)))
    for server in (coffer, on_postgres, peer):
        results.memory.append((f"{server.name}, after the reads and writes", machine.rss_mb(server.pid)))
        server.stop()
    results.bare = bare


def _keys(plan, programs, directory, results):
    coffer = Coffer(programs.coffer, directory / "keys", results.synced)
    peer = OpenBao(directory / "keys-bao")
    for server in (coffer, peer):
        server.prepare(1)
    keys.prepare(coffer, peer)
    for case in keys.CASES:
        say(f"{case.name}, {keys.CONNECTIONS} connections")
        having = [server for server in (coffer, peer) if keys.has(server, case)]
        results.keys[case.name] = keys.measure(plan, programs, directory, results.bare, having, case)
    peer.stop()
    say(f"lists of {plan.keys:,} keys")
    listing = Coffer(programs.coffer, directory / "lists", results.synced)
    listing.prepare(1)
    lists.prepare(listing, plan.keys)
    results.lists = lists.walks(plan, listing)
    listing.stop()
    say(f"files of {plan.file_mib} MiB")
    results.files_in_memory = files.in_memory(plan, programs.file)
    results.files_on_disk = files.on_disk(plan, programs.coffer, coffer, directory)
    say(f"a .env file of {moves.SECRETS:,} secrets")
    results.moves = moves.seconds(plan, programs.coffer, coffer)
    coffer.stop()
    say(f"scans of {plan.scan_mib} MiB")
    results.scans = scans.measure(plan, programs.coffer, directory)


def _syncs(plan, programs, directory, results):
    say("syncs per write")
    counters = {name: syncs.Counter(directory / f"syncs-{name}") for name in ("coffer", "front", "openbao")}
    coffer = Coffer(programs.coffer, directory / "counted", results.synced, prefix=counters["coffer"].prefix)
    postgres = Postgres(counter=syncs.Counter)
    try:
        front = Coffer(
            programs.coffer, directory / "counted-pg", results.postgres, storage=postgres.url("coffer"),
            prefix=counters["front"].prefix,
        )
        peer = OpenBao(directory / "counted-bao", prefix=counters["openbao"].prefix)
        counted = [
            (coffer, [counters["coffer"]]),
            (front, [counters["front"], postgres.counter]),
            (peer, [counters["openbao"]]),
        ]
        for server, _ in counted:
            server.prepare(plan.secrets)
        results.syncs = syncs.per_write(plan, counted)
        for server, _ in counted:
            server.stop()
    finally:
        postgres.stop()
    say("2 ms more for each sync")
    slowed = {name: syncs.Counter(directory / f"slow-{name}.trace", syncs.DELAY_MS) for name in ("coffer", "openbao")}
    slow = [
        (Coffer(programs.coffer, directory / "slow", results.synced, prefix=slowed["coffer"].prefix), slowed["coffer"]),
        (OpenBao(directory / "slow-bao", prefix=slowed["openbao"].prefix), slowed["openbao"]),
    ]
    for server, _ in slow:
        server.prepare(plan.secrets)
    prefix = " ".join(word if not word.startswith("/") else "FILE" for word in slowed["coffer"].prefix)
    results.commands.append(("with slower syncs, before each server's command", prefix))
    results.slow = [syncs.slow_round(plan, slow, f"r{number}") for number in range(plan.rounds)]
    for server, _ in slow:
        server.stop()


def _many(plan, programs, directory, results):
    results.few, results.many = f"{plan.few:,} secrets", f"{plan.many:,} secrets"
    say(f"loading {plan.many:,} secrets")
    few = Coffer(programs.coffer, directory / "few", results.few)
    few.prepare(plan.few)
    many = Coffer(programs.coffer, directory / "many", results.many)
    began = time.monotonic()
    many.prepare(plan.many)
    took = time.monotonic() - began
    bytes_now = many.metrics()["coffer_store_bytes"]
    results.loading = f"The {results.many} were loaded in {took:.0f} s over HTTP; the database has {bytes_now / 1e6:,.0f} MB."
    say(f"reads of {plan.many:,} and of {plan.few:,} secrets")
    results.scale = rounds.measure(plan, results.bare, 64, scale.pair(plan, few, many), plan.seconds)
    results.loaded_rss.append((results.many, machine.rss_mb(many.pid)))
    few.stop()
    say(f"searches over {plan.many:,} names")
    results.searches = searches.measure(many, plan.many)
    say(f"backups of {plan.many:,} secrets")
    results.backups = backups.measure(programs.coffer, many, directory)
    say(f"starts with {plan.many:,} secrets")
    results.starts.append((results.many, 1000, scale.starts(many, plan.starts)))
    killed = scale.starts(many, plan.starts, end=signal.SIGKILL)
    results.starts.append((f"{results.many}, after kill -9", 1000, killed))
    results.idle_rss.append((f"{results.many}", scale.idle_rss(many)))
    many.stop()


def say(text):
    """Tells what is going on, on the terminal."""
    print(f"bench: {time.strftime('%H:%M:%S')} {text}", flush=True)


if __name__ == "__main__":
    main()
