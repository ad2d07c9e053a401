"""What must be reached: each bar with what was measured, and whether it holds."""

import dataclasses

import costs
import logins
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
    return [*_reads(results), *_writes(results), *_logins(results), *_slow(results), *_scale(results), *_size(results)]


def _reads(results):
    rounds = results.reads[64]
    quiet = all(each.quiet for each in rounds)

    def at_least(what, values, least, cost="read"):
        value = median(values)
        return Bar(what, f">= {least:g}", f"{value:.2f}", value >= least if quiet else None, cost)

    def at_most(what, values, most, cost="read"):
        value = median(values)
        return Bar(what, f"<= {most:.3g}", f"{value:.3g}", value <= most if quiet else None, cost)

    def over(subject, peer):
        return [each.runs[subject].rate / each.runs[peer].rate for each in rounds]

    def cpu_over(subject, peer):
        return [each.runs[subject].cpu_us / each.runs[peer].cpu_us for each in rounds]

    synced, written, peer, slim = results.synced, results.written, results.peer, results.slim
    return [
        at_least("reads, synced: requests over the bare server's", [each.ratio(synced) for each in rounds], 0.30),
        at_least("reads, `written`: requests over the bare server's", [each.ratio(written) for each in rounds], 0.40),
        at_most("reads, synced: server CPU over the bare server's", [each.cpu_ratio(synced) for each in rounds], 3.5),
        at_most("reads, `written`: server CPU over the bare server's", [each.cpu_ratio(written) for each in rounds], 3.5),
        at_least("reads, synced: requests over OpenBao's", over(synced, peer), 10),
        at_most("reads, synced: server CPU over OpenBao's", cpu_over(synced, peer), 1 / 15),
        at_least("reads, synced: requests over OpenBao's without default policy", over(synced, slim), 5),
    ]


def _writes(results):
    rounds = results.writes[UPDATE][64]
    quiet = all(each.quiet for each in rounds)

    def over(peer, least):
        value = median(each.runs[results.synced].rate / each.runs[peer].rate for each in rounds)
        what = f"updates at 64 connections over those of {peer}"
        return Bar(what, f">= {least:g}", f"{value:.2f}", value >= least if quiet else None, "write")

    return [over(results.peer, 5), over(results.replay, 0.4)]


def _logins(results):
    for kind, least in ((logins.BATCH, 10), (logins.SERVICE, 5)):
        rounds = results.logins[kind]
        quiet = all(each.quiet for each in rounds)
        value = median(each.runs[results.synced].rate / each.runs[results.peer].rate for each in rounds)
        what = f"AppRole logins for {kind} tokens at 64 connections over OpenBao's"
        yield Bar(what, f">= {least:g}", f"{value:.2f}", value >= least if quiet else None, f"login {kind}")


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
