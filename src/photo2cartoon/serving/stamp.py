"""Writes a version's number into its graph, so that each answer names the version that drew it."""

from __future__ import annotations

from pathlib import Path

OUTPUT = "version"
_NUMBER = "photo2cartoon_version"


def stamp(graph: Path, version: int, out: Path) -> None:
    """Add the output `version`, int32 `[N, 1]`, to a graph from `portrait` `[N, S, S, 4]`, or change its number.

    Args:
        graph: an ONNX graph.
        version: the number, which is the version's in MLflow.
        out: receives the graph; the same bytes for the same graph and number.
    """
    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load(str(graph))
    number = numpy_helper.from_array(np.array([[version]], np.int32), _NUMBER)
    there = [value for value in model.graph.initializer if value.name == _NUMBER]
    if there:
        there[0].CopyFrom(number)
    else:
        one = numpy_helper.from_array(np.array([1], np.int64), f"{_NUMBER}_one")
        model.graph.initializer.extend([number, one])
        model.graph.node.extend(
            [
                helper.make_node("Shape", ["portrait"], [f"{_NUMBER}_rows"], start=0, end=1),
                helper.make_node("Concat", [f"{_NUMBER}_rows", one.name], [f"{_NUMBER}_shape"], axis=0),
                helper.make_node("Expand", [_NUMBER, f"{_NUMBER}_shape"], [OUTPUT]),
            ]
        )
        portrait = next(value for value in model.graph.input if value.name == "portrait")
        rows = portrait.type.tensor_type.shape.dim[0].dim_param or "N"
        model.graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.INT32, [rows, 1]))
    onnx.save(model, str(out))
