"""CSV tables whose rows are dataclasses of strings. Bytes of file names that are not UTF-8 are written as `\\udc..`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from photo2cartoon.atomic import atomic_write


def write_rows(path: Path, rows: Iterable[Any], kind: type) -> None:
    """Write rows of a dataclass, with its fields as columns."""
    with atomic_write(path) as partial:
        writer = RowWriter(partial, kind)
        for row in rows:
            writer.add(row)
        writer.close()


def read_rows(path: Path, kind: type) -> list[Any]:
    """Read rows of a dataclass, without one that was cut off."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, restval=None))
    return [kind(**row) for row in rows if None not in row and None not in row.values()]


class RowWriter:
    """Writes a table row by row, so that a process that is killed leaves all rows but the last one.

    Args:
        path: the file.
        kind: the dataclass of its rows.
        append: add to a table that is there.
    """

    def __init__(self, path: Path, kind: type, append: bool = False) -> None:
        self._file = path.open(
            "a" if append else "w", newline="", encoding="utf-8", errors="backslashreplace", buffering=1
        )
        self._writer = csv.DictWriter(self._file, [field.name for field in fields(kind)])
        if not append:
            self._writer.writeheader()

    def add(self, row: Any) -> None:
        """Append a row."""
        self._writer.writerow(asdict(row))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
