"""The half-precision variant of a generator's graph.

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
