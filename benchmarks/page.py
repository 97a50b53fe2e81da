"""Writes the results of a benchmark into a page of docs/, between two marks."""

from __future__ import annotations

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


def write_between(page: Path, mark: str, text: str) -> None:
    """Replace what stands between `<!-- MARK -->` and `<!-- /MARK -->`.

    Raises:
        UserError: the page has no such marks.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    former = read_between(page, mark)
    content = page.read_text(encoding="utf-8")
    page.write_text(content.replace(f"{begin}{former}{end}", f"{begin}\n\n{text}\n\n{end}"), encoding="utf-8")
