"""Runs commands and watches their memory and open files."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    Args:
        code: its exit code.
        output, errors: what it printed.
        seconds: how long it took.
        peak: most private memory of it and its processes, MB.
    """

    code: int
    output: str
    errors: str
    seconds: float
    peak: float

    @property
    def crashed(self) -> bool:
        """Whether it ended by a signal or with a traceback."""
        return self.code < 0 or self.code > 128 or "Traceback" in self.errors

    def then(self, other: Done) -> Done:
        """Return what came of this command and the one that ran after it."""
        code, errors = self.code or other.code, self.errors + other.errors
        return Done(code, self.output + other.output, errors, self.seconds + other.seconds, max(self.peak, other.peak))


def p2c(*arguments: object) -> list[str]:
    """Return the words of a `p2c` command."""
    return [sys.executable, "-m", "photo2cartoon", *map(str, arguments)]


def run(command: Sequence[str], folder: Path, interval: float = 0.25) -> Done:
    """Run a command in a folder until it ends."""
    began, peak = time.monotonic(), 0.0
    with (folder / ".output").open("w+") as output, (folder / ".errors").open("w+") as errors:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=errors)
        while process.poll() is None:
            peak = max(peak, memory(process.pid))
            time.sleep(interval)
        seconds = time.monotonic() - began
        texts = [file.seek(0) or file.read() for file in (output, errors)]
    for name in (".output", ".errors"):
        (folder / name).unlink()
    return Done(process.returncode, *texts, seconds, peak)


def family(parent: int) -> set[int]:
    """Return the ids of a process and of all that it started."""
    parents = {}
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                parents[int(place.name)] = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
    own = {parent}
    while more := {child for child, of in parents.items() if of in own} - own:
        own |= more
    return own


def memory(parent: int) -> float:
    """Return the private memory of a process and all that it started, in MB."""
    total = 0
    for process in family(parent):
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Private"))
    return total / 1024


def open_files(parent: int) -> int:
    """Count the open files of a process and all that it started."""
    total = 0
    for process in family(parent):
        try:
            total += len(list(Path(f"/proc/{process}/fd").iterdir()))
        except OSError:
            continue
    return total
