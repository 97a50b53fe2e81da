"""Version of a source's images: a hash that changes only when they do, so a cache can tell whether to fetch them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from photo2cartoon.dataset import sample
from photo2cartoon.dataset.ingest import KINDS, WORLDWIDE_COMMIT, ingest
from photo2cartoon.dataset.sources import list_folder, open_url, pictures_among
from photo2cartoon.errors import UserError
from photo2cartoon.files import sha256_of
from photo2cartoon.layout import CARTOONS
from photo2cartoon.params import Ingest
from photo2cartoon.progress import bar


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
    return " ".join(f"{domain}={domain_version(params, domain)}" for domain in used_domains(params))


def used_domains(params: Ingest) -> tuple[str, ...]:
    """Return which of photos, cartoons and drawings have a source."""
    return tuple(domain for domain in KINDS if getattr(params, domain) != "none")


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


def domain_version(params: Ingest, domain: str, hashes: Path | None = None) -> str:
    """Hash the images of one domain, as `data_version` does.

    Args:
        params: the `ingest` section.
        domain: photos, cartoons or drawings.
        hashes: folder that remembers the hash of each file of a folder by its inode, size and modification time, so
            that only new and changed files are read; None reads all.

    Raises:
        UserError: as for `data_version`.
    """
    kind, place = getattr(params, domain), getattr(params, f"{domain}_at")
    if kind == "sample":
        listed = sha256_of(Path(sample.__file__).with_name("sample.yaml"))
        return _hash([listed, str(params.sample_cartoons)] if domain == CARTOONS else [listed])
    if kind == "worldwide":
        return WORLDWIDE_COMMIT
    if kind == "folder":
        source = Path(place).expanduser().resolve()
        names = list_folder(source)
        hashed = _file_hashes([source / name for name in names], hashes)
        return _hash([f"{name} {value}" for name, value in zip(names, hashed, strict=True)])
    with open_url(place) as (system, root):
        if place.startswith("dvc+"):
            whole = system.info(root).get("md5")  # only at a revision: the working tree may differ from what DVC tracks
            if whole:
                return whole
        found = system.find(root, detail=True)
    marks = {str(PurePosixPath(path).relative_to(root or ".")): _mark(info) for path, info in found.items()}
    return _hash([f"{name} {marks[name]}" for name in sorted(pictures_among(marks, place))])


def _file_hashes(paths: list[Path], remembered: Path | None) -> Iterable[str]:
    """Return the sha256 of each file, read by several threads; `remembered` is a state database as DVC itself has one."""
    if remembered is None:
        return map(sha256_of, paths)
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.state import State
    from dvc_objects.fs.local import localfs

    state = State(root_dir=str(Path.cwd()), tmp_dir=str(remembered))
    try:
        infos = {str(path): localfs.info(str(path)) for path in paths}
        remembered_infos = state.get_many(infos, localfs, infos)
        known = {path: info.value for path, _, info in remembered_infos if info is not None and info.value is not None}
        new = [path for path in infos if path not in known]
        with ThreadPoolExecutor() as threads:
            hashes = threads.map(sha256_of, map(Path, new))
            found = dict(zip(bar(new, desc="sources", unit="file", disable=len(new) < 100), hashes, strict=True))
        # What was seen before reading: a file that changed meanwhile is read again next time.
        state.save_many([(path, HashInfo("sha256", value), infos[path]) for path, value in found.items()], localfs)
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from None
    finally:
        state.close()
    values = known | found
    return [values[str(path)] for path in paths]


def _mark(info: dict[str, Any]) -> str:
    """Return the identifier of a file's content that its storage provides."""
    for key in ("md5", "ETag", "etag", "md5Hash", "content_md5", "CRC"):
        if info.get(key):
            return str(info[key])
    info = info.get("fs_info") or info  # of a file in the working tree of a DVC repository
    return f"{info.get('size')} {info.get('mtime') or info.get('LastModified') or info.get('created')}"


def _hash(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]
