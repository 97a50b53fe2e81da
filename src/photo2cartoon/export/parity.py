"""Compares the exported graph's output with torch's on real portraits, in levels of 0..255."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from photo2cartoon.export.graph import PortraitToCartoon, stylize
from photo2cartoon.portrait.maker import SIZE, SIZES
from photo2cartoon.serving.session import draw, open_session


@dataclass(frozen=True)
class Parity:
    """Difference between two sets of cartoons of the same portraits.

    Args:
        portraits: number of portraits.
        mean_difference, max_difference: over all pixels and colours, in levels of 0..255.
        share_different: share of the values that differ at all.
        passed: both differences are within their tolerance.
    """

    portraits: int
    mean_difference: float
    max_difference: float
    share_different: float
    passed: bool


def compare(
    model: PortraitToCartoon, graph: Path, portraits: np.ndarray, max_mean: float, max_any: float
) -> tuple[Parity, np.ndarray, np.ndarray]:
    """Compare the cartoons that torch and onnxruntime make of portraits.

    Args:
        model: the reference.
        graph: the ONNX file.
        portraits: uint8 `[N, S, S, 4]`.
        max_mean, max_any: tolerances in levels.

    Returns:
        The report, torch's cartoons, onnxruntime's cartoons.
    """
    session = open_session(graph)
    expected = np.concatenate([stylize(model, portrait[None]) for portrait in portraits])
    # Run one at a time and as a batch, at another size and without the photograph's colours: N, S and colour are inputs.
    got = np.concatenate([draw(session, portrait[None]) for portrait in portraits])
    gap = np.abs(expected.astype(int) - got)
    gap_together = np.abs(expected[:4].astype(int) - draw(session, portraits[:4]))
    side = SIZES[-1] if portraits.shape[1] != SIZES[-1] else SIZE
    other = cv2.resize(portraits[0], (side, side), interpolation=cv2.INTER_LINEAR)[None]
    gap_other = np.abs(stylize(model, other, 0.0).astype(int) - draw(session, other, 0.0))
    mean, largest = float(gap.mean()), float(max(gap.max(), gap_together.max(), gap_other.max()))
    report = Parity(len(portraits), mean, largest, float((gap > 0).mean()), mean <= max_mean and largest <= max_any)
    return report, expected, got
