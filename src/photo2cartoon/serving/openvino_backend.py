"""Python-based `openvino` backend for Triton servers that come without NVIDIA's.

`installation.py` copies this file to where Triton looks for the backend, so it imports nothing from this project. A graph
is loaded only if OpenVINO draws with it what onnxruntime draws, the reference.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import openvino

if TYPE_CHECKING:
    import triton_python_backend_utils as pb_utils

# Levels of 255 by which a picture may differ on average, and a pixel at most. bfloat16 differed by 0.66 and 18.
MEAN, LARGEST = 1.0, 24
SIDE = 256  # of the picture that is compared


def options(core: openvino.Core, threads: int) -> dict[str, Any]:
    """Return how a graph is compiled: in bfloat16 where the processor can, with `threads` threads (0: every core)."""
    narrow = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if narrow else "f32",
        "ENABLE_CPU_PINNING": False,  # the instances would share the first cores
        **({"INFERENCE_NUM_THREADS": threads} if threads else {}),
    }


def sample() -> tuple[np.ndarray, np.ndarray]:
    """Return a portrait with soft and hard edges, and a colour strength."""
    x, y = np.meshgrid(np.linspace(0, 1, SIDE), np.linspace(0, 1, SIDE))
    rgb = np.stack([x, y, (np.hypot(x - 0.5, y - 0.4) < 0.3) * 0.8], axis=2) * 255
    alpha = (np.hypot(x - 0.5, y - 0.5) < 0.48) * 255
    return np.dstack([rgb, alpha]).astype(np.uint8)[None], np.full((1, 1), 0.9, np.float32)


def check(drawn: np.ndarray, expected: np.ndarray, largest: int = LARGEST) -> None:
    """Refuse a drawing that differs too much from the expected one."""
    difference = np.abs(drawn.astype(int) - expected)
    if difference.mean() > MEAN or difference.max() > largest:
        raise ValueError(
            f"OpenVINO's drawing differs from onnxruntime's by {difference.mean():.2f} levels on average and"
            f" {difference.max()} at most, allowed are {MEAN} and {largest}: p2c serve --backend onnxruntime"
        )


class TritonPythonModel:
    """Runs `model.onnx` from a version's folder."""

    def initialize(self, args: dict[str, str]) -> None:
        """Compile the graph, and compare it with onnxruntime; `intra_op_thread_count` 0 means every core."""
        config = json.loads(args["model_config"])
        parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
        graph = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        core = openvino.Core()
        threads = int(parameters.get("intra_op_thread_count", 0))
        self.request = core.compile_model(str(graph), "CPU", options(core, threads)).create_infer_request()
        self.largest = int(parameters.get("largest_side", 0))
        self.inputs = [item["name"] for item in config["input"]]
        self.outputs = [item["name"] for item in config["output"]]
        self._compare(graph, int(parameters.get("largest_difference", LARGEST)))

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Run one request after the other."""
        import triton_python_backend_utils as pb_utils

        responses = []
        for request in requests:
            given = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            if self.largest and max(given[self.inputs[0]].shape[1:3]) > self.largest:
                text = f"{self.inputs[0]}: at most {self.largest} x {self.largest} pixels are taken"
                error = pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG)
                responses.append(pb_utils.InferenceResponse(error=error))
                continue
            tensors = [pb_utils.Tensor(name, values) for name, values in self._run(given).items()]
            responses.append(pb_utils.InferenceResponse(tensors))
        return responses

    def _run(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.request.infer(given)
        return {name: self.request.get_tensor(name).data.copy() for name in self.outputs}

    def _compare(self, graph: Path, largest: int) -> None:
        given = dict(zip(self.inputs, sample(), strict=True))
        session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])
        check(self._run(given)[self.outputs[0]], session.run(self.outputs[:1], given)[0], largest)
