"""The rule by which a checkpoint is chosen: floors first, then metrics in order, each among those left by the one before.

A metric separates two checkpoints only if the 95 % interval of their difference on the same photographs excludes zero
(paired bootstrap). Of checkpoints that it cannot tell apart, the next metric decides; the last one decides by value.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Final, Literal

import numpy as np

from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.bootstrap_draws import read_draws
from photo2cartoon.params import Select
from photo2cartoon.scoring.metrics import METRICS, direction

Scores = Mapping[str, Mapping[str, float]]  # by checkpoint and metric
Draws = Mapping[str, Mapping[str, np.ndarray]]  # bootstrap draws, likewise
STEP = "step-"  # names of checkpoints start with it
PHOTOGRAPHS, CHAMPION = "photographs", "champion"  # the other rows of the scores
BETTER: Final = "better"
WORSE: Final = "worse"
ALIKE: Final = "cannot be told apart"
LEVEL = 95.0  # percent of an interval


@dataclass(frozen=True)
class Difference:
    """How a metric compares two models on the same photographs.

    Args:
        verdict: about the first one.
        value: first minus second.
        low, high: its interval.
        level: of the interval, percent.
    """

    verdict: Literal["better", "worse", "cannot be told apart"]
    value: float
    low: float
    high: float
    level: float = LEVEL

    def __str__(self) -> str:
        return f"{self.verdict} ({self.value:+.4g}, {self.level:.3g} % {self.low:+.3g} to {self.high:+.3g})"


def compare(scores: Scores, draws: Draws, first: str, second: str, metric: str, among: int = 1) -> Difference:
    """Compare two models by the paired bootstrap; without scores or draws of both they cannot be told apart.

    The interval is normal: around the difference of the scores, with the spread of the draws' differences.

    Args:
        scores, draws: as for `choose`.
        first, second: names of the models.
        metric: name of the metric.
        among: number of models that the first one was chosen from on the same photographs. The best of many looks better
            than it is, so the interval is widened (Bonferroni's correction).
    """
    value = scores[first].get(metric, math.nan) - scores[second].get(metric, math.nan)
    one, other = (draws.get(name, {}).get(metric) for name in (first, second))
    of_draws = np.array([]) if one is None or other is None else one - other
    known = of_draws[np.isfinite(of_draws)]
    if len(known) < 2 or not math.isfinite(value):
        return Difference(ALIKE, value, -math.inf, math.inf)
    # Not the draws' percentiles: draws of a share of the style that is covered lie below the value, and a hundred draws, as
    # of Frechet distances, have no thousandth part.
    excluded = (100 - LEVEL) / among
    half = NormalDist().inv_cdf(1 - excluded / 200) * float(known.std(ddof=1))
    low, high = value - half, value + half
    if high >= 0 and low <= 0:
        return Difference(ALIKE, value, low, high, 100 - excluded)
    is_better = (high < 0) == (direction(metric) > 0)
    return Difference(BETTER if is_better else WORSE, value, low, high, 100 - excluded)


@dataclass(frozen=True)
class Verdict:
    """The chosen checkpoint, and for every checkpoint why it was or was not chosen."""

    chosen: str
    reasons: Mapping[str, str]


def choose(scores: Scores, draws: Draws, rank: Sequence[str], floors: Mapping[str, float]) -> Verdict:
    """Choose a checkpoint.

    Args:
        scores: of all models; those whose names start with `step-` are checkpoints.
        draws: of the same models.
        rank: metrics in order.
        floors: the worst value allowed, by metric: a minimum where higher is better, else a maximum.

    Raises:
        UserError: no checkpoint has a score by a metric, or none keeps to the floors.
    """
    checkpoints = sorted(name for name in scores if name.startswith(STEP))
    reasons: dict[str, str] = {}
    for name in checkpoints:
        missing = [m for m in (*floors, *rank) if not math.isfinite(scores[name].get(m, math.nan))]
        broken = [m for m, limit in floors.items() if m not in missing and _worse(m, scores[name][m], limit)]
        if missing:
            reasons[name] = f"has no score by {', '.join(missing)}"
        elif broken:
            reasons[name] = "; ".join(
                f"{m} {scores[name][m]:.4g} is {'below' if direction(m) < 0 else 'above'} the limit {floors[m]:g}"
                for m in broken
            )
    left = [name for name in checkpoints if name not in reasons]
    if not left:
        raise UserError(_nothing_left(scores, reasons, (*floors, *rank)))
    for place, metric in enumerate(rank):
        best = min(left, key=lambda name: (direction(metric) * scores[name][metric], name))
        last = place == len(rank) - 1
        for name in [each for each in left if each != best]:
            difference = compare(scores, draws, name, best, metric)
            if last or difference.verdict != ALIKE:
                left.remove(name)
                reasons[name] = (
                    f"{metric}: {difference} than {best}"
                    if difference.verdict == WORSE
                    else (f"{metric} cannot tell it from {best} ({difference.value:+.4g}), which has the better value")
                )
    chosen = left[0]
    by = " then ".join(rank)
    limits = f", of those that keep to {', '.join(f'{m} {v:g}' for m, v in floors.items())}" if floors else ""
    reasons[chosen] = f"chosen: the best by {by}{limits}"
    return Verdict(chosen, reasons)


def finalists(scores: Scores) -> set[str]:
    """Return the checkpoints that have the best value by one metric or another."""
    found = set()
    for metric in METRICS:
        known = [
            name
            for name, values in scores.items()
            if name.startswith(STEP) and math.isfinite(values.get(metric, math.nan))
        ]
        if known:
            found.add(min(known, key=lambda name: (direction(metric) * scores[name][metric], name)))
    return found


def passed_on(scores: Scores, folder: Path, select: Select) -> set[str]:
    """Return the checkpoints that the next step of a pipeline needs: the finalists, and the one that the rule chooses.

    Args:
        scores: of all models.
        folder: of the evaluation, with its draws.
        select: the `select` section.
    """
    names = finalists(scores)
    with contextlib.suppress(UserError):  # that there is none is for `select` to say
        names.add(choose(scores, read_draws(folder), select.rank, select.floors).chosen)
    return names


def _worse(metric: str, value: float, limit: float) -> bool:
    return direction(metric) * (value - limit) > 0


def _nothing_left(scores: Scores, reasons: Mapping[str, str], metrics: Sequence[str]) -> str:
    known = sorted({key for values in scores.values() for key in values if not key.endswith("_interval")})
    hint = " (true FID needs Inception's weights in the weights folder)" if "fid" in metrics else ""
    each = "; ".join(f"{name}: {reason}" for name, reason in list(reasons.items())[:3])
    return f"select: no checkpoint can be chosen{hint}: {each or 'there are none'}; scores are {', '.join(known)}"
