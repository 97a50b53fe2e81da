"""The registry of metrics. `evaluate`, `measure` and training's own scores use these names and directions.

Adding one is five lines here: a decorator with its name, direction and description, and a function from `Evidence` to a
statistic (see `statistics`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from photo2cartoon.scoring.statistics import Coverage, FrechetDistance, KernelDistance, Mean, Statistic

if TYPE_CHECKING:
    from torch import Tensor


NEIGHBOURS = 3  # of precision and recall, as in their paper


@dataclass
class Evidence:
    """A generator's cartoons, the photographs, and what they are compared with; everything in the same order.

    Args:
        photos: `[n, 3, S, S]` in -1..1.
        made: the cartoons, likewise.
        features: features of the cartoons by network, `[n, D]`; those of face networks have length 1.
        source: features of the photographs, likewise.
        style: features of all cartoons of the style, `[m, D]`; empty if there are fewer than two.
        trained_on: which of the style's cartoons are in the train split, bool `[m]`.
        back: photographs that the other generator made of the cartoons; None without it.
        drawings: a teacher's drawings, `[k, 3, S, S]`, of the first k photographs; None without any.
        drawn_style: features of the drawings of the train split; empty without any.
        perceptual: distance of a classifier's features between two sets of images, `[k]`; None without its weights.
    """

    photos: Tensor
    made: Tensor
    features: dict[str, np.ndarray]
    source: dict[str, np.ndarray]
    style: dict[str, np.ndarray]
    trained_on: np.ndarray
    back: Tensor | None = None
    drawings: Tensor | None = None
    drawn_style: dict[str, np.ndarray] = field(default_factory=dict)
    perceptual: Callable[[Tensor, Tensor], np.ndarray] | None = None

    @property
    def count(self) -> int:
        """Number of photographs."""
        return len(self.photos)


Measure = Callable[[Evidence], Statistic | None]


@dataclass(frozen=True)
class Metric:
    """A metric.

    Args:
        name: its name everywhere.
        better: `lower` or `higher`.
        what: description, for tables.
        statistic: returns None when the evidence does not allow it.
        group: whether it is also reported by groups of people; a Frechet distance needs more pictures than a group has.
    """

    name: str
    better: Literal["lower", "higher"]
    what: str
    statistic: Measure
    group: bool

    @property
    def sign(self) -> int:
        """1 if lower is better, -1 if higher is."""
        return 1 if self.better == "lower" else -1


METRICS: dict[str, Metric] = {}


def metric(
    name: str, better: Literal["lower", "higher"], what: str, group: bool = False
) -> Callable[[Measure], Measure]:
    """Register a function from `Evidence` to a statistic, or to None, as a metric."""

    def register(function: Measure) -> Measure:
        METRICS[name] = Metric(name, better, what, function, group)
        return function

    return register


WORST = "worst_"  # prefix: the worst group's value


def direction(name: str) -> int:
    """Return 1 if lower values of a metric are better, and -1 if higher ones are; also of a worst group's."""
    return METRICS[name.removeprefix(WORST)].sign


for _network, _title in (("face", "dlib's face features"), ("efficientnet", "EfficientNet-Lite0's features")):

    @metric(
        f"kernel_{_network}", "lower", f"kernel distance (KID's) to the cartoons of the style, {_title}", group=True
    )
    def _(given: Evidence, network: str = _network) -> Statistic | None:
        return KernelDistance(given.features[network], given.style[network]) if network in given.style else None

    @metric(f"frechet_{_network}", "lower", f"Frechet distance to the cartoons of the style, {_title}")
    def _(given: Evidence, network: str = _network) -> Statistic | None:
        return FrechetDistance(given.features[network], given.style[network]) if network in given.style else None


@metric("fid", "lower", "FID: Frechet distance with pytorch-fid's Inception")
def _(given: Evidence) -> Statistic | None:
    return (
        FrechetDistance(given.features["inception"], given.style["inception"]) if "inception" in given.style else None
    )


@metric(
    "kernel_drawings", "lower", "kernel distance to the teacher's drawings, EfficientNet-Lite0's features", group=True
)
def _(given: Evidence) -> Statistic | None:
    drawn = given.drawn_style.get("efficientnet")
    return KernelDistance(given.features["efficientnet"], drawn) if drawn is not None and len(drawn) > 1 else None


@metric("precision", "higher", "share of the cartoons that lie among those of the style", group=True)
def _(given: Evidence) -> Statistic | None:
    near = _near(given, by_style=True)
    return None if near is None else Mean(near.any(axis=1).astype(float))


@metric("recall", "higher", "share of the style's cartoons that lie among those drawn: low means little variety")
def _(given: Evidence) -> Statistic | None:
    near = _near(given, by_style=False)
    return None if near is None else Coverage(near)


@metric(
    "novelty",
    "higher",
    "distance to the nearest training cartoon, relative to theirs among themselves: near 0 is copying",
)
def _(given: Evidence) -> Statistic | None:
    training = given.style["efficientnet"][given.trained_on] if given.style else None
    if training is None or len(training) < 3:
        return None
    among = _distances(training, training)
    np.fill_diagonal(among, np.inf)
    return Mean(_distances(given.features["efficientnet"], training).min(axis=1) / np.median(among.min(axis=1)))


for _network, _title in (
    ("sface", "SFace's face features"),
    ("dlib", "dlib's face features"),
    ("mobilefacenet", "MobileFaceNet's face features"),
):

    @metric(
        f"identity_{_network}",
        "higher",
        f"cosine between photograph and cartoon of {_title}; 1 is the same",
        group=True,
    )
    def _(given: Evidence, network: str = _network) -> Statistic | None:
        key = "face" if network == "dlib" else network
        if key not in given.features:
            return None
        return Mean((given.source[key] * given.features[key]).sum(axis=1))


@metric(
    "cycle", "lower", "L1 between a photograph and what the other generator makes of its cartoon, -1..1", group=True
)
def _(given: Evidence) -> Statistic | None:
    return None if given.back is None else Mean((given.back - given.photos).abs().mean(dim=(1, 2, 3)).numpy())


@metric(
    "skin_colour",
    "lower",
    "CIEDE2000 between the skin of photograph and cartoon, medians of the face's middle",
    group=True,
)
def _(given: Evidence) -> Statistic | None:
    from photo2cartoon.scoring.colour import skin_difference

    return Mean(skin_difference(given.photos, given.made))


@metric(
    "skin_tone_shift", "lower", "degrees by which the typology angle of the skin changes; usually whitened", group=True
)
def _(given: Evidence) -> Statistic | None:
    from photo2cartoon.scoring.colour import typology_angles

    return Mean(np.abs(typology_angles(given.made) - typology_angles(given.photos)))


@metric(
    "head_colour",
    "lower",
    "CIEDE2000 between the top of the head of photograph and cartoon: hair, a headscarf, or skin",
    group=True,
)
def _(given: Evidence) -> Statistic | None:
    from photo2cartoon.scoring.colour import head_difference

    return Mean(head_difference(given.photos, given.made))


@metric("clothes_colour", "lower", "CIEDE2000 between the clothes of photograph and cartoon", group=True)
def _(given: Evidence) -> Statistic | None:
    from photo2cartoon.scoring.colour import clothes_difference

    return Mean(clothes_difference(given.photos, given.made))


@metric("l1", "lower", "L1 to the teacher's drawing, -1..1", group=True)
def _(given: Evidence) -> Statistic | None:
    from photo2cartoon.scoring.pairs import l1

    return _of_drawn(given, l1)


@metric("ssim", "higher", "SSIM to the teacher's drawing", group=True)
def _(given: Evidence) -> Statistic | None:
    from photo2cartoon.scoring.pairs import ssim

    return _of_drawn(given, ssim)


@metric("perceptual", "lower", "distance of EfficientNet-Lite0's feature maps to the teacher's drawing", group=True)
def _(given: Evidence) -> Statistic | None:
    return _of_drawn(given, given.perceptual) if given.perceptual else None


def _of_drawn(given: Evidence, function: Callable[[Tensor, Tensor], np.ndarray]) -> Statistic | None:
    """Return the mean of a function of cartoon and drawing, over the photographs that have one."""
    if given.drawings is None or not len(given.drawings):
        return None
    values = np.full(given.count, np.nan)
    values[: len(given.drawings)] = function(given.made[: len(given.drawings)], given.drawings)
    return Mean(values)


def _near(given: Evidence, by_style: bool) -> np.ndarray | None:
    """Return which cartoons and images of the style are neighbours, bool `[n, m]`; None for too few.

    Args:
        given: the evidence.
        by_style: neighbourhoods are balls around the style's images (precision), or around the cartoons (recall); each
            reaches to the third neighbour of its own kind.
    """
    made, style = given.features["efficientnet"], given.style.get("efficientnet", np.empty((0, 0)))
    own = style if by_style else made
    if len(style) < 2 or len(own) <= NEIGHBOURS:
        return None
    radius = np.sort(_distances(own, own), axis=1)[:, NEIGHBOURS]
    between = _distances(made, style)
    return between <= (radius[None] if by_style else radius[:, None])


def _distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    from scipy.spatial.distance import cdist

    return cdist(a.astype(np.float64), b.astype(np.float64))
