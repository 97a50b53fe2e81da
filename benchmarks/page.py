"""Writes the results of a benchmark into a page of docs/, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from photo2cartoon.errors import UserError


def read_between(page: Path, mark: str) -> str:
    """Return what stands between `<!-- MARK -->` and `<!-- /MARK -->`.

    Raises:
        UserError: the page has no such marks.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    content = page.read_text(encoding="utf-8")
    if begin not in content or end not in content:
        raise UserError(f"{page}: has no place for the result: {begin} and {end}")
    return content.split(begin)[1].split(end)[0]


def write_rows(page: Path, mark: str, head: Sequence[str], rows: Sequence[str], columns: int = 1) -> None:
    """Write rows into the table between the marks; a row with the same first columns is replaced, the others stay.

    Args:
        page, mark: as for `write_between`.
        head: the two lines of the table's head.
        rows: lines of the table.
        columns: number of columns that tell rows apart.
    """
    found = [line for line in read_between(page, mark).splitlines() if line.startswith("| ")]
    merged = {tuple(line.split(" | ")[:columns]): line for line in [*found, *rows]}
    merged.pop(tuple(head[0].split(" | ")[:columns]), None)
    write_between(page, mark, "\n".join([*head, *merged.values()]))


def write_between(page: Path, mark: str, text: str) -> None:
    """Replace what stands between `<!-- MARK -->` and `<!-- /MARK -->`.

    Raises:
        UserError: the page has no such marks.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    former = read_between(page, mark)
    content = page.read_text(encoding="utf-8")
    page.write_text(content.replace(f"{begin}{former}{end}", f"{begin}\n\n{text}\n\n{end}"), encoding="utf-8")
