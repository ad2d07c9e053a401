"""Interleaved rounds, each begun by the bare server, repeated while the machine is too busy to say anything."""

import dataclasses
import statistics

from load import READ, Load, Run
from plan import BARE_RATE, STEAL


@dataclasses.dataclass
class Round:
    """One interleaved round: the bare server's run, then one run of each subject by name."""

    bare: Run
    runs: dict
    tries: int
    quiet: bool

    def ratio(self, subject, peer=None):
        """A subject's rate over another's in the same round, or over the bare server's."""
        return self.runs[subject].rate / self._run(peer).rate

    def cpu_ratio(self, subject, peer=None):
        """A subject's CPU per request over another's in the same round, or over the bare server's."""
        return self.runs[subject].cpu_us / self._run(peer).cpu_us

    def _run(self, peer):
        return self.runs[peer] if peer else self.bare


def measure(plan, bare, connections, work, seconds=None):
    """Runs `work`, which returns runs by subject, `plan.rounds` times."""
    return [_round(plan, bare, connections, work, number, seconds or plan.seconds) for number in range(plan.rounds)]


def _round(plan, bare, connections, work, number, seconds):
    probe = Load(READ, connections, seconds, plan.secrets)
    for attempt in range(1, plan.tries + 1):
        alone = probe.run(bare)
        if not _is_fast(alone, connections) and attempt < plan.tries:
            # What the servers would do now says nothing; only the last try shows it all the same.
            print(f"bench:   round {number + 1}, try {attempt}: bare {alone.rate:,.0f}, too slow", flush=True)
            continue
        found = Round(alone, work(f"r{number}t{attempt}"), attempt, True)
        rates = ", ".join(f"{name} {run.rate:,.0f}" for name, run in {"bare": found.bare, **found.runs}.items())
        print(f"bench:   round {number + 1}, try {attempt}: {rates}", flush=True)
        if _is_quiet(found, connections):
            return found
    return dataclasses.replace(found, quiet=False)


def _is_quiet(found, connections):
    steal = max(run.steal for run in [found.bare, *found.runs.values()])
    return steal <= STEAL and _is_fast(found.bare, connections)


def _is_fast(bare, connections):
    return connections < 64 or bare.rate >= BARE_RATE


def median(values):
    """The median of an iterable."""
    return statistics.median(list(values))


def spread(values, show):
    """Median and range: `12 (11-14)`."""
    values = list(values)
    return f"{show(median(values))} ({show(min(values))}-{show(max(values))})"
