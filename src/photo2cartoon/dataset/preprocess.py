"""The `preprocess` stage: raw pictures to photo2cartoon's trainA, trainB, testA, testB, with a row for every picture.

A photograph that has a drawing, by its name, is a portrait already, as its drawing is; the drawing goes to drawnA.

Every core works on pictures of its own; what becomes of a picture depends on the picture alone, so the result does not
depend on how many there are.
"""

from __future__ import annotations

import csv
import hashlib
import multiprocessing
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np

from photo2cartoon.dataset import DRAWN
from photo2cartoon.errors import UserError
from photo2cartoon.files import whole_folder
from photo2cartoon.params import Portrait as PortraitParams
from photo2cartoon.params import Preprocess
from photo2cartoon.portrait import PictureError, PortraitMaker, decode
from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.portrait.maker import SIZE, check_weights
from photo2cartoon.progress import bar, note

TABLE = "pictures.csv"
DOMAINS = {"photos": "A", "cartoons": "B"}
DRAWINGS = "drawings"


@dataclass(frozen=True)
class Row:
    """What became of a picture.

    Args:
        domain: photos, cartoons or drawings.
        picture: path below the raw folder.
        result: kept, or why not: unreadable, no face, too small, too large.
        note: what else a person should know.
        face: path of the portrait below the dataset, empty when there is none.
    """

    domain: str
    picture: str
    result: str
    note: str = ""
    face: str = ""


@dataclass(frozen=True)
class _Task:
    domain: str
    source: Path
    name: str
    target: Path
    align: bool


def preprocess(
    photos: Path | None,
    cartoons: Path | None,
    weights: Path,
    out: Path,
    portrait: PortraitParams,
    params: Preprocess,
    drawings: Path | None = None,
) -> list[Row]:
    """Make the dataset.

    Args:
        photos, cartoons: folders of pictures, searched to the bottom; one may be None.
        weights: folder that the `assets` stage filled.
        out: replaced as a whole when all pictures are done; gets the folders and `pictures.csv`.
        portrait, params: sections of params.yaml.
        drawings: of some of the photographs, under their names, for the taught recipe.

    Returns:
        A row for every picture.

    Raises:
        UserError: a folder is missing or empty, or not one picture of a domain could be used.
    """
    given = {domain: folder for domain, folder in (("photos", photos), ("cartoons", cartoons)) if folder is not None}
    if not given:
        raise UserError("preprocess: needs --photos, --cartoons or both")
    listed = {domain: list_raw(folder) for domain, folder in given.items()}
    drawn = _drawings_of(listed.get("photos", []), drawings)
    # Wrong weights are refused here, once, in a sentence, rather than in every worker.
    check_weights(weights, portrait)
    with whole_folder(out, TABLE) as partial:
        if drawn:
            (partial / DRAWN).mkdir()
        tasks = []
        for domain, names in listed.items():
            for split in ("train", "test"):
                (partial / f"{split}{DOMAINS[domain]}").mkdir()
            for name, face in zip(names, face_names(names), strict=True):
                align = name not in drawn if domain == "photos" else params.cartoons == "align"
                target = partial / f"train{DOMAINS[domain]}" / face
                tasks.append(_Task(domain, given[domain] / name, name, target, align))
                if domain == "photos" and name in drawn:
                    drawing = drawings / drawn[name]
                    tasks.append(_Task(DRAWINGS, drawing, drawn[name], partial / DRAWN / face, align=False))
        rows = _run(tasks, weights, portrait, params.workers)
        rows = _split(rows, partial, params)
        for domain, folder in given.items():
            _must_have_some([row for row in rows if row.domain == domain], folder)
        write_table(partial / TABLE, rows)
    return rows


def raw_folders(raw: Path) -> tuple[Path, Path, Path | None]:
    """Photographs, cartoons and, where there are any, drawings of what the `ingest` stage wrote."""
    drawings = raw / "drawings"
    return raw / "photos", raw / "cartoons", drawings if drawings.is_dir() else None


def list_raw(folder: Path) -> list[str]:
    """Every file below a folder that looks like a picture, by name.

    Raises:
        UserError: there is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of pictures")
    found = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not found:
        raise UserError(f"{folder}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return found


def _drawings_of(photos: list[str], folder: Path | None) -> dict[str, str]:
    """Each photograph that has a drawing, and the drawing: the same path but for the suffix."""
    if folder is None:
        return {}
    by_stem = {name.rsplit(".", 1)[0]: name for name in list_raw(folder)}
    found = {name: by_stem[stem] for name in photos if (stem := name.rsplit(".", 1)[0]) in by_stem}
    if not found:
        raise UserError(f"{folder}: no drawing has the name of a photograph")
    return found


def face_names(names: list[str]) -> list[str]:
    """File names of the portraits: the stem survives; where two pictures share it, the suffix joins in."""
    stems = [name.rsplit(".", 1)[0].replace("/", "__") for name in names]
    twice = {stem for stem, count in Counter(stems).items() if count > 1}
    return [
        f"{stem}-{name.rsplit('.', 1)[1].lower()}.png" if stem in twice else f"{stem}.png"
        for stem, name in zip(stems, names, strict=True)
    ]


def in_test(stem: str) -> float:
    """A number in 0..1 that depends on the person alone: what stands before `--` in the name. Small ones are held out."""
    person = stem.split("--", maxsplit=1)[0]
    return int.from_bytes(hashlib.sha256(person.encode()).digest()[:8]) / 2**64


def write_table(path: Path, rows: list[Row]) -> None:
    """The rows as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Row)])
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def read_table(path: Path) -> list[Row]:
    """The rows of `pictures.csv`."""
    with path.open(newline="", encoding="utf-8") as file:
        return [Row(**row) for row in csv.DictReader(file)]


def _run(tasks: list[_Task], weights: Path, portrait: PortraitParams, workers: int) -> list[Row]:
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    context = multiprocessing.get_context("spawn")
    results: dict[int, Row] = {}
    try:
        with ProcessPoolExecutor(workers, context, _start_worker, (weights, portrait)) as pool:
            waiting = {pool.submit(_work, task): number for number, task in enumerate(tasks)}
            for done in bar(as_completed(waiting), total=len(tasks), desc="portraits", unit="picture"):
                results[waiting[done]] = row = done.result()
                if row.result != "kept":
                    note(f"{row.picture}: {row.result}: {row.note}")
    except BrokenProcessPool:
        raise UserError(
            "preprocess: a worker was killed, most likely for memory: try fewer preprocess.workers"
        ) from None
    return [results[number] for number in range(len(tasks))]


_maker: PortraitMaker | None = None
_limits: PortraitParams | None = None


def _start_worker(weights: Path, portrait: PortraitParams) -> None:
    global _maker, _limits
    cv2.setNumThreads(1)
    _limits = portrait
    _maker = PortraitMaker.from_params(weights, portrait, check=False)
    if torch := sys.modules.get("torch"):  # face-alignment brought it; the other cores have pictures of their own
        torch.set_num_threads(1)


def _work(task: _Task) -> Row:
    try:
        if task.align:
            rgb = decode(task.source, _limits.max_pixels, _limits.max_bytes)
            made = _maker(rgb)
            rgba, note = made.rgba, ""
            if made.faces > 1:
                note = f"several faces ({made.faces}): largest taken"
        else:
            rgba, note = keep_portrait(task.source, _limits), "already a portrait"
    except PictureError as error:
        return Row(task.domain, task.name, error.reason, error.detail)
    if not cv2.imwrite(str(task.target), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)):
        raise OSError(f"{task.target} cannot be written")
    return Row(task.domain, task.name, "kept", note, task.target.name)


def keep_portrait(source: Path, limits: PortraitParams) -> np.ndarray:
    """A picture that is a portrait already, at the portrait's size: uint8 RGBA, squared on white, its own alpha kept."""
    rgb = decode(source, limits.max_pixels, limits.max_bytes)
    stored = cv2.imread(str(source), cv2.IMREAD_UNCHANGED)
    has_alpha = stored is not None and stored.ndim == 3 and stored.shape[2] == 4 and stored.shape[:2] == rgb.shape[:2]
    alpha = stored[..., 3] if has_alpha and stored.dtype == np.uint8 else np.full(rgb.shape[:2], 255, np.uint8)
    rgba = np.dstack([rgb, alpha])
    height, width = rgba.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    if height != width:
        edges = (top, side - height - top, left, side - width - left)
        rgba = cv2.copyMakeBorder(rgba, *edges, cv2.BORDER_CONSTANT, value=(255, 255, 255, 0))
    interpolation = cv2.INTER_AREA if side > SIZE else cv2.INTER_LINEAR
    return cv2.resize(rgba, (SIZE, SIZE), interpolation=interpolation)


def _split(rows: list[Row], folder: Path, params: Preprocess) -> list[Row]:
    """Move the held-out portraits to testA and testB: the same ones every time, a person never on both sides."""
    named = _held_out_by_name(params.test_list)
    rows = [Row(**asdict(row) | {"face": f"{DRAWN}/{row.face}"}) if row.domain == DRAWINGS else row for row in rows]
    moved = []
    for domain, letter in DOMAINS.items():
        faces = [row.face for row in rows if row.domain == domain and row.face]
        order = sorted({in_test(face.removesuffix(".png")) for face in faces})
        # At least one person on either side as soon as there are two.
        count = round(params.test_share * len(order))
        count = min(max(count, 1 if params.test_share > 0 else 0), len(order) - 1)
        limit = order[count] if 0 < count < len(order) else 0.0
        for row in rows:
            if row.domain != domain:
                continue
            face = row.face
            if face:
                stem = face.removesuffix(".png")
                split = "test" if (stem in named if named else in_test(stem) < limit) else "train"
                if split == "test":
                    (folder / f"train{letter}" / face).rename(folder / f"test{letter}" / face)
                face = f"{split}{letter}/{face}"
            moved.append(Row(row.domain, row.picture, row.result, row.note, face))
    return moved + [row for row in rows if row.domain == DRAWINGS]


def _held_out_by_name(path: str | None) -> set[str]:
    if path is None:
        return set()
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"preprocess.test_list: {path}: {getattr(error, 'strerror', None) or error}") from None
    return {line.strip() for line in lines if line.strip() and not line.startswith("#")}


def _must_have_some(rows: list[Row], folder: Path) -> None:
    if not any(row.result == "kept" for row in rows):
        reasons = Counter(row.result for row in rows)
        listed = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        raise UserError(f"{folder}: not one of {len(rows)} pictures could be used: {listed}")
