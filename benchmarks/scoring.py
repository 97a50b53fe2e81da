"""FID of several checkpoints: ours against pytorch_fid.fid_score on the same folders with the same network.

    python -m benchmarks.scoring [--cartoons 204] [--photographs 40] [--checkpoints 3]

Ours extracts each image's features once and keeps them; pytorch-fid extracts both folders for every checkpoint. Without
Inception's weights the network has random ones: the time is the same, the number is not FID. Ratios are of one run.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.inception import write_random_weights
from photo2cartoon.assets.catalogue import asset_path
from photo2cartoon.dataset.faces import load_faces, to_float
from photo2cartoon.dataset.sample import draw_head
from photo2cartoon.files import sha256_of
from photo2cartoon.pictures import encode_png
from photo2cartoon.portrait.background import on_white
from photo2cartoon.progress import bar, note
from photo2cartoon.scoring.cache import cached
from photo2cartoon.scoring.features import inception_extractor, prepare_torchvision
from photo2cartoon.scoring.statistics import FrechetDistance

BATCH, SIDE = 8, 256


def main() -> None:
    """Print a row per checkpoint: both numbers, both times, their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cartoons", type=int, default=204, help="cartoons of the style")
    parser.add_argument("--photographs", type=int, default=40, help="cartoons that each checkpoint drew")
    parser.add_argument("--checkpoints", type=int, default=3)
    parser.add_argument(
        "--weights", type=Path, default=Path("weights"), help="folder that may hold Inception's weights"
    )
    given = parser.parse_args()
    prepare_torchvision()
    from pytorch_fid import fid_score, inception

    with tempfile.TemporaryDirectory() as temporary:
        os.environ["XDG_CACHE_HOME"] = temporary  # begin with an empty cache
        folder = Path(temporary)
        weights = asset_path("inception_fid", given.weights)
        if not weights.is_file():
            weights = folder / "random.pth"
            write_random_weights(weights)
            note("Inception's weights are not there: random ones, so the numbers below are not FID")
        inception.load_state_dict_from_url = lambda *_, **__: torch.load(weights, weights_only=True)
        extract, key = inception_extractor(weights), f"inception {sha256_of(weights)}"
        style = _write(folder / "style", range(given.cartoons))
        drawn = [
            _write(folder / f"checkpoint-{n}", range(10_000 * (n + 1), 10_000 * (n + 1) + given.photographs))
            for n in range(given.checkpoints)
        ]
        print(f"{'checkpoint':>10} {'ours':>12} {'pytorch-fid':>12} {'ours, s':>9} {'theirs, s':>10} {'ratio':>7}")
        for number, part in enumerate(drawn):
            began = time.perf_counter()
            ours = _fid(extract, key, part, style)
            middle = time.perf_counter()
            theirs = fid_score.calculate_fid_given_paths([str(part), str(style)], BATCH, "cpu", 2048, 0)
            end = time.perf_counter()
            ratio = (end - middle) / (middle - began)
            print(
                f"{number + 1:>10} {ours:>12.5f} {theirs:>12.5f} {middle - began:>9.1f} {end - middle:>10.1f} {ratio:>7.1f}"
            )


def _write(folder: Path, numbers: range) -> Path:
    folder.mkdir()
    for number in bar(numbers, desc=folder.name, unit="picture"):
        (folder / f"{number:06}.png").write_bytes(encode_png(on_white(draw_head(number))))
    return folder


def _fid(extract, key: str, made: Path, style: Path) -> float:
    def features(folder: Path) -> np.ndarray:
        return cached(key, load_faces(folder, SIDE).pictures, lambda images: _extracted(extract, images))

    return float(FrechetDistance(features(made), features(style))(np.ones((1, len(list(made.iterdir())))))[0])


def _extracted(extract, images: Tensor) -> np.ndarray:
    with torch.inference_mode():
        return torch.cat([extract(to_float(part)) for part in images.split(BATCH)]).numpy()


if __name__ == "__main__":
    main()
