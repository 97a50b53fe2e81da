"""The `assets` stage: finds or fetches third-party files, verifies their hashes, puts them where stages expect them.

A file comes from a package in the registry that pip is configured for (`package` and `member`), or npm (`npm` and
`member`), or from a `url`, which also serves if the package cannot be had.
Nothing is used, moved into place or executed before its hash is checked. Files in other projects' formats are converted
once.
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
from photo2cartoon.assets.fetch import from_npm, from_package, from_url
from photo2cartoon.atomic import atomic_write, make_folder
from photo2cartoon.errors import UserError
from photo2cartoon.progress import bar, note


def collect(
    out: Path, folder: Path | None = None, assets: Iterable[Asset] | None = None, label: str = "weights"
) -> list[tuple[Asset, str]]:
    """Put every asset into `out`; this is the `assets` stage.

    Args:
        out: the weights folder; correct files that are already there are kept.
        folder: the user's own folder, searched first; a wrong file in it is an error, not skipped.
        assets: assets to collect; by default the whole catalogue without what is fetched on demand.
        label: label of the progress bar.

    Returns:
        Each asset and where it came from: 'kept', 'folder', 'package', 'url', or 'absent' for an optional one.

    Raises:
        UserError: a hash is wrong, or a required file cannot be obtained.
    """
    places = [Path(place) for place in (folder, os.environ.get(FOLDER_VARIABLE)) if place]
    for place in places:
        if not place.is_dir():
            raise UserError(f"{place}: no such weights folder")
    make_folder(out)
    if assets is None:
        assets = [asset for asset in catalogue.read_catalogue().values() if not asset.on_demand]
    assets = list(assets)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for asset in (shown := bar(assets, desc=label, unit="file")):
            shown.set_postfix_str(asset.name, refresh=False)
            results.append((asset, _collect_one(asset, out / asset.file, places, Path(temporary))))
            if asset.convert and results[-1][1] != "absent":
                _convert(asset, out)
    return results


def ensure(names: Iterable[str], folder: Path, own: Path | None = None) -> None:
    """Collect those of the named assets that a weights folder lacks; optional ones only if they can be found.

    Args:
        names: names of the assets about to be used.
        folder: the weights folder.
        own: the user's own folder, as `folder` of `collect`.

    Raises:
        UserError: as for `collect`.
    """
    known = catalogue.read_catalogue()
    missing = [known[name] for name in names if not (folder / known[name].used).exists()]
    if missing:
        collect(folder, own, missing)


def _convert(asset: Asset, folder: Path) -> None:
    target = folder / asset.used
    if asset.convert and not target.exists():
        note(f"{asset.file}: converted once, to {target.name}")
        module, function = asset.convert.split(":")
        try:
            with atomic_write(target) as partial:
                getattr(importlib.import_module(module), function)(folder / asset.file, partial)
        except UserError as error:
            # Not fatal: selecting this asset later fails with its own error, and nobody else needs it.
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
    if asset.package or asset.npm:
        try:
            _put((from_package if asset.package else from_npm)(asset, temporary), target, asset)
            return "package"
        except UserError as error:
            if not asset.url:
                raise
            note(f"{error}; fetched from {asset.url} instead")
    _put(from_url(asset, temporary), target, asset)
    return "url"


def _put(source: Path, target: Path, asset: Asset) -> None:
    """Copy beside the target, verify, then rename, so a file under its final name is always complete and verified."""
    with atomic_write(target) as partial:
        shutil.copyfile(source, partial)
        if wrong := mismatch(partial, asset):
            raise UserError(f"{asset.file} from {asset.package or asset.npm or asset.url or source}: {wrong}")
