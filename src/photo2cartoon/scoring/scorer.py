"""Scores a generator: its cartoons of the photographs against all cartoons, and against the photographs themselves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from photo2cartoon.dataset.faces import load_faces, to_float
from photo2cartoon.errors import UserError
from photo2cartoon.scoring.distances import face_distance, frechet_distance, kernel_distance
from photo2cartoon.scoring.features import Extractor, extractors


class Scored(NamedTuple):
    """Scores of a generator, lower is better for every one, and the images it made, `[N, 3, S, S]` in -1..1."""

    scores: dict[str, float]
    images: Tensor


class Scorer:
    """Scores generators on one dataset, whose features are computed once.

    Args:
        data: the dataset.
        size: side of the images.
        splits: splits of the photographs: `test`, or `train` and `test` if there are few. Cartoons: always both splits.
        weights: folder that the `assets` stage filled.
        fid: also compute true FID, if Inception's weights are there.
        batch: images per forward pass.
        device: device of the generator; features are computed on the CPU.

    Raises:
        UserError: there are too few images, or weights are missing.
    """

    def __init__(
        self,
        data: Path,
        size: int,
        splits: tuple[str, ...],
        weights: Path,
        fid: bool = True,
        batch: int = 8,
        device: torch.device | None = None,
    ) -> None:
        self.batch, self.device = batch, device or torch.device("cpu")
        self.photos = _pictures(data, splits, "A", size)
        cartoons = _pictures(data, ("train", "test"), "B", size)
        self.count = len(cartoons)
        self.nets = extractors(weights, fid)
        self.real = self._features(cartoons)
        self.source = self._features(self.photos)

    def must_have(self, metric: str) -> None:
        """Refuse a metric that is not available.

        Raises:
            UserError: the metric is true FID, and Inception's weights are missing.
        """
        if metric == "fid" and "inception" not in self.nets:
            raise UserError("train.score: fid needs Inception's weights in the weights folder; `p2c assets` says which")

    def of_photographs(self) -> dict[str, float]:
        """Score the unchanged photographs, as a baseline."""
        return _score(self.source, self.real, self.source["face"])

    def of(self, generator: nn.Module) -> Scored:
        """Score a generator."""
        made = self._batched(lambda pictures: generator(pictures.to(self.device)).image.cpu(), self.photos)
        return Scored(_score(self._features(made), self.real, self.source["face"]), made)

    def _features(self, pictures: Tensor) -> dict[str, np.ndarray]:
        return {name: self._batched(net, pictures).numpy() for name, net in self.nets.items()}

    def _batched(self, function: Extractor | Callable[[Tensor], Tensor], pictures: Tensor) -> Tensor:
        with torch.inference_mode():
            return torch.cat([function(part) for part in pictures.split(self.batch)])


def _pictures(data: Path, splits: tuple[str, ...], letter: str, size: int) -> Tensor:
    folders = [data / f"{split}{letter}" for split in splits]
    filled = [folder for folder in folders if folder.is_dir() and any(folder.iterdir())]
    pictures = [load_faces(folder, size).pictures for folder in filled]
    count = sum(len(part) for part in pictures)
    if count < 2:
        names = ", ".join(folder.name for folder in folders)
        raise UserError(f"{data}: {names} hold {count} pictures, scores need two or more; see evaluate.photos")
    return to_float(torch.cat(pictures))


def _score(features: dict[str, np.ndarray], real: dict[str, np.ndarray], source_faces: np.ndarray) -> dict[str, float]:
    scores: dict[str, float] = {}
    for name, values in features.items():
        if name == "inception":
            scores["fid"] = frechet_distance(values, real[name])
            continue
        scores[f"frechet_{name}"] = frechet_distance(values, real[name])
        scores[f"kernel_{name}"], scores[f"kernel_{name}_interval"] = kernel_distance(values, real[name])
    scores["face_distance"], scores["face_distance_interval"] = face_distance(source_faces, features["face"])
    return scores
