"""The `preprocess` stage: turns raw images into photo2cartoon's trainA, trainB, testA, testB, with a row per image.

A photograph with a drawing of the same name is taken as a portrait already. So is the drawing, which goes to drawnA.

Each portrait depends only on its own image, but the train/test split depends on all of them. Portraits can therefore be
made in shards on several machines; the split is made when the shards are collected.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from photo2cartoon.atomic import atomic_dir, unfinished
from photo2cartoon.dataset import portraits
from photo2cartoon.dataset.earlier import SETTINGS, Earlier, remember, settings_hash
from photo2cartoon.dataset.portraits import Task, make_portraits
from photo2cartoon.dataset.table import (
    KEPT,
    NO_PHOTOGRAPH,
    NO_PICTURE,
    PictureRow,
    no_picture,
    read_table,
    write_table,
)
from photo2cartoon.errors import UserError
from photo2cartoon.files import png_names
from photo2cartoon.layout import CARTOONS, DRAWINGS, DRAWN, LEFT_OUT, PHOTOS, TABLE
from photo2cartoon.params import PortraitParams, Preprocess
from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.portrait.maker import check_weights
from photo2cartoon.progress import note
from photo2cartoon.tables import RowWriter

LETTERS = {PHOTOS: "A", CARTOONS: "B"}
SHOWN = 5  # unknown names of a list that a note shows


def preprocess(
    photos: Path | None,
    cartoons: Path | None,
    weights: Path,
    out: Path,
    portrait: PortraitParams,
    params: Preprocess,
    drawings: Path | None = None,
    records: Path | None = None,
) -> list[PictureRow]:
    """Make the dataset.

    Args:
        photos, cartoons: folders of images, searched recursively; one may be None.
        weights: folder that the `assets` stage filled.
        out: replaced as a whole once all images are done; receives the folders and `pictures.csv`. Portraits that it has, or
            that an interrupted run has left, are kept if they would become the same.
        portrait, params: sections of params.yaml.
        drawings: drawings of some of the photographs, under the photographs' names, for the paired recipe.
        records: folder that notes by which settings a dataset was made; without it only an interrupted run is resumed.

    Returns:
        A row for every file.

    Raises:
        UserError: a folder is missing or empty, or no image of a domain could be used.
    """
    settings = settings_hash(portrait, params.size, Path(portraits.__file__))
    with atomic_dir(out, TABLE, resumable=True) as partial:
        earlier = Earlier([out, *unfinished(partial)], settings, records)
        (partial / SETTINGS).write_text(settings, encoding="utf-8")
        rows = _portraits(photos, cartoons, weights, partial, portrait, params, drawings, earlier)
        rows = _divide(rows, partial, params, {PHOTOS: photos, CARTOONS: cartoons, DRAWINGS: drawings})
        (partial / SETTINGS).unlink()
    remember(records, out / TABLE, settings)
    return rows


def preprocess_shard(
    photos: Path | None,
    cartoons: Path | None,
    weights: Path,
    out: Path,
    portrait: PortraitParams,
    params: Preprocess,
    drawings: Path | None,
    number: int,
    shards: int,
) -> list[PictureRow]:
    """Make the portraits of every `shards`-th image, not yet split into train and test; `collect` merges the shards.

    Args:
        number: index of the shard, from 0.
        shards: number of shards.
        photos, cartoons, weights, out, portrait, params, drawings: as for `preprocess`.

    Raises:
        UserError: as for `preprocess`, except that a domain without usable images is not an error here.
    """
    with atomic_dir(out, TABLE) as partial:
        rows = _portraits(photos, cartoons, weights, partial, portrait, params, drawings, None, number, shards)
        write_table(partial / TABLE, rows)
        return rows


def collect(shards: list[Path], out: Path, params: Preprocess) -> list[PictureRow]:
    """Merge the output of `preprocess_shard` into the dataset that `preprocess` would have written.

    Args:
        shards: folders of all shards.
        out: replaced as a whole.
        params: section of params.yaml.

    Raises:
        UserError: a shard is missing, or no image of a domain could be used.
    """
    rows = []
    with atomic_dir(out, TABLE) as partial:
        for shard in shards:
            if not (shard / TABLE).is_file():
                raise UserError(f"{shard}: is no shard of a dataset")
            rows += read_table(shard / TABLE)
            shutil.copytree(shard, partial, dirs_exist_ok=True)
        return _divide(sorted(rows, key=lambda row: row.picture), partial, params)


def _portraits(
    photos: Path | None,
    cartoons: Path | None,
    weights: Path,
    folder: Path,
    portrait: PortraitParams,
    params: Preprocess,
    drawings: Path | None,
    earlier: Earlier | None = None,
    number: int = 0,
    shards: int = 1,
) -> list[PictureRow]:
    """Make the portraits, all of them in trainA, trainB and drawnA."""
    given = {domain: place for domain, place in ((PHOTOS, photos), (CARTOONS, cartoons)) if place is not None}
    if not given:
        raise UserError("preprocess: needs --photos, --cartoons or both")
    listed = {domain: list_raw(place) for domain, place in given.items()}
    drawn = _drawings_of(listed.get(PHOTOS, []), drawings)
    # Check the weights once here, for a one-line error, rather than in every worker; and the list, rather than at the end.
    check_weights(weights, portrait)
    held_out_names(params.test_list)
    if drawn:
        (folder / DRAWN).mkdir()
    tasks = []
    for domain, names in listed.items():
        for split in ("train", "test"):
            (folder / f"{split}{LETTERS[domain]}").mkdir()
        for name, face in list(zip(names, face_names(names), strict=True))[number::shards]:
            align = name not in drawn if domain == PHOTOS else params.cartoons == "align"
            target = folder / f"train{LETTERS[domain]}" / face
            tasks.append(Task(domain, given[domain] / name, name, target, align, params.size))
            if domain == PHOTOS and drawings is not None and name in drawn:
                drawing = drawings / drawn[name]
                tasks.append(Task(DRAWINGS, drawing, drawn[name], folder / DRAWN / face, False, params.size))
    with contextlib.closing(RowWriter(folder / TABLE, PictureRow)) as table:
        rows = make_portraits(tasks, weights, portrait, params.workers, earlier, table.add)
    if number == 0:
        rows += [row for domain, place in given.items() for row in _rows_of_others(domain, place)]
        if drawings is not None:
            alone = (name for name in list_raw(drawings) if name not in set(drawn.values()))
            rows += [PictureRow(DRAWINGS, name, NO_PHOTOGRAPH) for name in alone]
            rows += _rows_of_others(DRAWINGS, drawings)
    return rows


def _rows_of_others(domain: str, folder: Path) -> list[PictureRow]:
    """Return a row for every file below a folder, hidden ones aside, that has no image suffix; it is not opened.

    Those that `ingest` has left out have theirs as well.
    """
    paths = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir())
    names = (path for path in paths if path.suffix.lower() not in SUFFIXES)
    shown = sorted(name.as_posix() for name in names if not any(part.startswith(".") for part in name.parts))
    left_out = folder.parent / LEFT_OUT
    before = [row for row in read_table(left_out) if row.domain == domain] if left_out.is_file() else []
    return before + [no_picture(domain, name) for name in shown]


def _divide(
    rows: list[PictureRow], folder: Path, params: Preprocess, places: Mapping[str, Path | None] = MappingProxyType({})
) -> list[PictureRow]:
    """Split into train and test, check the result and write the table; `places` are the folders named in errors."""
    rows = _split(rows, folder, params)
    for domain in (*LETTERS, DRAWINGS):
        tried = [row for row in rows if row.domain == domain and row.result not in (NO_PICTURE, NO_PHOTOGRAPH)]
        _must_have_some(tried, places.get(domain) or domain)
    write_table(folder / TABLE, rows)
    return rows


def raw_folders(raw: Path) -> tuple[Path, Path, Path | None]:
    """Return the folders of photographs, cartoons and, if there are any, drawings that the `ingest` stage wrote."""
    drawings = raw / DRAWINGS
    return raw / PHOTOS, raw / CARTOONS, drawings if drawings.is_dir() else None


def list_raw(folder: Path) -> list[str]:
    """List every file below a folder with an image suffix, sorted by name.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of pictures")
    paths = (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and not path.is_dir())
    found = sorted(path.relative_to(folder).as_posix() for path in paths)
    if not found:
        raise UserError(f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return found


def _drawings_of(photos: list[str], folder: Path | None) -> dict[str, str]:
    """Map each photograph that has a drawing to that drawing: their paths differ only in the suffix."""
    if folder is None:
        return {}
    by_stem = {name.rsplit(".", 1)[0]: name for name in list_raw(folder)}
    found = {name: by_stem[stem] for name in photos if (stem := name.rsplit(".", 1)[0]) in by_stem}
    if not found:
        raise UserError(f"{folder}: no drawing has the name of a photograph")
    return found


def face_names(names: list[str]) -> list[str]:
    """Return the file names of the portraits, which share one folder even if the images come from subfolders."""
    return png_names([name.replace("/", "__") for name in names])


def stem_of(picture: str) -> str:
    """Return the name of a picture's portrait without a suffix, from its path: `2020/anna--1.jpg` is `2020__anna--1`.

    The portrait itself is named so unless two pictures differ in the suffix only.
    """
    return face_names([picture])[0].removesuffix(".png")


def in_test(stem: str) -> float:
    """Hash the person, which is the part of the name before `--`, to a number in 0..1. Small numbers are held out."""
    person = stem.split("--", maxsplit=1)[0]
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8]) / 2**64


def _split(rows: list[PictureRow], folder: Path, params: Preprocess) -> list[PictureRow]:
    """Move the held-out portraits to testA and testB, deterministically, so one person is never in both splits."""
    named = held_out_names(params.test_list)
    rows = [replace(row, face=f"{DRAWN}/{row.face}") if row.domain == DRAWINGS and row.face else row for row in rows]
    moved = []
    for domain, letter in LETTERS.items():
        if any(row.domain == domain for row in rows):
            for split in ("train", "test"):  # a shard that came through object storage has lost its empty folders
                (folder / f"{split}{letter}").mkdir(exist_ok=True)
        order = sorted({in_test(stem_of(row.picture)) for row in rows if row.domain == domain and row.face})
        # From two people on, each split has at least one.
        count = round(params.test_share * len(order))
        count = min(max(count, 1 if params.test_share > 0 else 0), len(order) - 1)
        limit = order[count] if 0 < count < len(order) else 0.0
        for row in rows:
            if row.domain != domain:
                continue
            face = row.face
            if face:
                stem = stem_of(row.picture)
                held_out = {stem, face.removesuffix(".png")} & named if named else in_test(stem) < limit
                split = "test" if held_out else "train"
                if split == "test":
                    (folder / f"train{letter}" / face).rename(folder / f"test{letter}" / face)
                face = f"{split}{letter}/{face}"
            moved.append(replace(row, face=face))
    pictures = {name for row in rows if row.face for name in (stem_of(row.picture), Path(row.face).stem)}
    if unknown := sorted(named - pictures):
        listed = ", ".join(unknown[:SHOWN]) + (f" and {len(unknown) - SHOWN} more" if len(unknown) > SHOWN else "")
        note(
            f"preprocess.test_list: {params.test_list}: no portrait is called {listed} (names without folder and suffix)"
        )
    return moved + [row for row in rows if row.domain == DRAWINGS]


def held_out_names(path: str | None) -> set[str]:
    """Read `preprocess.test_list`, which has a stem a line; `#` starts a comment. Without a list, nobody is named.

    Raises:
        UserError: the file cannot be read, or names nobody.
    """
    if path is None:
        return set()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"preprocess.test_list: {path}: {getattr(error, 'strerror', None) or error}") from None
    names = {line.strip() for line in lines if line.strip() and not line.startswith("#")}
    if not names:
        raise UserError(f"preprocess.test_list: {path}: names nobody; leave it out to hold out a share (test_share)")
    return names


def _must_have_some(rows: list[PictureRow], place: Path | str) -> None:
    if rows and not any(row.result == KEPT for row in rows):
        reasons = Counter(row.result for row in rows)
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise UserError(f"{place}: not one of {len(rows)} pictures could be used: {listed}")
