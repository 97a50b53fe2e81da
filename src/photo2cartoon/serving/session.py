"""onnxruntime sessions with the project's common settings. Does not import torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from photo2cartoon.portrait.background import COLOUR

INPUTS = ["portrait", "colour"]  # of a generator's graph


def open_session(graph: Path | bytes, threads: int = 0) -> Any:
    """Open an onnxruntime session on the CPU for a file or a serialised graph; 0 threads means every core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def draw(session: Any, portraits: np.ndarray, colour: float = COLOUR) -> np.ndarray:
    """Draw cartoons by the graph of a generator: uint8 `[N, S, S, 4]` to uint8 `[N, S, S, 3]`."""
    return session.run(["cartoon"], feed(portraits, colour))[0]


def feed(portraits: np.ndarray, colour: float = COLOUR) -> dict[str, np.ndarray]:
    """Return the inputs of a generator's graph."""
    return dict(zip(INPUTS, (portraits, np.full((len(portraits), 1), colour, np.float32)), strict=True))
