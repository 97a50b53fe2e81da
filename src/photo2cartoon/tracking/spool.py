"""Records on disk until they are sent, so that not even a killed process loses one.

A spool is a file of JSON lines that its process holds a lock on. A file without a lock was left behind, and the next
stage on the machine sends it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from photo2cartoon.errors import without_credentials
from photo2cartoon.files import local_folder
from photo2cartoon.progress import note

FOLDER = "outbox"  # in `var/`

Record = dict[str, Any]


class Spool:
    """The records of one process that are not sent yet. Safe to use from two threads.

    Args:
        name: beginning of the file's name.
        server: MLflow's tracking URI; the records are sent to no other.
    """

    def __init__(self, name: str, server: str) -> None:
        self.path = local_folder() / FOLDER / f"{name}-{uuid.uuid4().hex[:8]}@{_mark(server)}.jsonl"
        self._lock = threading.Lock()
        self._kept = self._sent = 0  # lines in the file; those of them that are sent
        self._file: IO[str] | None = None
        with _or_in_memory(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+", encoding="utf-8")
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def append(self, record: Record) -> None:
        """Keep a record."""
        with self._lock:
            self._kept += 1
            if self._file is not None:
                with _or_in_memory(self.path):
                    self._file.write(json.dumps(record) + "\n")
                    self._file.flush()

    def sent(self) -> None:
        """Drop the oldest record that is kept."""
        with self._lock:
            self._sent += 1
            if self._sent == self._kept and self._file is not None:
                self._file.truncate(0)
                self._kept = self._sent = 0

    def close(self) -> int:
        """Leave what is not sent to the next stage; return how many records that are."""
        with self._lock:
            left = self._kept - self._sent
            if self._file is not None:
                with _or_in_memory(self.path):
                    drop(self._file, self.path, self._sent)
                self._file.close()
                self._file = None
            return left


def left_behind(server: str) -> Iterator[tuple[Path, IO[str]]]:
    """Yield the files of processes that ended, for a server, locked for the caller; earlier releases named no server."""
    for path in sorted((local_folder() / FOLDER).glob("*.jsonl")):
        if path.stem.partition("@")[2] not in ("", _mark(server)):
            continue
        with contextlib.suppress(OSError), path.open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # its process is alive
            yield path, file


def _mark(server: str) -> str:
    return hashlib.sha256(without_credentials(server).encode()).hexdigest()[:8]


def records(file: IO[str]) -> list[Record]:
    """Read the records of a file; a line that a killed process did not finish is dropped."""
    file.seek(0)
    found = []
    for line in file.read().splitlines():
        with contextlib.suppress(ValueError):
            found.append(json.loads(line))
    return found


def drop(file: IO[str], path: Path, count: int) -> None:
    """Remove the first records of a file; without any left, the file is removed.

    Their lines are blanked in place, which needs no space: a full disk or a killed process loses none of the others.
    """
    file.seek(0)
    lines = file.read().splitlines(keepends=True)
    places = [place for place, line in enumerate(lines) if _is_record(line)]
    if len(places) <= count:
        path.unlink(missing_ok=True)
    elif count:
        size = sum(len(line.encode()) for line in lines[: places[count]])
        with path.open("r+b") as blanked:
            blanked.write(b" " * (size - 1) + b"\n")


def _is_record(line: str) -> bool:
    with contextlib.suppress(ValueError):
        return json.loads(line) is not None
    return False


@contextlib.contextmanager
def _or_in_memory(path: Path) -> Iterator[None]:
    """Continue in memory if the disk fails: training does not stop because its records cannot be kept."""
    try:
        yield
    except OSError as error:
        note(f"{path}: MLflow's records are kept in memory only: {error.strerror or error}")
