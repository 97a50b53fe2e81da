"""Writes into a graph what each answer tells about it: its version, and the photographs that it was trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photo2cartoon.portrait.numbers import QUANTILES, REFUSED, SUMMARISED
from photo2cartoon.serving.session import INPUTS

if TYPE_CHECKING:
    import onnx

SUMMARY = "training_photographs"  # metadata of a graph: what `dataset.summary.summarise` returned, as JSON
# The values of the output `training`, in order: number and quantile; the last is the share of refused photographs.
TRAINING = tuple((number, quantile) for number in SUMMARISED for quantile in QUANTILES)
STAMPED = VERSION, TRAINING_OUTPUT = "version", "training"  # the outputs
_PREFIX = "photo2cartoon_"


def stamp(graph: Path, version: int, out: Path) -> None:
    """Add constant outputs to a graph from `portrait` `[N, S, S, 4]`, or change their values.

    `version`, int32 `[N, 1]`, is the number of the version. `training`, float32 `[N, len(TRAINING) + 1]`, has what the
    graph's metadata say about the photographs of its training; NaN is unknown.

    Args:
        graph: an ONNX graph.
        version: the number, which is the version's in MLflow.
        out: receives the graph; the same bytes for the same graph and number.

    Raises:
        ValueError: the graph does not take `INPUTS`.
    """
    import onnx

    model = onnx.load(str(graph))
    inputs = [value.name for value in model.graph.input]
    if inputs != INPUTS:
        raise ValueError(f"the graph takes {', '.join(inputs)}, not {', '.join(INPUTS)}")
    texts = {item.key: item.value for item in model.metadata_props}
    _set_output(model, VERSION, np.array([[version]], np.int32))
    _set_output(model, TRAINING_OUTPUT, _training(json.loads(texts.get(SUMMARY, "{}"))))
    onnx.save(model, str(out))


def is_stamped(graph: Path) -> bool:
    """Return whether a graph has the outputs of `stamp`; it is not parsed."""
    data = graph.read_bytes()
    return all((_PREFIX + output).encode() in data for output in STAMPED)


def _training(summary: dict[str, Any]) -> np.ndarray:
    values = {number: dict(zip(QUANTILES, summary.get(number, ()), strict=False)) for number in SUMMARISED}
    row = [values[number].get(quantile, np.nan) for number, quantile in TRAINING]
    return np.array([[*row, summary.get(REFUSED, np.nan)]], np.float32)


def _set_output(model: onnx.ModelProto, name: str, row: np.ndarray) -> None:
    """Make a graph return a row for each portrait."""
    from onnx import helper, numpy_helper

    own = _PREFIX + name
    constant = numpy_helper.from_array(row, own)
    there = [value for value in model.graph.initializer if value.name == own]
    if there:
        there[0].CopyFrom(constant)
        return
    width = numpy_helper.from_array(np.array(row.shape[1:], np.int64), f"{own}_width")
    model.graph.initializer.extend([constant, width])
    model.graph.node.extend(
        [
            helper.make_node("Shape", ["portrait"], [f"{own}_rows"], start=0, end=1),
            helper.make_node("Concat", [f"{own}_rows", width.name], [f"{own}_shape"], axis=0),
            helper.make_node("Expand", [own, f"{own}_shape"], [name]),
        ]
    )
    portrait = next(value for value in model.graph.input if value.name == "portrait")
    rows = portrait.type.tensor_type.shape.dim[0].dim_param or "N"
    model.graph.output.append(helper.make_tensor_value_info(name, constant.data_type, [rows, row.shape[1]]))
