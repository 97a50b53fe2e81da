"""Bootstrap draws of scores on disk, with which later stages compare models on the same photographs. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from photo2cartoon.layout import SCORE_DRAWS


def write_draws(folder: Path, draws: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Write the draws of all models, `[B]` by model and metric, into the folder of an evaluation."""
    flat = {f"{name}/{metric}": each.astype(np.float32) for name, by in draws.items() for metric, each in by.items()}
    with (folder / SCORE_DRAWS).open("wb") as file:
        np.savez_compressed(file, **flat)


def read_draws(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Read what `write_draws` wrote; empty in an evaluation of an earlier release."""
    draws: dict[str, dict[str, np.ndarray]] = {}
    if (folder / SCORE_DRAWS).is_file():
        with np.load(folder / SCORE_DRAWS, allow_pickle=False) as stored:
            for key in stored.files:
                name, metric = key.split("/")
                draws.setdefault(name, {})[metric] = stored[key]
    return draws
