"""Secret scanning: a tree of source, how long it takes on this machine's cores, and how much memory."""

import contextlib
import os
import pathlib
import subprocess
import tempfile

import files
from servers import ROOT

MIB = 1 << 20


def measure(plan, program, directory):
    """Passes by the tree's size, and of one file as large as the largest tree."""
    with _directory(directory) as place:
        small, large, single = plan.scan_mib // 16, plan.scan_mib, plan.scan_mib
        trees = {
            f"{small} MiB of source": _tree(place / "small", small),
            f"{large} MiB of source": _tree(place / "large", large),
            f"{single} MiB in one file": _file(place / "single", single),
        }
        found = {}
        for _ in range(plan.rounds):
            for name, (path, size) in trees.items():
                # With a baseline to write it ends well whatever is found.
                command = [program, "scan", "--quiet", "--no-ignore", "--write-baseline", place / "known.json", path]
                found.setdefault(name, []).append(files.run(command, size, dict(os.environ)))
        return found


@contextlib.contextmanager
def _directory(parent):
    with tempfile.TemporaryDirectory(prefix="coffer-bench-scans-", dir=parent) as directory:
        yield pathlib.Path(directory)


def _texts():
    """The project's own files: what a tree of source is made of."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    paths = [ROOT / os.fsdecode(name) for name in listed.split(b"\0") if name]
    return [path.read_bytes() for path in paths if path.is_file()]


def _tree(place, mib):
    """Copies of the project's files, a folder for each copy, up to a size; with the bytes that it came to."""
    texts, size, copy = _texts(), 0, 0
    while size < mib * MIB:
        folder = place / str(copy)
        folder.mkdir(parents=True)
        for number, text in enumerate(texts):
            (folder / f"{number}.rs").write_bytes(text)
            size += len(text)
            if size >= mib * MIB:
                break
        copy += 1
    return place, size


def _file(path, mib):
    """All of it in one file."""
    texts, size = _texts(), 0
    with path.open("wb") as file:
        while size < mib * MIB:
            for text in texts:
                size += file.write(text)
    return path, size
