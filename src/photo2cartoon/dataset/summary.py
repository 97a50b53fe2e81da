"""Summarises the photographs of a dataset, to compare those that a server receives with those of the training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from photo2cartoon.dataset.table import NO_PICTURE, read_table
from photo2cartoon.layout import PHOTOS, TABLE
from photo2cartoon.portrait.numbers import QUANTILES, REFUSED, SUMMARISED


def summarise(data: Path | None) -> dict[str, list[float] | float]:
    """Return the quantiles of each number that describes a photograph, and the share that was refused.

    Args:
        data: folder that `preprocess` wrote; None, or another folder, has no summary.

    Returns:
        By name in `SUMMARISED` a value for each of `QUANTILES`, without the numbers that no photograph has; `refused` from
        0 to 1. Empty if there are no photographs that were searched for faces.
    """
    if data is None or not (data / TABLE).is_file():
        return {}
    rows = [row for row in read_table(data / TABLE) if row.domain == PHOTOS and row.result != NO_PICTURE]
    searched = [row for row in rows if row.faces or row.result != "kept"]
    summary: dict[str, list[float] | float] = {}
    for name in SUMMARISED:
        values = [float(getattr(row, name)) for row in rows if getattr(row, name)]
        if values:
            summary[name] = [round(float(value), 4) for value in np.quantile(values, QUANTILES)]
    if any(row.faces for row in rows):
        summary[REFUSED] = round(sum(row.result != "kept" for row in searched) / len(searched), 4)
    return summary
