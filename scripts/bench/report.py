"""The tables, in Markdown."""

import datetime

import bars as judging
import files
import keys
import lists
import moves
import searches
from load import CREATE, READ, UPDATE
from openbao import CONFIG
from plan import BARE_RATE, CONNECTIONS, STEAL
from rounds import median, spread
from syncs import in_series

BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def render(results, bars):
    """The whole report."""
    plan = results.plan
    lines = [
        f"Measured on {datetime.date.today().isoformat()}: {results.machine}. "
        f"Medians of {plan.rounds} interleaved rounds (range in brackets), {plan.seconds:g} s each; "
        f"{plan.secrets:,} secrets of 512 bytes.",
        "",
    ]
    if plan.quick:
        lines[:0] = ["**QUICK RUN: shorter, fewer rounds, smaller stores. Good for trying, no result.**", ""]
    lines += _bars(bars)
    for part in (_reads, _writes, _logins, _keys, _lists, _files, _moves, _scans, _searches, _backups, _slow, _scale, _commands):
        lines += part(results)
    return "\n".join(lines) + "\n"


def insert(text, report):
    """A document with the report between its markers."""
    before, rest = text.split(BEGIN, 1)
    _, after = rest.split(END, 1)
    return f"{before}{BEGIN}\n\n{report}\n{END}{after}"


def _bars(bars):
    yield from _table("Bars", ["", "wanted", "measured", ""], [
        [bar.what, bar.wanted, bar.measured, bar.verdict] for bar in bars
    ])
    missed = judging.not_reached(bars)
    yield "## Not reached"
    yield ""
    if not missed:
        yield "Nothing."
    for bar, cost in missed:
        yield f"- {bar.what}: {bar.measured}, wanted {bar.wanted}.{' ' + cost if cost else ''}"
    open_bars = sum(bar.holds is None for bar in bars)
    if open_bars:
        yield ""
        yield f"No verdict on {open_bars} of {len(bars)}: the machine was too busy."
    yield ""


def _reads(results):
    heads = ["connections", "server", "requests/s", "of bare", "CPU us/request", "times bare", "p50 ms", "p99 ms"]
    rows = []
    for connections in CONNECTIONS:
        rounds = results.reads[connections]
        rows.append([connections, "bare axum", *_run_cells([each.bare for each in rounds], rounds)])
        for name in rounds[0].runs:
            rows.append([connections, name, *_run_cells([each.runs[name] for each in rounds], rounds)])
    yield from _table("Reads (KV v2)", heads, rows)
    yield _noise(rounds for rounds in results.reads.values())
    yield ""
    over = median(each.cpu_ratio(results.synced, results.unwiped) for each in results.reads[64]) - 1
    yield (
        f"`{results.unwiped}` is built with the feature bench-unwiped: at 64 connections, wiping what is freed costs a read "
        f"{over * 100:.1f} % more CPU of the server (median of the rounds' ratios)."
    )
    yield ""


def _run_cells(runs, rounds):
    database = median(run.database_us for run in runs)
    return [
        spread((run.rate for run in runs), _count),
        spread((run.rate / each.bare.rate for run, each in zip(runs, rounds)), _two),
        f"{median(run.cpu_us for run in runs):.1f}" + (f" + {database:.1f} database" if database else ""),
        spread((run.cpu_us / each.bare.cpu_us for run, each in zip(runs, rounds)), _two),
        f"{median(run.p50_ms for run in runs):.2f}",
        spread((run.p99_ms for run in runs), _two),
    ]


def _writes(results):
    heads = ["connections", "server", "writes/s", "of OpenBao", "CPU us/write", "syncs/write", "p50 ms", "p99 ms"]
    for kind in (UPDATE, CREATE):
        rows = []
        for connections in CONNECTIONS:
            rounds = results.writes[kind][connections]
            for name in rounds[0].runs:
                rows.append([connections, name, *_write_cells(results, kind, connections, name)])
        yield from _table(f"Writes: {kind}s (KV v2)", heads, rows)
        yield _noise(rounds for rounds in results.writes[kind].values())
        yield ""
    groups = ", ".join(f"{connections}: {median(means):.1f}" for connections, means in results.groups.items())
    yield (
        "`sqlite replay` is SQLite alone, in one thread of one process, with the batches of the run before it: the same "
        f"rows, statements, settings and group sizes. Mean batches in a group, by connections: {groups}."
    )
    yield ""


def _write_cells(results, kind, connections, name):
    rounds = results.writes[kind][connections]
    runs = [each.runs[name] for each in rounds]
    over = [run.rate / each.runs[results.peer].rate for run, each in zip(runs, rounds)]
    syncs = results.syncs.get((kind, connections, name))
    rates = [spread((run.rate for run in runs), _count), spread(over, _two)]
    if name == results.replay:
        return [*rates, "", "", "", ""]
    database = median(run.database_us for run in runs)
    return [
        *rates,
        f"{median(run.cpu_us for run in runs):.0f}" + (f" + {database:.0f} database" if database else ""),
        " + ".join(f"{each:.2f}" for each in syncs) if syncs else "",
        f"{median(run.p50_ms for run in runs):.2f}",
        spread((run.p99_ms for run in runs), _two),
    ]


def _logins(results):
    heads = ["tokens", "server", "logins/s", "of OpenBao", "CPU us/login", "p50 ms", "p99 ms"]
    rows = []
    for kind, rounds in results.logins.items():
        for name in rounds[0].runs:
            runs = [each.runs[name] for each in rounds]
            over = [run.rate / each.runs[results.peer].rate for run, each in zip(runs, rounds)]
            rows.append([
                kind, name, spread((run.rate for run in runs), _count), spread(over, _two),
                f"{median(run.cpu_us for run in runs):.0f}", f"{median(run.p50_ms for run in runs):.2f}",
                spread((run.p99_ms for run in runs), _two),
            ])
    yield from _table("AppRole logins, 64 connections", heads, rows)
    yield _noise(results.logins.values())
    yield ""


def _keys(results):
    heads = ["", "server", "requests/s", "of bare", "of OpenBao", "CPU us/request", "p50 ms", "p99 ms"]
    rows = []
    for case, rounds in results.keys.items():
        for name in rounds[0].runs:
            runs = [each.runs[name] for each in rounds]
            has_peer = results.peer in rounds[0].runs
            row = [
                case, name, spread((run.rate for run in runs), _count),
                spread((each.ratio(name, results.beside) for each in rounds), _two),
                spread((each.ratio(name, results.peer) for each in rounds), _two) if has_peer else "",
                f"{median(run.cpu_us for run in runs):.1f}",
            ]
            if name == keys.LIBRARY:
                rows.append([*row, "", ""])
            else:
                rows.append([*row, f"{median(run.p50_ms for run in runs):.2f}", spread((run.p99_ms for run in runs), _two)])
    yield from _table(f"Keys (transit), {keys.CONNECTIONS} connections", heads, rows)
    yield _noise(results.keys.values())
    yield ""
    rounds = results.keys[keys.RSA.name]
    cpu = median(each.cpu_ratio(keys.LIBRARY, results.synced) for each in rounds)
    cores = median(each.runs[results.synced].client for each in rounds)
    yield (
        f"Here `{results.beside}` takes the same requests and answers with as many bytes as Coffer. `{keys.LIBRARY}` signs in as "
        "many threads as there are cores, without a server or a client; of its CPU for a signature over the server's for a "
        f"request {cpu:.2f} is left, and wrk used {cores:.2f} cores beside the server."
    )
    yield ""


def _lists(results):
    rows = [
        [query, walks[0].keys, len(walks[0].ms), f"{median(median(walk.ms) for walk in walks):.2f}",
         spread((max(walk.ms) for walk in walks), _two)]
        for query, walks in results.lists.items()
    ]
    heads = ["asked for", "keys", "pages", "ms a page", "ms, the slowest page"]
    yield from _table(f"Lists of {results.plan.keys:,} keys, by pages of {lists.PAGE}", heads, rows)


def _files(results):
    rows = [
        [
            name, "on the disk" if name == files.DD else where, spread((each.gib_a_second for each in passes), _two),
            spread((each.gib_a_core_second for each in passes), _two), f"{median(each.peak_mb for each in passes):.1f}",
        ]
        for where, found in (("the library, in memory", results.files_in_memory), ("the command, on the disk", results.files_on_disk))
        for name, passes in found.items()
    ]
    yield from _table("Files, one at a time", ["", "", "GiB/s", "GiB per second of CPU", "peak memory MB"], rows)


def _moves(results):
    rows = [[how, spread(times, _two)] for how, times in results.moves.items()]
    yield from _table(f"A .env file of {moves.SECRETS:,} secrets, by the command", ["", "seconds"], rows)


def _scans(results):
    rows = [
        [name, spread((each.seconds for each in passes), _two), f"{median(each.bytes / each.seconds / 1e6 for each in passes):.0f}",
         spread((each.cpu_seconds for each in passes), _two), f"{median(each.peak_mb for each in passes):.1f}"]
        for name, passes in results.scans.items()
    ]
    yield from _table("Scans for secrets", ["", "seconds", "MB/s", "seconds of CPU", "peak memory MB"], rows)


def _searches(results):
    rows = [
        [case, found[0].found, len(found[0].ms), spread((search.ms[0] for search in found), _two),
         spread((sum(search.ms) for search in found), _two)]
        for case, found in results.searches.items()
    ]
    heads = ["a name that", "found", "pages", "ms, the first page", "ms, to the end"]
    title = f"Searches by name over {results.plan.many:,} secrets, by pages of {searches.PAGE}"
    yield from _table(title, heads, rows)


def _backups(results):
    rows = [
        [name, f"{median(each.bytes for each in passes) / 1e6:,.0f}", spread((each.mb_a_second for each in passes), _two),
         f"{median(each.peak_mb for each in passes):.1f}"]
        for name, passes in results.backups.items()
    ]
    title = f"Backups of {results.plan.many:,} secrets in parts, the server running; a restore verifies first"
    yield from _table(title, ["", "MB", "MB/s", "peak memory MB"], rows)


def _slow(results):
    heads = [
        "", "server", "requests/s", "syncs/request", "mean sync ms", "of 64 / log sync", "of 64 / syncs in series",
        "p50 ms", "p99 ms",
    ]
    rows = []
    for kind in (READ, UPDATE, CREATE):
        for name in (results.synced, results.peer):
            pairs = [each[kind, name] for each in results.slow]
            runs = [run for run, _ in pairs]
            shares = ["", ""]
            if name == results.synced:
                series = [in_series(kind, syncs) for _, syncs in pairs]
                shares = [
                    spread((run.rate * times[part] / 1e3 / 64 for run, times in zip(runs, series)), _two)
                    for part in (0, 1)
                ]
            rows.append([
                f"{kind}s", name, spread((run.rate for run in runs), _count),
                f"{median(syncs.count / run.requests for run, syncs in pairs):.3f}",
                f"{median(syncs.mean() for _, syncs in pairs):.2f}", *shares,
                f"{median(run.p50_ms for run in runs):.2f}", spread((run.p99_ms for run in runs), _two),
            ])
    yield from _table("64 connections, with 2 ms added to each sync", heads, rows)
    yield (
        "A write waits for two syncs in series, the store's and then the log's: of connections / one sync time it can "
        "reach 0.5 at the very most."
    )
    yield ""


def _scale(results):
    rounds, rows = results.scale, []
    for name in (results.few, results.many):
        runs = [each.runs[name] for each in rounds]
        rows.append([
            name, spread((run.rate for run in runs), _count), f"{median(run.cpu_us for run in runs):.1f}",
            f"{median(run.p50_ms for run in runs):.2f}", spread((run.p99_ms for run in runs), _two),
        ])
    yield from _table("Size: reads of uniformly random secrets, 64 connections", ["", "requests/s", "CPU us", "p50 ms", "p99 ms"], rows)
    yield _noise([rounds])
    yield ""
    rows = [[what, spread(times, _two)] for what, _, times in results.starts]
    yield from _table("Exec to the first authenticated read", ["", "ms"], rows)
    yield f"{results.loading}"
    yield ""
    yield from _table("Resident memory", ["", "MB"], [[what, f"{value:.0f}"] for what, value in results.memory])


def _commands(results):
    yield "## Commands"
    yield ""
    yield "```sh"
    yield "make bench"
    for name, command in results.commands:
        yield f"# {name}"
        yield command
    yield "```"
    yield ""
    yield "OpenBao's configuration:"
    yield ""
    yield "```hcl"
    yield CONFIG.format(directory="DIR", port="PORT", cluster="PORT").strip()
    yield "```"
    yield ""
    yield (
        f"A round is run again, up to {results.plan.tries} times, while the bare server answers fewer than {BARE_RATE:,} "
        f"requests a second at 64 connections or the hypervisor takes more than {STEAL} of a core; if it stays so there is "
        "no verdict. CPU is user and system time of the server's process over the requests. Syncs per write are "
        "counted by strace in runs of their own."
    )


def _noise(groups):
    rounds = [each for group in groups for each in group]
    runs = [run for each in rounds for run in [each.bare, *each.runs.values()]]
    busy = sum(not each.quiet for each in rounds)
    text = (
        f"Bare server: {spread((each.bare.rate for each in rounds), _count)} requests/s; stolen by the hypervisor: "
        f"{spread((run.steal for run in runs), _two)} cores; used by other processes: "
        f"{spread((run.foreign for run in runs), _two)} cores; rounds run again: {sum(each.tries - 1 for each in rounds)}."
    )
    return text + (f" **The machine was too busy in {busy} of {len(rounds)} rounds.**" if busy else "")


def wrk_line(load):
    """The wrk command of a load as a person would type it."""

    class _Shown:
        port, token = "$PORT", "$TOKEN"

    words = (word.rsplit("/", 1)[-1] if word.endswith("wrk.lua") else word for word in load.command(_Shown))
    return " ".join(f"'{word}'" if "{" in word else word for word in words)


def _table(title, heads, rows):
    yield f"## {title}"
    yield ""
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(str(cell) for cell in row) + " |"
    yield ""


def _count(number):
    return f"{number:,.0f}"


def _two(number):
    return f"{number:.2f}"
