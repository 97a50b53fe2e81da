"""The `sources` stage: asks the sources of pictures what they hold now. DVC runs it every time, and `ingest` after it
when the answer has changed."""

from __future__ import annotations

from pathlib import Path

from photo2cartoon.dataset.sources import NoPicturesError
from photo2cartoon.dataset.version import domain_version, used_domains
from photo2cartoon.errors import UserError
from photo2cartoon.files import read_json, write_json
from photo2cartoon.params import Ingest
from photo2cartoon.progress import note


def record_versions(params: Ingest, out: Path, hashes: Path | None = None) -> dict[str, dict[str, str | None]]:
    """Write the version of every source to a file.

    A folder that does not exist, or a URL that cannot be reached, keeps the version that the file already has for it,
    with a note: a colleague's clone has the pictures from DVC's remote, and need not reach the source.

    Args:
        params: the `ingest` section.
        out: JSON file, by domain: the kind of source, its place, its version.
        hashes: as for `domain_version`.

    Returns:
        The contents of the file.

    Raises:
        UserError: a source holds no pictures, or cannot be reached and was never recorded.
    """
    before = read_json(out) if out.exists() else {}
    record = {domain: _ask(params, domain, before.get(domain), hashes) for domain in used_domains(params)}
    write_json(out, record)
    return record


def _ask(params: Ingest, domain: str, before: dict | None, hashes: Path | None) -> dict[str, str | None]:
    source = {"source": getattr(params, domain), "at": getattr(params, f"{domain}_at")}
    try:
        return {**source, "version": domain_version(params, domain, hashes)}
    except NoPicturesError:
        raise
    except UserError as error:
        reached = source["source"] == "folder" and Path(source["at"]).expanduser().is_dir()
        if reached or before is None or {**before, "version": None} != {**source, "version": None}:
            raise
        note(f"sources: {error}; the {domain} stay as they were when last seen")
        return before
