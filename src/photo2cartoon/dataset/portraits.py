"""Makes portraits in parallel, one process per core; the result for an image depends on that image alone."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import connection
from pathlib import Path

import cv2
import numpy as np

from photo2cartoon.atomic import ResumableError
from photo2cartoon.cores import usable_cores
from photo2cartoon.dataset.earlier import Earlier
from photo2cartoon.dataset.table import ALREADY, KEPT, PictureRow
from photo2cartoon.errors import UserError
from photo2cartoon.layout import PHOTOS
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker
from photo2cartoon.portrait.numbers import face_colour, numbers_of
from photo2cartoon.portrait.sandbox import Sandbox
from photo2cartoon.progress import bar, note

AHEAD = 4  # images that wait for each process, however many there are in all


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


def make_portraits(
    tasks: list[Task],
    weights: Path,
    portrait: PortraitParams,
    workers: int,
    earlier: Earlier | None = None,
    record: Callable[[PictureRow], None] = lambda _: None,
) -> list[PictureRow]:
    """Make portraits in parallel worker processes.

    Args:
        tasks: images to process.
        weights: folder that the `assets` stage filled.
        portrait: section of params.yaml.
        workers: number of processes; 0 means one per core.
        earlier: portraits that are copied instead of being made again.
        record: called with each row when its portrait is there.

    Returns:
        A row for every task, in the order of the tasks.

    Raises:
        ResumableError: a process was killed.
        UserError: weights are damaged, or a library is missing.
    """
    if not tasks:
        return []
    workers = min(workers or usable_cores(), len(tasks))
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start_worker, (weights, portrait, earlier)
    )
    results: dict[int, PictureRow] = {}
    waiting: dict[Future[PictureRow], int] = {}
    todo = iter(enumerate(tasks))
    try:
        with bar(total=len(tasks), desc="portraits", unit="picture") as progress:
            while len(results) < len(tasks):
                for number, task in itertools.islice(todo, AHEAD * workers - len(waiting)):
                    waiting[pool.submit(_work, task)] = number
                for done in wait(waiting, return_when=FIRST_COMPLETED).done:
                    results[waiting.pop(done)] = row = done.result()
                    record(row)
                    progress.update()
                    if row.result != KEPT:
                        note(f"{row.picture}: {row.result}: {row.note}")
    except BrokenProcessPool:
        raise ResumableError(
            "preprocess: a worker was killed, most likely for memory: try fewer preprocess.workers; what is done is kept"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
    return [results[number] for number in range(len(tasks))]


_failure: UserError | None = None
_maker: PortraitMaker | None = None
_limits: PortraitParams | None = None
_decoder: Sandbox | None = None
_earlier: Earlier | None = None


def _start_worker(weights: Path, portrait: PortraitParams, earlier: Earlier | None) -> None:
    global _failure, _maker, _limits, _decoder, _earlier
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the first one ends the others
    threading.Thread(target=_end_with_parent, daemon=True).start()
    cv2.setNumThreads(1)
    _limits, _earlier = portrait, earlier
    _decoder = Sandbox.within(portrait)
    _decoder.start(portrait.max_pixels)
    try:
        _maker = PortraitMaker.from_params(weights, portrait, check=False, threads=1)
    except (
        UserError,
        ImportError,
        OSError,
        RuntimeError,
        cv2.error,
    ) as error:  # the pool would only say that it is broken
        _failure = UserError(f"preprocess: portraits cannot be made: {error}")
    if torch := sys.modules.get("torch"):  # face-alignment imported it; other workers use the other cores
        torch.set_num_threads(1)


def _end_with_parent() -> None:
    """End this process when its parent is killed: the pool would leave it waiting for work for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    connection.wait([parent.sentinel])
    os._exit(1)


def _work(task: Task) -> PictureRow:
    if _failure is not None:
        raise _failure
    assert _limits is not None and _decoder is not None and _maker is not None  # `_start_worker` has run
    described: dict[str, str] = {}
    sha256 = ""
    try:
        photo = Photograph(task.source, _limits.max_pixels, _limits.max_bytes, _decoder)
        sha256 = hashlib.sha256(photo.encoded).hexdigest()
        if _earlier is not None and (row := _earlier.take(sha256, task.domain, task.align, task.target)):
            return replace(row, picture=task.name, face=task.target.name if row.result == KEPT else "")
        if task.align:
            made = _maker.of(photo, task.size)
            rgba, note = made.rgba, ""
            described = {"faces": str(made.faces), **_written(numbers_of(made)._asdict())}
            if made.faces > 1:
                note = f"several faces ({made.faces}): largest taken"
        else:
            rgba, note = keep_portrait(photo, task.size), ALREADY
            if task.domain == PHOTOS:
                described = _written(dict(zip(("brightness", "skin"), face_colour(rgba), strict=True)))
    except PictureError as error:
        return PictureRow(task.domain, task.name, error.reason, error.detail, sha256=sha256)
    task.target.write_bytes(cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))[1].tobytes())
    return PictureRow(task.domain, task.name, KEPT, note, task.target.name, **described, sha256=sha256)


def _written(numbers: dict[str, float]) -> dict[str, str]:
    return {name: f"{number:.4g}" for name, number in numbers.items()}


def _off_white(rgb: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return the colours that look like `rgb` when they are blended with white by their alpha; white where alpha is 0."""
    share = np.maximum(alpha, 1)[..., None] / 255.0
    own = np.rint((rgb - 255 * (1 - share)) / share).clip(0, 255).astype(np.uint8)
    return np.where(alpha[..., None] > 0, own, np.uint8(255))


def keep_portrait(photo: Photograph, size: int) -> np.ndarray:
    """Resize an image that is a portrait already: uint8 RGBA `[size, size, 4]`, padded to a square, alpha kept."""
    rgb = photo.rgb
    stored = cv2.imdecode(np.frombuffer(photo.encoded, np.uint8), cv2.IMREAD_UNCHANGED)
    alpha: np.ndarray = np.full(rgb.shape[:2], 255, np.uint8)
    if stored is not None and stored.shape == (*alpha.shape, 4) and stored.dtype == np.uint8:
        alpha = stored[..., 3]
    rgba = np.dstack([rgb, alpha])
    height, width = rgba.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    if height != width:
        edges = (top, side - height - top, left, side - width - left)
        rgba = cv2.copyMakeBorder(rgba, *edges, cv2.BORDER_CONSTANT, value=(255, 255, 255, 0))  # `rgb` is on white
    interpolation = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    resized = cv2.resize(rgba, (size, size), interpolation=interpolation)
    return np.dstack([_off_white(resized[..., :3], resized[..., 3]), resized[..., 3]])
