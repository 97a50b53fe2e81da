"""The decision whether a canary gets all calls."""

from __future__ import annotations

import math
from dataclasses import dataclass

from photo2cartoon.params import Rollout
from photo2cartoon.rollout.numbers import Numbers

FEW = 2.0  # failures that say nothing yet: one caller's broken request, or a connection that was lost


@dataclass(frozen=True)
class Verdict:
    """A decision, and the numbers it rests on, in words."""

    holds: bool
    words: str


def decide(canary: Numbers, stable: Numbers, limits: Rollout) -> Verdict:
    """Decide by the numbers of a whole window.

    A canary is rolled back for too few calls, too many failures, slower calls, more refusals than the stable version, or
    photographs unlike those it was trained on. The last only if they are no more unlike the stable version's: a change of
    the callers is not the canary's fault.

    Args:
        canary, stable: numbers of the same window.
        limits: the `rollout` section.
    """
    reasons = [*early(canary, limits), *_slower(canary, stable, limits), *_refuses(canary, stable, limits)]
    if canary.calls < limits.min_calls:
        reasons.insert(0, f"only {canary.calls:.0f} calls, at least {limits.min_calls} are needed to decide")
    reasons += _drifted(canary, stable)
    measured = (
        f"{canary.calls:.0f} calls, {canary.failures:.0f} failed, 95 percent within {_seconds(canary.p95)} (stable:"
        f" {stable.calls:.0f}, {stable.failures:.0f}, {_seconds(stable.p95)}), {_percent(canary.refused)} of the photographs"
        f" not drawn (stable: {_percent(stable.refused)})"
    )
    return Verdict(not reasons, f"{'; '.join(reasons)} [{measured}]" if reasons else measured)


def early(canary: Numbers, limits: Rollout) -> list[str]:
    """Return why a canary has to go before its window is over: more failures than the whole window may have."""
    allowed = max(FEW, limits.max_failures * max(canary.calls, limits.min_calls))
    if canary.failures <= allowed:
        return []
    share = canary.failures / max(canary.calls, 1)
    return [f"{canary.failures:.0f} calls failed ({share:.1%}), {limits.max_failures:.1%} may"]


def _slower(canary: Numbers, stable: Numbers, limits: Rollout) -> list[str]:
    if math.isnan(stable.p95) or math.isnan(canary.p95) or canary.p95 <= limits.max_slowdown * stable.p95:
        return []
    return [
        f"95 percent of the calls take up to {_seconds(canary.p95)}, stable {_seconds(stable.p95)}; at most"
        f" {limits.max_slowdown:g} times as long is allowed"
    ]


def _refuses(canary: Numbers, stable: Numbers, limits: Rollout) -> list[str]:
    before = 0.0 if math.isnan(stable.refused) else stable.refused
    if math.isnan(canary.refused) or canary.refused <= before + limits.max_refused:
        return []
    return [f"{canary.refused:.1%} of the photographs are not drawn, stable {before:.1%}"]


def _drifted(canary: Numbers, stable: Numbers) -> list[str]:
    return [
        f"photographs unlike the training's: the median of {name} is {canary.medians[name]:.3g}, the training's are"
        f" {low:.3g} to {high:.3g}"
        for name, (low, high) in canary.training.items()
        if _outside(canary, name) and not _outside(stable, name)
    ]


def _outside(numbers: Numbers, name: str) -> bool:
    if name not in numbers.training or name not in numbers.medians:
        return False
    low, high = numbers.training[name]
    return numbers.medians[name] < low or numbers.medians[name] > high


def _seconds(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f} s"


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"
