"""What must be reached: each bar with what was measured, and whether it holds."""

import dataclasses

import backups
import costs
import files
import keys
import logins
import moves
from load import CREATE, READ, UPDATE
from rounds import median
from syncs import in_series


@dataclasses.dataclass
class Bar:
    """One bar. `holds` is None where the machine was too busy for a verdict."""

    what: str
    wanted: str
    measured: str
    holds: bool | None
    # Which note in costs.py says what stands in the way.
    cost: str

    @property
    def verdict(self):
        return "no verdict: machine too busy" if self.holds is None else "pass" if self.holds else "FAIL"


def judge(results):
    """Every bar of the bench."""
    return [
        *_reads(results), *_writes(results), *_logins(results), *_keys(results), *_lists(results), *_files(results),
        *_moves(results), *_scans(results), *_searches(results), *_backups(results), *_slow(results), *_scale(results), *_size(results),
    ]


def _at_least(rounds, what, values, least, cost):
    value, quiet = median(values), all(each.quiet for each in rounds)
    return Bar(what, f">= {least:g}", f"{value:.2f}", value >= least if quiet else None, cost)


def _reads(results):
    rounds = results.reads[64]
    quiet = all(each.quiet for each in rounds)

    def at_least(what, subject, peer, least):
        return _at_least(rounds, what, (each.ratio(subject, peer) for each in rounds), least, "read")

    def at_most(what, subject, peer, most):
        value = median(each.cpu_ratio(subject, peer) for each in rounds)
        return Bar(what, f"<= {most:.3g}", f"{value:.3g}", value <= most if quiet else None, "read")

    synced, written, peer, slim = results.synced, results.written, results.peer, results.slim
    return [
        at_least("reads, synced: requests over the bare server's", synced, None, 0.30),
        at_least("reads, `written`: requests over the bare server's", written, None, 0.40),
        at_most("reads, synced: server CPU over the bare server's", synced, None, 3.5),
        at_most("reads, `written`: server CPU over the bare server's", written, None, 3.5),
        at_least("reads, synced: requests over OpenBao's", synced, peer, 10),
        at_most("reads, synced: server CPU over OpenBao's", synced, peer, 1 / 15),
        at_least("reads, synced: requests over OpenBao's without default policy", synced, slim, 5),
    ]


def _writes(results):
    rounds = results.writes[UPDATE][64]
    for peer, least in ((results.peer, 5), (results.replay, 0.4)):
        values = (each.ratio(results.synced, peer) for each in rounds)
        yield _at_least(rounds, f"updates at 64 connections over those of {peer}", values, least, "write")


def _logins(results):
    for kind, least in ((logins.BATCH, 10), (logins.SERVICE, 5)):
        rounds = results.logins[kind]
        values = (each.ratio(results.synced, results.peer) for each in rounds)
        what = f"AppRole logins for {kind} tokens at 64 connections over OpenBao's"
        yield _at_least(rounds, what, values, least, f"login {kind}")


def _keys(results):
    def over(case, peer, shown, least):
        rounds = results.keys[case.name]
        values = (each.ratio(results.synced, peer) for each in rounds)
        return _at_least(rounds, f"{case.name}: requests over {shown}", values, least, "key")

    for case in (keys.ENCRYPT_SHORT, keys.DECRYPT_SHORT):
        yield over(case, results.beside, "the bare server's, aimed at", 0.36)
    for case in (keys.ENCRYPT_SHORT, keys.DECRYPT_SHORT, keys.ENCRYPT, keys.DECRYPT):
        yield over(case, results.beside, "the bare server's", 0.30)
        yield over(case, results.peer, "OpenBao's", 10)
    rounds = results.keys[keys.BATCH.name]
    items = median(each.runs[results.synced].rate * keys.BATCH.items for each in rounds)
    quiet = all(each.quiet for each in rounds)
    what = f"{keys.BATCH.name}: items a second"
    yield Bar(what, ">= 300,000", f"{items:,.0f}", items >= 300_000 if quiet else None, "batch")
    for case in (keys.ED25519, keys.P256):
        yield over(case, results.beside, "the bare server's", 0.25)
        yield over(case, results.peer, "OpenBao's", 8)
    rounds = results.keys[keys.RSA.name]
    for what, values in (
        ("a second over those of aws-lc-rs alone", (each.ratio(results.synced, keys.LIBRARY) for each in rounds)),
        (
            "a second over those of aws-lc-rs alone on the cores that wrk leaves",
            (keys.over_library(each, results.synced) for each in rounds),
        ),
    ):
        yield _at_least(rounds, f"RSA-2048 signatures {what}", values, 0.85, "rsa")


def _lists(results):
    slowest = max(median(max(walk.ms) for walk in walks) for walks in results.lists.values())
    what = f"a page of a list of {results.plan.keys:,} keys, the slowest"
    yield Bar(what, "< 50 ms", f"{slowest:.2f} ms", slowest < 50, "list")


def _files(results):
    small, large = (f"encrypt {mib} MiB" for mib in (results.plan.file_mib // 16, results.plan.file_mib))
    memory, disk = results.files_in_memory, results.files_on_disk
    rate = median(each.gib_a_core_second for each in memory[large])
    yield Bar("a file encrypted in memory, by core", ">= 1 GiB/s", f"{rate:.2f} GiB/s", rate >= 1, "file")
    rate = median(each.gib_a_second for each in disk[large])
    beside = median(one.gib_a_second / dd.gib_a_second for one, dd in zip(disk[large], disk[files.DD]))
    measured = f"{rate:.2f} GiB/s, {beside:.2f} of dd"
    wanted = ">= 1 GiB/s, or 0.95 of dd"
    yield Bar("a file encrypted on the disk by the command", wanted, measured, rate >= 1 or beside >= 0.95, "file")
    for where, passes in (("in memory", memory), ("by the command", disk)):
        growth = median(each.peak_mb for each in passes[large]) - median(each.peak_mb for each in passes[small])
        what = f"peak memory for a file 16 times as large, {where}"
        yield Bar(what, "< 2 MB more", f"{growth:.2f} MB more", growth < 2, "file")


def _moves(results):
    for how, most in ((moves.IMPORT, 10), (moves.EXPORT, 2)):
        value = median(results.moves[how])
        yield Bar(f"{how} of {moves.SECRETS:,} secrets, .env", f"< {most} s", f"{value:.2f} s", value < most, "move")


def _scans(results):
    small, large = (f"{mib} MiB of source" for mib in (results.plan.scan_mib // 16, results.plan.scan_mib))
    seconds = median(each.seconds for each in results.scans[large])
    wanted = 20 * results.plan.scan_mib / 1024
    yield Bar(f"a scan of {large}", f"< {wanted:g} s", f"{seconds:.2f} s", seconds < wanted, "scan")
    growth = median(each.peak_mb for each in results.scans[large]) - median(each.peak_mb for each in results.scans[small])
    what = "peak memory for a tree 16 times as large, scanned"
    yield Bar(what, "< 8 MB more", f"{growth:.2f} MB more", growth < 8, "scan")


def _searches(results):
    slowest = max(median(max(search.ms) for search in found) for found in results.searches.values())
    what = f"a page of a search over {results.plan.many:,} names, the slowest"
    yield Bar(what, "< 300 ms", f"{slowest:.1f} ms", slowest < 300, "search")


def _backups(results):
    passes = results.backups
    for name, what in ((backups.CREATE, "backed up"), (backups.RESTORE, "restored, having been verified")):
        rate = median(each.mb_a_second for each in passes[name])
        beside = median(one.mb_a_second / dd.mb_a_second for one, dd in zip(passes[name], passes[backups.DD]))
        measured = f"{rate:.0f} MB/s, {beside:.2f} of dd"
        holds = rate >= 100 or beside >= 0.95
        yield Bar(f"{results.plan.many:,} secrets {what}", ">= 100 MB/s, or 0.95 of dd", measured, holds, "backup")


def _slow(results):
    for kind in (READ, UPDATE, CREATE):
        pairs = [each[kind, results.synced] for each in results.slow]
        value = median(run.rate * in_series(kind, syncs)[0] / 1e3 / 64 for run, syncs in pairs)
        what = f"{kind}s with 2 ms more a sync, over connections / measured sync time"
        yield Bar(what, ">= 0.5", f"{value:.2f}", value >= 0.5, "slow read" if kind == READ else "slow write")


def _scale(results):
    rounds = results.scale
    quiet = all(each.quiet for each in rounds)
    few, many = results.few, results.many

    def ratio(what, values, wanted, holds):
        value = median(values)
        return Bar(what, wanted, f"{value:.2f}", holds(value) if quiet else None, "scale")

    p99 = [each.runs[many].p99_ms / each.runs[few].p99_ms for each in rounds]
    rate = [each.runs[many].rate / each.runs[few].rate for each in rounds]
    size = f"{results.plan.many:,} secrets against {results.plan.few:,}"
    return [
        ratio(f"{size}: p99 of reads", p99, "<= 1.5", lambda value: value <= 1.5),
        ratio(f"{size}: requests", rate, ">= 0.8", lambda value: value >= 0.8),
    ]


def _size(results):
    def below(what, value, limit, unit, cost):
        return Bar(what, f"< {limit} {unit}", f"{value:.4g} {unit}", value < limit, cost)

    for what, limit, times in results.starts:
        yield below(f"exec to the first authenticated read, {what}", median(times), limit, "ms", "start")
    for what, value in results.idle_rss:
        yield below(f"resident memory, idle, {what}", value, 40, "MB", "memory")
    for what, value in results.loaded_rss:
        yield below(f"resident memory, after the runs, {what}", value, 120, "MB", "memory")
    yield below("binary, stripped", results.binary_mb, 20, "MB", "binary")


def not_reached(bars):
    """The bars that do not hold, each with the cost in the way."""
    return [(bar, costs.NOTES.get(bar.cost, "")) for bar in bars if bar.holds is False]
