"""Parts of a dataset for the steps of the pipeline that need only some of it, so that each fetches what it uses."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.layout import DRAWN, TABLE

EXAMPLES = 64  # portraits of each split


def copy_scored(data: Path, out: Path, photos: str) -> None:
    """Copy what the `evaluate` stage reads.

    Args:
        data: the dataset.
        out: receives all cartoons, the held-out portraits, and the drawings with all portraits that have one.
        photos: `evaluate.photos`; `all` adds the portraits of training.
    """
    drawn = {path.name for path in (data / DRAWN).glob("*.png")}
    with atomic_dir(out, TABLE) as partial:
        shutil.copyfile(data / TABLE, partial / TABLE)
        for name in ("testA", "trainB", "testB"):
            _copy(data / name, partial / name)
        _copy(data / "trainA", partial / "trainA", lambda name: photos == "all" or name in drawn)
        if drawn:
            _copy(data / DRAWN, partial / DRAWN)


def copy_examples(data: Path, out: Path) -> None:
    """Copy portraits for the `export` stage to compare graph and torch on: up to `EXAMPLES` of each split."""
    with atomic_dir(out, TABLE) as partial:
        shutil.copyfile(data / TABLE, partial / TABLE)
        for name in ("testA", "trainA"):
            _copy(data / name, partial / name, limit=EXAMPLES)


def _copy(source: Path, target: Path, wanted: Callable[[str], bool] = lambda _: True, limit: int | None = None) -> None:
    """Copy the portraits whose names are wanted, sorted by name, up to a limit."""
    target.mkdir()
    for path in [path for path in sorted(source.glob("*.png")) if wanted(path.name)][:limit]:
        shutil.copyfile(path, target / path.name)
