"""Smaller and faster variants of a generator's graph: half precision and eight bits.

Normalisations stay in float32 in both: their statistics are sums over tens of thousands of pixels.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from photo2cartoon.serving.session import feed


class Tolerance(NamedTuple):
    """Largest difference allowed from torch, in levels of 255: the mean over all values, and any single value."""

    mean: float
    largest: float


# Two to three times the differences measured on the models that come with the project (docs/model-card.md).
TOLERANCES = {"fp32": Tolerance(0.5, 2), "fp16": Tolerance(0.5, 4), "int8": Tolerance(2.5, 60)}


def write_variant(source: Path, variant: str, target: Path, portraits: np.ndarray) -> None:
    """Write a graph in another precision.

    Args:
        source: the float32 graph.
        variant: fp32, fp16 or int8.
        target: file to write.
        portraits: uint8 `[N, S, S, 4]`; int8 is calibrated on them.
    """
    if variant == "fp32":
        shutil.copyfile(source, target)
    elif variant == "fp16":
        to_half(source, target)
    else:
        to_int8(source, target, portraits)


def to_half(source: Path, target: Path) -> None:
    """Write the graph with its convolutions and their weights in float16."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.op_type != "Conv":
            nodes.append(node)
            continue
        for name in node.input[1:]:
            tensor = weights[name]
            if tensor.data_type == TensorProto.FLOAT:
                tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), name))
        given, made = node.input[0], node.output[0]
        node.input[0], node.output[0] = f"{made}_given_half", f"{made}_half"
        nodes += [
            helper.make_node("Cast", [given], [node.input[0]], f"{node.name}_to_half", to=TensorProto.FLOAT16),
            node,
            helper.make_node("Cast", [node.output[0]], [made], f"{node.name}_to_float", to=TensorProto.FLOAT),
        ]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(target))


def to_int8(source: Path, target: Path, portraits: np.ndarray) -> None:
    """Write the graph with its convolutions and linear layers quantised to eight bits.

    Weights are quantised per channel, activations by their ranges on real portraits.

    The QDQ form is used, which every runtime reads. The first and the last convolution, 7x7 over three channels, stay
    in float32: they cost little, and their rounding errors are directly visible.

    Args:
        source: the float32 graph.
        target: file to write.
        portraits: uint8 `[N, S, S, 4]`, to calibrate on.
    """
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class _Portraits(CalibrationDataReader):
        def __init__(self) -> None:
            self.waiting: Iterator[np.ndarray] = iter(portraits)

        def get_next(self) -> dict[str, np.ndarray] | None:
            portrait = next(self.waiting, None)
            return None if portrait is None else feed(portrait[None])

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        convolutions = [node.name for node in onnx.load(prepared).graph.node if node.op_type == "Conv"]
        quantize_static(
            str(prepared),
            str(target),
            _Portraits(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", "Gemm"],
            nodes_to_exclude=[convolutions[0], convolutions[-1]],
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    model = onnx.load(target)
    # The quantiser drops the graph's metadata.
    del model.metadata_props[:]
    model.metadata_props.extend(onnx.load(source, load_external_data=False).metadata_props)
    onnx.save_model(model, str(target))
