"""The `sources` stage: asks what the sources of pictures hold now, and which contents the files have that params.yaml names.

DVC runs it every time, and after it the stages that depend on an answer which has changed.
"""

from __future__ import annotations

from pathlib import Path

from photo2cartoon import pretrained
from photo2cartoon.dataset.source_version import domain_version, used_domains
from photo2cartoon.dataset.sources import NoPicturesError
from photo2cartoon.errors import UserError
from photo2cartoon.files import folder_hash, read_json, sha256_of, write_json
from photo2cartoon.params import Ingest, Params
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


def record_files(params: Params, out: Path) -> dict[str, dict[str, str | None]]:
    """Write the sha256 of each file or folder that a parameter names, on which a DVC stage depends by the parameter's key.

    One that is not there keeps the hash that the file already has for it, because a colleague's clone need not have it.

    Args:
        params: all sections.
        out: JSON file, by section and key; null for a parameter that names none, or one that was never seen.

    Returns:
        The contents of the file.
    """
    before = read_json(out) if out.exists() else {}
    named = {"preprocess": {"test_list": params.preprocess.test_list}, "train": {"start_from": params.train.start_from}}
    record = {
        section: {key: _hash_of(name, before.get(section, {}).get(key)) for key, name in keys.items()}
        for section, keys in named.items()
    }
    write_json(out, record)
    return record


def _hash_of(name: str | None, before: str | None) -> str | None:
    if name is None:
        return None
    path = pretrained.resolve(name)
    if path.is_dir():
        return folder_hash(path)
    return sha256_of(path) if path.is_file() else before


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
