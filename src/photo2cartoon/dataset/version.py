"""Version of a source's images: a hash that changes only when they do, so a cache can tell whether to fetch them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from photo2cartoon.dataset import sample
from photo2cartoon.dataset.ingest import KINDS, WORLDWIDE_COMMIT, ingest
from photo2cartoon.dataset.sources import list_folder, open_url
from photo2cartoon.errors import UserError
from photo2cartoon.files import sha256_of
from photo2cartoon.layout import CARTOONS
from photo2cartoon.params import Ingest


def data_version(params: Ingest) -> str:
    """Hash what `ingest` would copy, without fetching images if the source can identify them.

    A path tracked by DVC uses DVC's own hash at the git revision; object storage uses names, sizes and ETags; a folder
    uses its contents.

    Args:
        params: the `ingest` section.

    Returns:
        `photos=… cartoons=…`.

    Raises:
        UserError: a source cannot be reached, or does not have the revision or the path.
    """
    kinds = {domain: getattr(params, domain) for domain in KINDS}
    return " ".join(
        f"{domain}={_version(domain, kind, getattr(params, f'{domain}_at'), params)}"
        for domain, kind in kinds.items()
        if kind != "none"
    )


def at_revision(params: Ingest, revision: str) -> Ingest:
    """Return the same sources with every DVC repository at another git revision; an empty one changes nothing.

    Raises:
        UserError: a revision is given, but no source is a DVC repository.
    """
    if not revision:
        return params
    places = {domain: getattr(params, f"{domain}_at") for domain in KINDS}
    kept = {domain: place for domain, place in places.items() if place and place.startswith("dvc+")}
    if not kept:
        raise UserError(f"revision {revision}: no source of pictures is a DVC repository (dvc+REPOSITORY#PATH)")
    changed = {}
    for domain, place in kept.items():
        repository, _, path = place.partition("#")
        changed[f"{domain}_at"] = f"{repository}#{path.partition('@')[0]}@{revision}"
    return params.model_copy(update=changed)


def ingest_version(params: Ingest, version: str, out: Path) -> dict[str, int]:
    """Run the `ingest` stage on sources that must still be at a version; return the number of images in each folder.

    Args:
        params: the `ingest` section.
        version: what `data_version` returned for it.
        out: as for `ingest`.

    Raises:
        UserError: as for `ingest`, or the images changed in the meantime.
    """
    counts = ingest(params, out)
    if data_version(params) != version:
        raise UserError(f"the pictures changed while they were fetched, {version} is gone: start the run again")
    return counts


def _version(domain: str, kind: str, place: str | None, params: Ingest) -> str:
    if kind == "sample":
        listed = sha256_of(Path(sample.__file__).with_name("sample.yaml"))
        return _hash([listed, str(params.sample_cartoons)] if domain == CARTOONS else [listed])
    if kind == "worldwide":
        return WORLDWIDE_COMMIT
    if kind == "folder":
        source = Path(place).expanduser()
        return _hash([f"{name} {sha256_of(source / name)}" for name in list_folder(source)])
    with open_url(place) as (system, root):
        if place.startswith("dvc+"):
            whole = system.info(root).get("md5")
            if whole:
                return whole
        return _hash([f"{path} {_mark(info)}" for path, info in sorted(system.find(root, detail=True).items())])


def _mark(info: dict[str, Any]) -> str:
    """Return the identifier of a file's content that its storage provides."""
    for key in ("md5", "ETag", "etag", "md5Hash", "content_md5"):
        if info.get(key):
            return str(info[key])
    return f"{info.get('size')} {info.get('mtime') or info.get('LastModified') or info.get('created')}"


def _hash(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
