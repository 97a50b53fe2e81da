"""onnxruntime sessions with the project's common settings. Does not import torch."""

from __future__ import annotations

from pathlib import Path


def open_session(graph: Path | bytes, threads: int = 0):
    """Open an onnxruntime session on the CPU for a file or a serialised graph; 0 threads means every core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
