"""Reads weights from photo2cartoon's ONNX file, which keeps few of their names.

torch's exporter folds constants: a weight may have been expanded, transposed or subtracted from one, and its name is
then a number. This module therefore reads the graph: it computes everything that depends on constants alone, and takes
the constants that are applied to the image in the order in which the generator uses its weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from photo2cartoon.errors import UserError, first_line
from photo2cartoon.importing.names import generator_names

if TYPE_CHECKING:
    import onnx

INPUT, OUTPUT = "input", "output"


def read_graph(path: Path) -> tuple[dict[str, np.ndarray], int | None]:
    """Return a generator's tensors under their original names, and the image side if the graph states it.

    The attention's biases are missing: no output depends on them.

    Raises:
        UserError: the file is not an ONNX graph from `input` to `output`, or not of this generator.
    """
    import onnx

    try:
        model = onnx.load(str(path), load_external_data=False)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and onnx's errors have no common class
        raise UserError(f"{path}: truncated or no ONNX graph: {first_line(error)}") from None
    stored = {item.name for item in model.graph.initializer}
    given = {item.name: item for item in model.graph.input if item.name not in stored}
    outputs = [item.name for item in model.graph.output]
    if INPUT not in given or OUTPUT not in outputs:
        raise UserError(f"{path}: maps {list(given)} to {outputs}, photo2cartoon's graph '{INPUT}' to '{OUTPUT}'")
    expected = list(_uses())
    try:
        found = list(_constants_in_use(model))
    except Exception as error:  # onnxruntime's errors have no common class
        raise UserError(f"{path}: its constants cannot be computed: {first_line(error)}") from None
    tensors: dict[str, np.ndarray] = {}
    for (name, form), (node, value) in zip(expected, found, strict=False):
        shaped = _as(form, value)
        if shaped is None:
            raise UserError(
                f"{path}: not photo2cartoon's generator: '{name}' expected, node '{node}' uses {value.shape}"
            )
        if not name.startswith("1-"):
            tensors[name] = shaped
    if len(found) != len(expected):
        missing = expected[len(found)][0] if len(found) < len(expected) else None
        what = f"'{missing}' is missing" if missing else f"node '{found[len(expected)][0]}' is left over"
        raise UserError(f"{path}: not photo2cartoon's generator: {what}")
    sides = [item.dim_value for item in given[INPUT].type.tensor_type.shape.dim]
    return tensors, (sides[3] or None) if len(sides) == 4 else None


def _uses() -> Iterator[tuple[str, str]]:
    """Yield each weight in order of use, with the form in which it is applied; `1-` marks its complement."""
    names = generator_names()
    waiting: list[str] = []
    for name in names:
        owner, _, kind = name.rpartition(".")
        if owner in ("gap_fc", "gmp_fc"):
            if kind == "weight":
                yield name, "vector"
        elif kind in ("w_gamma", "w_beta"):
            waiting.append(name)
        elif kind == "rho":
            for mixture in waiting:
                yield f"1-{mixture}", "vector"
                yield mixture, "vector"
            waiting.clear()
            yield name, "channels"
            yield f"1-{name}", "channels"
        elif kind in ("gamma", "beta"):
            yield name, "channels"
        elif kind == "bias":
            yield name, "bias"
        else:
            linear = owner.startswith("FC.") or ".c_" in owner or ".s_" in owner
            yield name, "linear" if linear else "kernel"


def _as(form: str, value: np.ndarray) -> np.ndarray | None:
    """Return the value in its state dict shape, or None if it cannot have that form."""
    if form == "bias":
        return value.reshape(-1) if value.size == max(value.shape, default=0) else None
    if form in ("channels", "vector"):
        flat = value.size == max(value.shape, default=0)
        return value.reshape((1, -1, 1, 1) if form == "channels" else (1, -1)) if flat else None
    return value if value.ndim == (4 if form == "kernel" else 2) else None


def _constants_in_use(model: onnx.ModelProto) -> Iterator[tuple[str, np.ndarray]]:
    """Yield constants of more than one number used in a convolution, linear layer, product or sum with the image."""
    nodes = _drawing_nodes(model)
    known = _constants(model, nodes)
    for node in nodes:
        inputs = [name for name in node.input if name]
        constant = [name for name in inputs if name in known]
        if len(constant) == len(inputs) or node.output[0] in known:
            continue
        elif node.op_type in ("Conv", "Gemm", "MatMul"):
            attributes = {item.name: item.i for item in node.attribute}
            for position, name in enumerate(inputs):
                if name in known:
                    value = known[name]
                    transposed = node.op_type == "MatMul" or (node.op_type == "Gemm" and not attributes.get("transB"))
                    yield node.name, value.T if position == 1 and transposed else value
        elif node.op_type in ("Mul", "Add"):
            for name in constant:
                if known[name].size > 1:
                    yield node.name, known[name]


def _constants(model: onnx.ModelProto, nodes: list[onnx.NodeProto]) -> dict[str, np.ndarray]:
    """Return every value that does not depend on the image, by name."""
    import onnx
    from onnx import helper, numpy_helper

    from photo2cartoon.serving.session import open_session

    values = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    names, made = set(values), []
    for node in nodes:
        if names.issuperset(name for name in node.input if name):
            made.append(node)
            names.update(node.output)
        elif node.op_type == "Expand" and node.input[0] in names:
            # It expands to the batch size: keep the constant unchanged.
            made.append(helper.make_node("Identity", node.input[:1], node.output))
            names.update(node.output)
    outputs = [onnx.ValueInfoProto(name=name) for node in made for name in node.output if name]
    if not outputs:
        return values
    graph = helper.make_graph(made, "constants", [], outputs, list(model.graph.initializer))
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    session = open_session(part.SerializeToString())
    return values | dict(zip([item.name for item in outputs], session.run(None, {}), strict=True))


def _drawing_nodes(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """Return the nodes that `output` depends on, in the graph's order."""
    wanted, kept = {OUTPUT}, []
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]
