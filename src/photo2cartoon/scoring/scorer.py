"""Scores generators on one test set, whose features are extracted once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from photo2cartoon.assets.catalogue import find_optional_asset
from photo2cartoon.dataset.faces import to_float
from photo2cartoon.errors import UserError
from photo2cartoon.scoring.cache import cached
from photo2cartoon.scoring.features import Extractor, extractors
from photo2cartoon.scoring.metrics import METRICS, WORST, Evidence, direction
from photo2cartoon.scoring.statistics import FrechetDistance, Statistic, floor_of_kernel, half_interval, resamples
from photo2cartoon.scoring.test_set import TestSet, is_of_people

DRAWS, SLOW_DRAWS = 1000, 100  # bootstrap resamples; fewer for Frechet distances


@dataclass(frozen=True)
class Scored:
    """Scores of a generator.

    Args:
        scores: by metric, and for each `NAME_interval`, half of its 95 % interval. `worst_NAME` is the value of the worst
            group of people.
        groups: scores with intervals by group, for the metrics that have groups.
        draws: bootstrap draws of every score, `[DRAWS]`; NaN beyond the number that was computed. Draw i used the same
            resample of the photographs for every generator.
        images: the cartoons, uint8 `[N, 3, S, S]`.
    """

    scores: dict[str, float]
    groups: dict[str, dict[str, float]]
    draws: dict[str, np.ndarray]
    images: Tensor


class Scorer:
    """Scores generators on one dataset.

    Args:
        data: the dataset.
        size: side of the images.
        splits: splits of the photographs: `test`, or `train` and `test` if there are few. Cartoons: always both splits.
        weights: folder that the `assets` stage filled.
        fid: also compute true FID, if Inception's weights are there.
        batch: images per forward pass.
        device: device of the generator; features are computed on the CPU.
        only: metrics to compute; None computes all.
        style: refuse a dataset with fewer than two cartoons; otherwise distances to them are not measured.

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
        only: Iterable[str] | None = None,
        style: bool = True,
    ) -> None:
        self.batch, self.device = batch, device or torch.device("cpu")
        self.set = TestSet.load(data, splits, size, style)
        self.metrics = [METRICS[name] for name in (METRICS if only is None else only)]
        self.nets = extractors(weights, fid)
        self.groups = self.set.groups()
        self._photos = to_float(self.set.photos)
        self._style = self.features(self.set.cartoons) if len(self.set.cartoons) > 1 else {}
        self._source = self.features(self.set.photos)
        drawn = self.set.drawn_style
        self._drawn = self.features(drawn) if len(drawn) > 1 else {}
        self._perceptual = _perceptual(weights) if len(self.set.drawings) else None
        self.weights = resamples(self.set.people, DRAWS)

    def must_have(self, metric: str) -> None:
        """Refuse a metric that cannot be measured with this dataset and these weights.

        Raises:
            UserError: weights are missing, or the dataset has no drawings or too few cartoons.
        """
        if metric == "fid" and "inception" not in self.nets:
            raise UserError("train.score: fid needs Inception's weights in the weights folder; `p2c assets` says which")
        if not np.isfinite(self.of_images(self.set.photos, draws=False).scores.get(metric, np.nan)):
            raise UserError(
                f"train.score: '{metric}' cannot be measured: drawings or cartoons are missing in the dataset, or weights are"
            )

    def floors(self) -> dict[str, float]:
        """Return the kernel distances that equals score, by metric: two random parts of the style itself."""
        found = {
            f"kernel_{name}": floor_of_kernel(features, len(self.set.photos)) for name, features in self._style.items()
        }
        return {name: value for name, value in found.items() if name in METRICS}

    def of_photographs(self) -> Scored:
        """Score the unchanged photographs, as a baseline."""
        return self.of_images(self.set.photos)

    def of(self, generator: nn.Module, back: nn.Module | None = None, draws: bool = True) -> Scored:
        """Score a generator.

        Args:
            generator: photograph to cartoon.
            back: cartoon to photograph, for the cycle error.
            draws: also draw the bootstrap's resamples, for intervals, groups and comparisons.
        """
        with torch.inference_mode():
            made = self._batched(lambda images: generator(images.to(self.device)).image.cpu(), self._photos)
            returned = None
            if back is not None:
                returned = self._batched(lambda images: back(images.to(self.device)).image.cpu(), made)
        levels = ((made.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return self.of_images(levels, returned, draws)

    def of_images(self, made: Tensor, back: Tensor | None = None, draws: bool = True) -> Scored:
        """Score cartoons of the photographs, in their order.

        Args:
            made: uint8 `[N, 3, S, S]`.
            back: photographs made of them, float in -1..1.
            draws: as for `of`.
        """
        evidence = Evidence(
            photos=self._photos,
            made=to_float(made),
            features=self.features(made),
            source=self._source,
            style=self._style,
            trained_on=self.set.trained_on,
            back=back,
            drawings=to_float(self.set.drawings) if len(self.set.drawings) else None,
            drawn_style=self._drawn,
            perceptual=self._perceptual,
        )
        everybody = np.ones((1, evidence.count))
        scored = Scored({}, {name: {} for name in self.groups} if draws else {}, {}, made)
        for metric in self.metrics:
            statistic = metric.statistic(evidence)
            if statistic is None:
                continue
            scored.scores[metric.name] = float(statistic(everybody)[0])
            if draws:
                self._draw(scored, metric.name, statistic, metric.group)
        return scored

    def _draw(self, scored: Scored, name: str, statistic: Statistic, group: bool) -> None:
        drawn = np.full(DRAWS, np.nan)
        count = SLOW_DRAWS if isinstance(statistic, FrechetDistance) else DRAWS
        drawn[:count] = statistic(self.weights[:count])
        scored.draws[name], scored.scores[f"{name}_interval"] = drawn, half_interval(drawn)
        if not group:
            return
        people = []
        for group_name, members in self.groups.items():
            value = float(statistic(members[None].astype(float))[0])
            if not np.isfinite(value):
                continue
            of_group = statistic(self.weights * members)
            scored.groups[group_name] |= {name: value, f"{name}_interval": half_interval(of_group)}
            if is_of_people(group_name):
                people.append((value, of_group))
        if people:
            worst = (np.fmax if direction(name) > 0 else np.fmin).reduce  # a draw without anybody of a group is NaN
            scored.scores[f"{WORST}{name}"] = float(worst([value for value, _ in people]))
            of_worst = worst(np.stack([of_group for _, of_group in people]))
            scored.draws[f"{WORST}{name}"] = of_worst
            scored.scores[f"{WORST}{name}_interval"] = half_interval(of_worst)

    def features(self, images: Tensor) -> dict[str, np.ndarray]:
        """Return the features of images, uint8 `[N, 3, S, S]`, by network; from the cache if they are known."""
        return {
            name: cached(f"{name} {net.hash}", images, partial(self._extract, net.extract))
            for name, net in self.nets.items()
        }

    def _extract(self, net: Extractor, images: Tensor) -> np.ndarray:
        with torch.inference_mode():
            return self._batched(lambda part: net(to_float(part)), images).numpy()

    def _batched(self, function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        return torch.cat([function(part) for part in images.split(self.batch)])


def _perceptual(weights: Path) -> Callable[[Tensor, Tensor], np.ndarray] | None:
    from photo2cartoon.networks.perceptual import Perceptual
    from photo2cartoon.scoring.pairs import perceptual

    path = find_optional_asset("efficientnet_lite0", weights)
    if path is None:
        return None
    network = Perceptual(path, "efficientnet-lite0")
    return lambda images, targets: perceptual(images, targets, network)
