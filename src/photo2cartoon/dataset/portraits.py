"""Makes portraits in parallel, one process per core; the result for an image depends on that image alone."""

from __future__ import annotations

import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from photo2cartoon.dataset.table import PictureRow
from photo2cartoon.errors import UserError
from photo2cartoon.layout import PHOTOS
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker, decode
from photo2cartoon.portrait.numbers import face_colour, numbers_of
from photo2cartoon.progress import bar, note


@dataclass(frozen=True)
class Task:
    """Work item: an image to make a portrait from.

    Args:
        domain, name: copied to its row.
        source: path of the image.
        target: path of its portrait.
        align: find, level and cut out the face; otherwise keep the image, which is a portrait already.
        size: side of the portrait in pixels.
    """

    domain: str
    source: Path
    name: str
    target: Path
    align: bool
    size: int


def make_portraits(tasks: list[Task], weights: Path, portrait: PortraitParams, workers: int) -> list[PictureRow]:
    """Make portraits in parallel worker processes.

    Args:
        tasks: images to process.
        weights: folder that the `assets` stage filled.
        portrait: section of params.yaml.
        workers: number of processes; 0 means one per core.

    Returns:
        A row for every task, in the order of the tasks.

    Raises:
        UserError: a process was killed.
    """
    if not tasks:
        return []
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    context = multiprocessing.get_context("spawn")
    results: dict[int, PictureRow] = {}
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
    _maker = PortraitMaker.from_params(weights, portrait, check=False, threads=1)
    if torch := sys.modules.get("torch"):  # face-alignment imported it; other workers use the other cores
        torch.set_num_threads(1)


def _work(task: Task) -> PictureRow:
    described = {}
    try:
        if task.align:
            made = _maker.of(Photograph(task.source, _limits.max_pixels, _limits.max_bytes), task.size)
            rgba, note = made.rgba, ""
            described = {"faces": str(made.faces), **_written(numbers_of(made)._asdict())}
            if made.faces > 1:
                note = f"several faces ({made.faces}): largest taken"
        else:
            rgba, note = keep_portrait(task.source, _limits, task.size), "already a portrait"
            if task.domain == PHOTOS:
                described = _written(dict(zip(("brightness", "skin"), face_colour(rgba), strict=True)))
    except PictureError as error:
        return PictureRow(task.domain, task.name, error.reason, error.detail)
    if not cv2.imwrite(str(task.target), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA)):
        raise OSError(f"{task.target} cannot be written")
    return PictureRow(task.domain, task.name, "kept", note, task.target.name, **described)


def _written(numbers: dict[str, float]) -> dict[str, str]:
    return {name: f"{number:.4g}" for name, number in numbers.items()}


def keep_portrait(source: Path, limits: PortraitParams, size: int) -> np.ndarray:
    """Resize an image that is a portrait already: uint8 RGBA `[size, size, 4]`, padded to a square, alpha kept."""
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
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return cv2.resize(rgba, (size, size), interpolation=interpolation)
