"""The catalogue of third-party files (source, hash, licence of each), and verified access to those on disk.

No file is used before its hash is checked. `collect` puts files in place.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import yaml

from photo2cartoon.errors import UserError
from photo2cartoon.files import sha256_of

CATALOGUE = Path(__file__).with_name("catalogue.yaml")
FOLDER_VARIABLE = "P2C_WEIGHTS"


@dataclass(frozen=True)
class Asset:
    """One third-party file.

    Args:
        name: identifier in our code.
        file: name on disk.
        sha256: hash of the file; the first ten or more digits if no more are known.
        git_blob: the file's git blob id, for files known only from a repository's listing.
        licence: as its author states it.
        commercial: false if the licence, or that of known training data, forbids commercial use.
        what: short description.
        stages: stages that read the file.
        package: `name==version` in the package registry. It comes with `member`, the path inside the archive, and for a
            source archive with `archive_sha256`, so none of its code runs unverified.
        npm: `name@version` in npm's registry, for files that browsers run, with `member` as well.
        url: download address, if the file is in no package, or the package cannot be had.
        optional: used if present, never fetched.
        on_demand: fetched only by the command that uses it, not by `p2c assets`.
        convert: `module:function` that converts the file to ONNX, called as `function(file, target)`.
    """

    name: str
    file: str
    sha256: str = ""
    git_blob: str = ""
    licence: str = ""
    commercial: bool = True
    what: str = ""
    stages: tuple[str, ...] = ()
    package: str | None = None
    member: str | None = None
    archive_sha256: str | None = None
    npm: str | None = None
    url: str | None = None
    optional: bool = False
    on_demand: bool = False
    convert: str | None = None

    @property
    def pin(self) -> str:
        """The hash that identifies this file."""
        return self.sha256 or self.git_blob

    @property
    def used(self) -> str:
        """Name on disk of the file to run: the original, or its conversion, whose name holds the original's hash."""
        return f"{Path(self.file).stem}-{self.pin[:10]}.onnx" if self.convert else self.file


@functools.cache
def read_catalogue(path: Path = CATALOGUE) -> Mapping[str, Asset]:
    """Read every asset that `path` lists, by name; once, which takes 40 ms."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return MappingProxyType(
        {
            name: Asset(name=name, **entry | {"stages": tuple(entry.get("stages", ()))})
            for name, entry in entries.items()
        }
    )


def used_by(stage: str) -> list[Asset]:
    """List the assets that a stage may read, whatever its parameters."""
    return [asset for asset in read_catalogue().values() if stage in asset.stages]


def git_blob_of(path: Path) -> str:
    """Compute a file's git blob id: sha1 over `blob SIZE`, a zero byte and the content."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def mismatch(path: Path, asset: Asset) -> str:
    """Describe how a file's hashes differ from the asset's; empty if they match.

    Raises:
        ValueError: the asset has no hash to compare with.
    """
    if not asset.pin:
        raise ValueError(f"{asset.name}: neither sha256 nor git_blob")
    for kind, expected, of in (("sha256", asset.sha256, sha256_of), ("git's id", asset.git_blob, git_blob_of)):
        if expected and not (found := of(path)).startswith(expected):
            return f"{kind} is {found}, expected {expected}: refused"
    return ""


def verify(path: Path, asset: Asset) -> Path:
    """Return `path` if its hash is the asset's.

    Raises:
        UserError: the file is missing or has a different hash.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; {_remedy(asset, path.parent)}")
    if wrong := mismatch(path, asset):
        way_out = "Put the right one there" if asset.optional else "Delete the file to have it fetched again"
        raise UserError(f"{path}: {wrong}. {way_out}")
    return path


def _remedy(asset: Asset, folder: Path) -> str:
    if not asset.optional:
        return f"`p2c assets --out {folder}` fetches it"
    return (
        f"no package registry has it: put the file from {asset.url} into a folder of your own, name that folder in "
        f"assets.folder or {FOLDER_VARIABLE}, and run `p2c assets --out {folder}`"
    )


def asset_path(name: str, folder: Path | str) -> Path:
    """Return the path of an asset's file to run in a weights folder, unverified."""
    return Path(folder) / read_catalogue()[name].used


def find_asset(name: str, folder: Path | str) -> Path:
    """Return the path of an asset's file to run in a weights folder: the verified file, or its existing conversion.

    Raises:
        UserError: it is missing or its hash is wrong.
    """
    asset = read_catalogue()[name]
    path = Path(folder) / asset.used
    if not asset.convert or not path.is_file():
        verify(Path(folder) / asset.file, asset)
    if not path.is_file():
        raise UserError(f"{path}: missing; `p2c assets --out {folder}` makes it of {asset.file}")
    return path


def find_optional_asset(name: str, folder: Path | str) -> Path | None:
    """Return the verified file of an asset, or None if it is not there; a file with a wrong hash is refused."""
    asset = read_catalogue()[name]
    path = Path(folder) / asset.file
    return verify(path, asset) if path.exists() else None
