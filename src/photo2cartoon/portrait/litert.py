"""Runs TensorFlow Lite networks in LiteRT."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np


class Network:
    """A network with one square image as input. Not safe to use from two threads at once.

    Args:
        weights: a `.tflite` file.
        threads: CPU threads.
    """

    def __init__(self, weights: Path, threads: int = 1) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _silenced():
            self._interpreter = Interpreter(model_path=str(weights), num_threads=threads)
            self._interpreter.allocate_tensors()
        (source,) = self._interpreter.get_input_details()
        self._input, self.side = source["index"], int(source["shape"][1])
        self._outputs = [output["index"] for output in self._interpreter.get_output_details()]

    def __call__(self, image: np.ndarray) -> list[np.ndarray]:
        """Run the network on float32 `[S, S, 3]`; return its outputs, without the axis of the batch."""
        self._interpreter.set_tensor(self._input, image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output)[0] for output in self._outputs]


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Suppress LiteRT's greeting, which bypasses Python and writes to standard error directly; errors still raise."""
    sys.stderr.flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
