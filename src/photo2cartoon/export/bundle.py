"""Graphs of the bundled generators, which are drawn with as they are: no export on a user's machine, and no torch.

    python -m photo2cartoon.export.bundle           after a change of networks/ or of export/graph.py

A graph has no weights of its own. It reads those of the checkpoint beside it, as ONNX's external data, and casts them to float32.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photo2cartoon import pretrained
from photo2cartoon.atomic import atomic_write
from photo2cartoon.files import sha256_of
from photo2cartoon.layout import CARTOON_GENERATOR, GRAPH
from photo2cartoon.params import Export

if TYPE_CHECKING:
    import onnx

WEIGHTS_HASH = "weights_sha256"  # in the graph's metadata: of the file that it reads
_IN_HALF = "_in_half"


def write_graph(folder: Path) -> Path:
    """Write the graph of a generator in half precision into its checkpoint's folder; the same bytes for the same weights.

    Raises:
        UserError: onnxruntime and torch differ, see `export`.
    """
    import onnx

    from photo2cartoon.export.export import export  # imports torch, which `write_whole` does not need

    target, weights = folder / GRAPH, folder / CARTOON_GENERATOR
    with tempfile.TemporaryDirectory() as temporary:
        export(Export(), folder, None, Path(temporary) / GRAPH)
        model = onnx.load(str(Path(temporary) / GRAPH))
    model.producer_version = ""  # of torch, with the name of its build
    onnx.helper.set_model_props(model, {WEIGHTS_HASH: sha256_of(weights)})
    _read_from(model, weights)
    with atomic_write(target) as partial:
        onnx.save(model, str(partial))
        onnx.checker.check_model(str(partial))
    return target


def write_whole(graph: Path, target: Path) -> None:
    """Write such a graph with its weights inside, in float32, as `export` writes graphs."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load(str(graph))
    inside = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in [node for node in model.graph.node if node.input and node.input[0].endswith(_IN_HALF)]:
        values = numpy_helper.to_array(inside[node.input[0]]).astype("float32")
        inside[node.input[0]].CopyFrom(numpy_helper.from_array(values, node.output[0]))
        model.graph.node.remove(node)
    onnx.save(model, str(target))


def _read_from(model: onnx.ModelProto, weights: Path) -> None:
    """Let a graph read its weights from a safetensors file: 8 bytes with the header's length, the header in JSON, the values."""
    from onnx import TensorProto, helper

    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict[str, Any] = json.loads(file.read(length))
    tensors, casts = [], []
    for tensor in model.graph.initializer:
        entry = header.get(tensor.name.removeprefix("generator."))
        if entry is None:
            tensors.append(tensor)
            continue
        begin, end = entry["data_offsets"]
        outside = TensorProto(name=tensor.name + _IN_HALF, data_type=TensorProto.FLOAT16, dims=tensor.dims)
        outside.data_location = TensorProto.EXTERNAL
        place = {"location": weights.name, "offset": 8 + length + begin, "length": end - begin}
        for key, value in place.items():
            outside.external_data.add(key=key, value=str(value))
        tensors.append(outside)
        casts.append(helper.make_node("Cast", [outside.name], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(tensors)
    model.graph.node.extend(nodes)


if __name__ == "__main__":
    for name in pretrained.names():
        print(write_graph(pretrained.FOLDER / name))
