"""Variants of a generator's graph: half precision for servers, and weights in 8 bits to be downloaded by browsers.

Normalisations stay in float32: their statistics are sums over tens of thousands of pixels.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Tolerance(NamedTuple):
    """Largest difference allowed from torch, in levels of 255: the mean over all values, and any single value."""

    mean: float
    largest: float


# Two to three times the differences measured on the models that come with the project (docs/reference/model-card.md).
TOLERANCES = {"fp32": Tolerance(0.5, 2), "fp16": Tolerance(0.5, 4)}
EIGHT_BITS = Tolerance(2, 32)  # of `to_eight_bits`, from the graph that it was made of


def write_variant(source: Path, variant: str, target: Path) -> None:
    """Write a graph in another precision.

    Args:
        source: the float32 graph.
        variant: fp32 or fp16.
        target: file to write.
    """
    if variant == "fp32":
        shutil.copyfile(source, target)
    else:
        to_half(source, target)


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


def to_eight_bits(source: Path, target: Path) -> None:
    """Write the graph with the weights of convolutions and linear layers in int8, with a scale for each output channel.

    It is a quarter as large, and no faster: `DequantizeLinear` restores the weights, and everything is computed in float32.
    onnxruntime restores them once, when it loads the graph, if `session.disable_quant_qdq` is set; otherwise in each run.
    Biases, and weights that are not float32, stay.

    Args:
        source: the float32 graph.
        target: file to write.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(source)
    weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type == TensorProto.FLOAT}
    axes: dict[str, int] = {}  # of the output channels
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm") and node.input[1] in weights:
            transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
            axes[node.input[1]] = 0 if node.op_type == "Conv" or transposed else 1
            node.input[1] = f"{node.input[1]}_single"
    restored = []
    for name, axis in axes.items():
        values = numpy_helper.to_array(weights[name])
        largest = np.abs(values).max(axis=tuple(other for other in range(values.ndim) if other != axis), keepdims=True)
        scale = np.maximum(largest / 127, np.finfo(np.float32).tiny).astype(np.float32)
        weights[name].CopyFrom(numpy_helper.from_array(np.rint(values / scale).astype(np.int8), name))
        model.graph.initializer.append(numpy_helper.from_array(scale.reshape(-1), f"{name}_scale"))
        inputs = [name, f"{name}_scale"]
        restored.append(helper.make_node("DequantizeLinear", inputs, [f"{name}_single"], f"{name}_restored", axis=axis))
    nodes = [*restored, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(target))
