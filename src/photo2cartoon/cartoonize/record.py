"""`cartoons.csv` in a folder of cartoons: a row for every file of the folder that they were made of.

A row is written as soon as its cartoon is there. A second run keeps the cartoons of the same pictures by the same model,
options and code.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import photo2cartoon
from photo2cartoon.errors import UserError
from photo2cartoon.files import folder_hash, sha256_of
from photo2cartoon.layout import CARTOON_RECORD
from photo2cartoon.portrait.decode import MAX_BYTES
from photo2cartoon.tables import RowWriter, read_rows, write_rows

DRAWN = "drawn"


@dataclass(frozen=True)
class CartoonRow:
    """Result for one file.

    Args:
        picture: path below the folder of photographs.
        result: drawn, or the reason why not.
        note: further detail for people.
        cartoons: paths below the folder of cartoons, joined by `; `.
        sha256: of the file, in hex; empty if it was not read.
        made_by: `made_by` of the run that made the cartoons.
    """

    picture: str
    result: str
    note: str = ""
    cartoons: str = ""
    sha256: str = ""
    made_by: str = ""


def made_by(*parts: Any) -> str:
    """Return the start of a hash of what cartoons depend on besides the picture: values for JSON, and this package's code."""
    code = folder_hash(Path(photo2cartoon.__file__).parent, "**/*.py")
    return hashlib.sha256(json.dumps([code, *parts], sort_keys=True).encode()).hexdigest()[:16]


def hash_of(picture: Path) -> str:
    """Return the sha256 of a picture; empty for what is not a regular file of a possible size, which is not opened."""
    with contextlib.suppress(OSError):
        found = picture.stat()
        if stat.S_ISREG(found.st_mode) and found.st_size <= MAX_BYTES:
            return sha256_of(picture)
    return ""


class Record:
    """The table of one run, which knows the rows of the run before.

    Args:
        folder: folder of the cartoons.
        made: `made_by` of this run; empty keeps no record.
    """

    def __init__(self, folder: Path, made: str) -> None:
        self._folder, self._made = folder, made
        self._rows: dict[str, CartoonRow] = {}
        self._journal: RowWriter | None = None
        self._before: dict[str, CartoonRow] = {}
        if made:
            with contextlib.suppress(OSError, ValueError, TypeError, csv.Error):
                self._before = {row.picture: row for row in read_rows(folder / CARTOON_RECORD, CartoonRow)}

    def kept(self, picture: str, sha256: str, names: Iterable[str]) -> list[Path]:
        """Return the cartoons of a picture that the run before made, if this one would make the same.

        Args:
            picture: path below the folder of photographs.
            sha256: of the picture.
            names: what this run would call its cartoons, as many as there may be.
        """
        row = self._before.get(picture.encode(errors="backslashreplace").decode())
        if not row or not sha256 or (row.result, row.sha256, row.made_by) != (DRAWN, sha256, self._made):
            return []
        files = row.cartoons.split("; ")
        if files != [name for name, _ in zip(names, files, strict=False)]:
            return []
        paths = [self._folder / file for file in files]
        return paths if all(path.is_file() for path in paths) else []

    def add(self, picture: str, result: str, note: str = "", cartoons: Iterable[Path] = (), sha256: str = "") -> None:
        """Add the row of a picture. Without a file of the run before, the first drawn one starts it.

        Raises:
            UserError: the disk is full or not writable.
        """
        names = [path.relative_to(self._folder).as_posix() for path in cartoons]
        row = CartoonRow(picture, result, note, "; ".join(names), sha256, self._made if names else "")
        self._rows[picture] = row
        path = self._folder / CARTOON_RECORD
        try:
            if self._journal:
                self._journal.add(row)
            elif self._made and (result == DRAWN or path.is_file()):
                # Rows of the run before stay until their picture is reached.
                write_rows(path, (self._before | self._rows).values(), CartoonRow)
                self._journal = RowWriter(path, CartoonRow, append=True)
        except OSError as error:
            raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None

    def close(self, whole: bool) -> None:
        """Close the file; after a whole run it has the rows of this run alone, sorted by picture.

        Raises:
            UserError: the rows of a whole run cannot be written.
        """
        if not self._journal:
            return
        with contextlib.suppress(OSError):  # `add` has said so
            self._journal.close()
        if whole:
            rows = sorted(self._rows.values(), key=lambda row: row.picture)
            write_rows(self._folder / CARTOON_RECORD, rows, CartoonRow)
