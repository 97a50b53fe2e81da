"""Portraits that earlier runs made: of the same images, by the same settings, weights and code.

A finished dataset has its images' hashes in `pictures.csv`. Its settings are kept outside, by the hash of that table, so that
the dataset does not change whenever the code does. The folder that an interrupted run leaves has them inside.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from photo2cartoon import portrait as portrait_package
from photo2cartoon.assets.catalogue import read_catalogue
from photo2cartoon.atomic import atomic_write
from photo2cartoon.dataset.table import ALREADY, KEPT, PictureRow, read_table
from photo2cartoon.errors import UserError
from photo2cartoon.files import folder_hash, sha256_of
from photo2cartoon.layout import CARTOONS, DRAWINGS, DRAWN, PHOTOS, TABLE
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait.maker import required_assets

SETTINGS = ".settings"  # in an unfinished folder
_FOLDERS = {PHOTOS: ("trainA", "testA"), CARTOONS: ("trainB", "testB"), DRAWINGS: (DRAWN,)}
_FINAL = (KEPT, "no face", "too small")  # others may depend on the machine's load or memory
# What computes a portrait. All count, although the parameters choose which of the networks' libraries are used.
_LIBRARIES = (
    "numpy", "opencv-python-headless", "pillow", "ai-edge-litert", "onnxruntime", "dlib-bin", "face-alignment",
)  # fmt: skip


def settings_hash(portrait: PortraitParams, size: int, code: Path) -> str:
    """Return the hash of all that a portrait depends on besides its image.

    Args:
        portrait: section of params.yaml.
        size: side of the portraits in pixels.
        code: the module that makes them; the package `portrait` is hashed as well.
    """
    known = read_catalogue()
    parts = [
        portrait.model_dump_json(),
        str(size),
        *(known[name].pin for name in required_assets(portrait)),
        sha256_of(code),
        folder_hash(Path(portrait_package.__file__).parent, "**/*.py"),
        *(_version(name) for name in _LIBRARIES),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "absent"


def remember(records: Path | None, table: Path, settings: str) -> None:
    """Note by which settings a finished dataset was made; where nothing can be written, the next run takes longer."""
    if records:
        with contextlib.suppress(UserError), atomic_write(records / sha256_of(table)[:32]) as partial:
            partial.write_text(settings, encoding="utf-8")


def _settings_of(folder: Path, records: Path | None) -> str:
    if (folder / SETTINGS).exists() or not records:
        return (folder / SETTINGS).read_text(encoding="utf-8")
    return (records / sha256_of(folder / TABLE)[:32]).read_text(encoding="utf-8")


class Earlier:
    """Portraits by the hashes of their images.

    Args:
        folders: the dataset of the last run, and what interrupted runs left.
        settings: `settings_hash` of this run; folders that were made by others are not used.
        records: folder of `remember`.
    """

    def __init__(self, folders: Iterable[Path], settings: str, records: Path | None) -> None:
        self._found: dict[tuple[str, str, bool], tuple[Path, PictureRow]] = {}
        for folder in folders:
            with contextlib.suppress(OSError, ValueError, TypeError):  # also a table of another release
                if _settings_of(folder, records) != settings:
                    continue
                for row in read_table(folder / TABLE):
                    if row.sha256 and row.result in _FINAL:
                        self._found[row.sha256, row.domain, row.note == ALREADY] = folder, row

    def take(self, sha256: str, domain: str, align: bool, target: Path) -> PictureRow | None:
        """Copy the portrait of an image to `target` and return its row; None if there is none.

        Args:
            sha256: of the image.
            domain: photos, cartoons or drawings.
            align: whether its face is to be found, or the image is a portrait already.
            target: path of the portrait.
        """
        found = self._found.get((sha256, domain, not align))
        if found is None:
            return None
        folder, row = found
        if row.result != KEPT:
            return row
        name = Path(row.face).name
        for source in (folder / place / name for place in _FOLDERS[domain]):
            if source.is_file() and _is_whole(source):
                shutil.copyfile(source, target)
                return row
        return None


def _is_whole(portrait: Path) -> bool:
    """Check the sums in a PNG: a machine that lost its power may have lost what it had not written."""
    from PIL import Image

    try:
        with Image.open(portrait, formats=["PNG"]) as image:
            image.verify()
    except (OSError, SyntaxError, ValueError):
        return False
    return True
