"""Curves as files that DVC's plots read (`.dvc/plots/curves.json` draws them): a row for each point of each curve."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from photo2cartoon.atomic import atomic_write

POINTS = 400  # of a curve at most: more cannot be told apart in a plot


def write_curves(path: Path, points: Iterable[tuple[str, int, float, float, float]]) -> None:
    """Write curves as CSV: step, curve, value, low, high.

    A curve of more than `POINTS` points is averaged over equal numbers of points; low and high are then the lowest and
    the highest of them.

    Args:
        path: the file.
        points: name of the curve, step, value, and the interval around it (the value twice, if it has none); the steps
            of a curve ascend.
    """
    curves: dict[str, list[tuple[int, float, float, float]]] = {}
    for curve, step, value, low, high in points:
        curves.setdefault(curve, []).append((step, value, low, high))
    with atomic_write(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "curve", "value", "low", "high"])
        for curve, all_points in sorted(curves.items()):
            count = -(-len(all_points) // POINTS)
            for first in range(0, len(all_points), count):
                steps, values, lows, highs = zip(*all_points[first : first + count], strict=True)
                mean = sum(values) / len(values)
                writer.writerow([steps[-1], curve, *(f"{number:.6g}" for number in (mean, min(lows), max(highs)))])
