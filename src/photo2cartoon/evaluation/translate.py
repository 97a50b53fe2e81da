"""U-GAT-IT's test phase: translates every image of a split in both directions and shows each in seven rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from photo2cartoon import checkpoint
from photo2cartoon.atomic import atomic_dir
from photo2cartoon.dataset.faces import load_faces
from photo2cartoon.layout import OVERVIEW
from photo2cartoon.networks.generator import Generator
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.progress import bar
from photo2cartoon.scoring.seven_rows import DIRECTIONS, seven_rows

OVERVIEW_COLUMNS = 6


def translate_dataset(source: Path, data: Path, out: Path, which: str = "ema", split: str = "test") -> dict[str, int]:
    """Translate a dataset's images with both generators of a checkpoint.

    Args:
        source: the checkpoint.
        data: the dataset.
        out: replaced as a whole; receives `A2B/STEM.png` and `B2A/STEM.png`, each with seven images stacked vertically,
            and `overview.png` with the first few of each direction.
        which: `ema` for the averaged generators, or `raw` for those of the last step.
        split: `test` or `train`.

    Returns:
        Number of images translated in each direction.

    Raises:
        UserError: the checkpoint lacks one of the generators, or the dataset has no images.
    """
    generators: dict[str, Generator] = {
        f"gen{direction}": checkpoint.load_generator(source, f"gen{direction}", which) for direction in DIRECTIONS
    }
    faces = {
        direction: load_faces(data / f"{split}{direction[0]}", generators[f"gen{direction}"].size)
        for direction in DIRECTIONS
    }
    with atomic_dir(out, OVERVIEW) as partial:
        overview = []
        for direction, pictures in faces.items():
            (partial / direction).mkdir()
            columns = []
            for stem, picture in bar(
                zip(pictures.stems, pictures.pictures, strict=True), total=len(pictures), desc=direction, unit="picture"
            ):
                rows = seven_rows(generators, picture[None], direction)
                column = np.vstack([shown[0] for _, shown in rows])
                (partial / direction / f"{stem}.png").write_bytes(encode_png(column))
                columns.append(rows)
            first = columns[:OVERVIEW_COLUMNS]
            overview.append(grid([(rows[0], [c[i][1][0] for c in first]) for i, rows in enumerate(first[0])]))
        height = max(len(half) for half in overview)
        overview = [np.pad(half, ((0, height - len(half)), (0, 0), (0, 0)), constant_values=255) for half in overview]
        (partial / OVERVIEW).write_bytes(encode_png(np.hstack(overview)))
    return {direction: len(pictures) for direction, pictures in faces.items()}
