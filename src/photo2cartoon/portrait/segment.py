"""Who is the person and what is background."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np


class SelfieSegmenter:
    """MediaPipe's selfie segmentation (Apache-2.0), a small network on 256x256 RGB, run by LiteRT.

    Args:
        weights: `selfie_segmentation.tflite`.
        threads: CPU threads.
    """

    def __init__(self, weights: Path, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _silenced():
            self._interpreter = Interpreter(model_path=str(weights), num_threads=threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """How much each pixel belongs to the person.

        Args:
            rgb: uint8 `[H, W, 3]`.

        Returns:
            uint8 `[H, W]`, 255 for the person.
        """
        height, width = rgb.shape[:2]
        _, rows, columns, _ = self._input["shape"]
        shrinks = rows * columns < height * width
        small = cv2.resize(rgb, (columns, rows), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        self._interpreter.set_tensor(self._input["index"], small[None].astype(np.float32) / 255)
        self._interpreter.invoke()
        mask = self._interpreter.get_tensor(self._output["index"])[0, :, :, 0]
        mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Without LiteRT's greeting, which it writes to standard error past Python; what goes wrong still raises."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
