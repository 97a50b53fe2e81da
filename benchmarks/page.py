"""Writes the results of a benchmark into a page of docs/, between two marks."""

from __future__ import annotations

from pathlib import Path

from photo2cartoon.errors import UserError


def write_between(page: Path, mark: str, text: str) -> None:
    """Replace what stands between `<!-- MARK -->` and `<!-- /MARK -->`.

    Raises:
        UserError: the page has no such marks.
    """
    begin, end = f"<!-- {mark} -->", f"<!-- /{mark} -->"
    content = page.read_text(encoding="utf-8")
    if begin not in content or end not in content:
        raise UserError(f"{page}: has no place for the result: {begin} and {end}")
    before, rest = content.split(begin)
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{rest.split(end)[1]}", encoding="utf-8")
