"""The rule by which the best checkpoint is found."""

from __future__ import annotations

import contextlib
import math

from photo2cartoon.errors import UserError


def best(scores: dict[str, dict[str, float]], metric: str) -> str:
    """Return the checkpoint with the lowest score, or an equivalent one that keeps the person more recognisable.

    If the metric has an interval, every checkpoint within the best one's interval counts as equivalent (the
    one-standard-error rule of Breiman et al., 1984, with 95 %); of those, the one with the lowest face distance wins.
    A tie goes to the earliest.

    Raises:
        UserError: no checkpoint has a score by this metric.
    """
    candidates = {
        name: values[metric]
        for name, values in sorted(scores.items())
        if name.startswith("step-") and math.isfinite(values.get(metric, math.nan))
    }
    if not candidates:
        known = sorted({key for values in scores.values() for key in values if not key.endswith("_interval")})
        hint = " (true FID needs Inception's weights in the weights folder)" if metric == "fid" else ""
        raise UserError(f"select.metric: no checkpoint has a '{metric}' score{hint}; there are {', '.join(known)}")
    lowest = min(candidates, key=candidates.__getitem__)
    limit = candidates[lowest] + scores[lowest].get(f"{metric}_interval", 0.0)
    alike = [name for name, score in candidates.items() if score <= limit]
    return min(alike, key=lambda name: (scores[name].get("face_distance", 0.0), candidates[name]))


def finalists(scores: dict[str, dict[str, float]]) -> set[str]:
    """Return the checkpoints that `best` returns for one metric or another."""
    metrics = {key for values in scores.values() for key in values if not key.endswith("_interval")}
    found = set()
    for metric in metrics:
        with contextlib.suppress(UserError):  # not a single checkpoint has a finite score by it
            found.add(best(scores, metric))
    return found
