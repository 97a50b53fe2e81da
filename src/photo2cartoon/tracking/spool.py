"""Records on disk until they are sent, so that not even a killed process loses one.

A spool is a file of JSON lines that its process holds a lock on. A file without a lock was left behind, and the next
stage on the machine sends it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import threading
import uuid
from collections import deque
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import IO, Any, NamedTuple

from photo2cartoon.errors import without_credentials
from photo2cartoon.files import local_folder
from photo2cartoon.progress import note

FOLDER = "outbox"  # in `var/`

Record = dict[str, Any]


class Left(NamedTuple):
    """Records of a process that has ended: in its file, and in its memory alone."""

    kept: int
    lost: int


class Spool:
    """The records of one process that are not sent yet. Safe to use from two threads.

    Args:
        name: beginning of the file's name.
        server: MLflow's tracking URI; the records are sent to no other.
    """

    def __init__(self, name: str, server: str) -> None:
        self.path = local_folder() / FOLDER / f"{name}-{uuid.uuid4().hex[:8]}@{_mark(server)}.jsonl"
        self._lock = threading.Lock()
        self._waiting: deque[bool] = deque()  # a flag for each record that is not sent: whether the file has it
        self._sent = 0  # records of the file that are sent
        self._warned = False
        self._file: FileIO | None = None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("ab", buffering=0)
            fcntl.flock(self._file, fcntl.LOCK_EX)
        except OSError as error:
            self._warn(error)

    def append(self, record: Record) -> None:
        """Keep a record; one that the disk has no room for is kept in memory."""
        with self._lock:
            self._waiting.append(self._write(json.dumps(record).encode() + b"\n"))

    def sent(self) -> None:
        """Drop the oldest record that is kept."""
        with self._lock:
            self._sent += self._waiting.popleft()
            if self._file is not None and not any(self._waiting):
                self._file.truncate(0)
                self._sent = 0

    def close(self) -> Left:
        """Leave what is not sent to the next stage; return how many records that are, and how many are lost."""
        with self._lock:
            kept = sum(self._waiting)
            if self._file is not None:
                with contextlib.suppress(OSError):  # they would be sent twice, which does no harm
                    drop(self.path, self._sent)
                self._file.close()
                self._file = None
            return Left(kept, len(self._waiting) - kept)

    def _write(self, line: bytes) -> bool:
        """Write a line whole or not at all; return whether it was written."""
        if self._file is None:
            return False
        end = self._file.seek(0, os.SEEK_END)
        try:
            if self._file.write(line) == len(line):
                return True
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._file.truncate(end)  # which a full disk allows
            self._warn(error)
            return False

    def _warn(self, error: OSError) -> None:
        """Say once that the disk fails: training does not stop because its records cannot be kept."""
        if not self._warned:
            note(f"{self.path}: MLflow's records are kept in memory only: {error.strerror or error}")
        self._warned = True


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


def drop(path: Path, count: int) -> None:
    """Remove the first records of a file; without any left, the file is removed.

    Their lines are blanked in place, which needs no space: a full disk or a killed process loses none of the others.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
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
