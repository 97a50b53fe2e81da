"""onnxruntime, as everything here runs it. No torch."""

from __future__ import annotations

from pathlib import Path


def open_session(graph: Path | bytes, threads: int = 0):
    """An onnxruntime session on the CPU over a file or a serialised graph; 0 threads means every core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    source = graph if isinstance(graph, bytes) else str(graph)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
