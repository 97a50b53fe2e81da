"""Python-based `onnxruntime` backend for Triton servers that come without NVIDIA's.

`installation.py` copies this file to where Triton looks for the backend, so it imports nothing from this project. It
uses the same configurations as NVIDIA's backend; every model instance has its own session.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnxruntime
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Runs `model.onnx` from a version's folder."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the graph; `intra_op_thread_count` 0 means every core, as in NVIDIA's backend."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters.get("intra_op_thread_count", 0))
        options.log_severity_level = 3
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.largest = int(parameters.get("largest_side", 0))
        self.inputs = [item["name"] for item in config["input"]]
        self.outputs = [item["name"] for item in config["output"]]

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run the whole batch at once when the requests' shapes allow it, otherwise one request at a time."""
        feeds = [
            {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            for request in requests
        ]
        if any(map(self._is_too_large, feeds)):  # whoever calls the model past the ensemble
            return [self._refusal() if self._is_too_large(feed) else self._together([feed])[0] for feed in feeds]
        if len({tuple(feed[name].shape[1:] for name in self.inputs) for feed in feeds}) > 1:
            return [self._answer(self.session.run(self.outputs, feed)) for feed in feeds]
        return self._together(feeds)

    def _is_too_large(self, feed: dict[str, Any]) -> bool:
        return bool(self.largest) and max(feed[self.inputs[0]].shape[1:3]) > self.largest

    def _refusal(self) -> pb_utils.InferenceResponse:
        text = f"{self.inputs[0]}: at most {self.largest} x {self.largest} pixels are taken"
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG))

    def _together(self, feeds: list[dict[str, Any]]) -> list[pb_utils.InferenceResponse]:
        import numpy as np

        counts = [len(feed[self.inputs[0]]) for feed in feeds]
        joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in self.inputs}
        outputs = self.session.run(self.outputs, joined)
        ends = np.cumsum(counts)
        return [
            self._answer([output[end - count : end] for output in outputs])
            for count, end in zip(counts, ends, strict=True)
        ]

    def _answer(self, outputs: list[Any]) -> pb_utils.InferenceResponse:
        tensors = [pb_utils.Tensor(name, output) for name, output in zip(self.outputs, outputs, strict=True)]
        return pb_utils.InferenceResponse(tensors)
