"""Writes: updates and creates, on Coffer over SQLite and PostgreSQL and on OpenBao, and SQLite alone replaying them."""

import json
import shutil
import sqlite3
import subprocess
import tempfile
import threading
import time

from load import UPDATE, Load, Run


class Replay:
    """Replays what a Coffer's store committed during a run into SQLite alone."""

    name = "sqlite replay"

    def __init__(self, program, directory):
        self.program, self.directory = program, directory

    def record(self, coffer, load):
        """Runs `load` on a Coffer; returns its run, and what a replay of its batches needs."""
        copy = tempfile.mkdtemp(prefix="replay-", dir=self.directory)
        with coffer.open_database() as source, sqlite3.connect(f"{copy}/store.db") as target:
            source.backup(target)
        before = coffer.metrics()
        row = _OutboxRow(coffer)
        run = load.run(coffer)
        after = coffer.metrics()
        delta = {name: after[name] - before.get(name, 0) for name in after}
        return run, (copy, delta, row.stop(), run.requests)

    def run(self, recording):
        """Updates a second of the replay, and the mean size of a group."""
        copy, delta, (key, value), writes = recording
        groups = group_sizes(delta)
        deletions = max(0, delta["coffer_store_commits_total"] - writes)
        text = ",".join(f"{size}x{count}" for size, count in groups)
        command = [self.program, f"{copy}/store.db", text, str(deletions), str(key), str(value)]
        try:
            done = subprocess.run(command, check=True, capture_output=True, text=True)
        finally:
            shutil.rmtree(copy)
        found = json.loads(done.stdout)
        rate = found["updates"] / found["seconds"]
        mean = delta["coffer_store_commits_total"] / max(1, delta["coffer_store_group_batches_count"])
        return Run(found["updates"], rate, 0, 0, 0, 0, 0, 0), mean


class _OutboxRow:
    """Looks for an outbox row while a run goes on: its size is part of each batch."""

    def __init__(self, coffer):
        self.coffer, self.found, self.over = coffer, None, False
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self):
        while not self.found and not self.over:
            self.found = self.coffer.outbox_row()
            time.sleep(0.05)

    def stop(self):
        self.over = True
        self.thread.join()
        if not self.found:
            raise RuntimeError("no outbox row was seen during a run of writes")
        return self.found


def group_sizes(delta):
    """Sizes of groups with their counts, from the histogram: the middle of each bucket, bent so that the sum is true."""
    name = "coffer_store_group_batches"
    buckets, lower, below = [], 1, 0
    bounds = [key for key in delta if key.startswith(f"{name}_bucket")]
    for key in bounds:
        bound = key.split('"')[1]
        upper = lower * 2 - 1 if bound == "+Inf" else int(bound)
        count = delta[key] - below
        below = delta[key]
        if count:
            buckets.append((lower, upper, count))
        lower = upper + 1
    total = delta[f"{name}_sum"]
    least = sum(lower * count for lower, _, count in buckets)
    most = sum(upper * count for _, upper, count in buckets)
    share = (total - least) / (most - least) if most > least else 0
    sizes = []
    for lower, upper, count in buckets:
        exact = lower + (upper - lower) * share
        low = int(exact)
        high = round((exact - low) * count)
        sizes.extend((size, number) for size, number in ((low, count - high), (low + 1, high)) if number)
    return sizes


def work(plan, kind, connections, coffer, others, replay, groups):
    """One round's runs of writes; for updates the replay of Coffer's own follows it. Appends to `groups`."""

    def one(name):
        load = Load(kind, connections, plan.seconds, plan.secrets, name=f"c{connections}{name}")
        runs = {}
        if kind == UPDATE:
            runs[coffer.name], recording = replay.record(coffer, load)
            runs[replay.name], mean = replay.run(recording)
            groups.append(mean)
        else:
            runs[coffer.name] = load.run(coffer)
        for other in others:
            runs[other.name] = load.run(other)
        return runs

    return one
