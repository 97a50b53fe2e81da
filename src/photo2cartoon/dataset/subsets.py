"""Parts of a dataset for the steps of the pipeline that need only some of it, so that each fetches what it uses."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.layout import TABLE

EXAMPLES = 64  # portraits of each split


def copy_scored(data: Path, out: Path, photos: str) -> None:
    """Copy what the `evaluate` stage reads.

    Args:
        data: the dataset.
        out: receives all cartoons, and the held-out portraits.
        photos: `evaluate.photos`; `all` adds the portraits of training.
    """
    _copy(data, out, {"testA": None, "trainB": None, "testB": None} | ({"trainA": None} if photos == "all" else {}))


def copy_examples(data: Path, out: Path) -> None:
    """Copy portraits for the `export` stage to compare graph and torch on: up to `EXAMPLES` of each split."""
    _copy(data, out, {"testA": EXAMPLES, "trainA": EXAMPLES})


def _copy(data: Path, out: Path, folders: Mapping[str, int | None]) -> None:
    with atomic_dir(out, TABLE) as partial:
        shutil.copyfile(data / TABLE, partial / TABLE)
        for name, limit in folders.items():
            (partial / name).mkdir()
            for path in sorted((data / name).glob("*.png"))[:limit]:
                shutil.copyfile(path, partial / name / path.name)
