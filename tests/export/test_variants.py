"""fp16 and int8 graphs are smaller, within their tolerance of fp32, and leave the norms in fp32."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from photo2cartoon.errors import UserError
from photo2cartoon.export.export import export, real_portraits
from photo2cartoon.export.graph import PortraitToCartoon, write_onnx
from photo2cartoon.export.variants import TOLERANCES, to_half, to_int8
from photo2cartoon.networks.generator import Generator
from photo2cartoon.params import Export
from photo2cartoon.serving.session import draw, open_session


@pytest.fixture(scope="module")
def graphs(faces, tmp_path_factory):
    """The same generator as fp32, fp16 and int8 graphs, and the portraits."""
    folder = tmp_path_factory.mktemp("variants")
    torch.manual_seed(0)
    write_onnx(
        PortraitToCartoon(Generator(16, 128, hourglasses=False, blocks=2)), folder / "fp32.onnx", {"step": "7"}, 18
    )
    portraits = real_portraits(faces, 6)
    to_half(folder / "fp32.onnx", folder / "fp16.onnx")
    to_int8(folder / "fp32.onnx", folder / "int8.onnx", portraits)
    return folder, portraits


def kinds(path):
    model = onnx.load(path)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return model, types


@pytest.mark.parametrize(("variant", "share"), [("fp16", 0.75), ("int8", 0.55)])
def test_they_are_smaller_and_draw_the_same(graphs, variant, share):
    folder, portraits = graphs
    full, other = (open_session(folder / f"{name}.onnx") for name in ("fp32", variant))
    expected, got = (draw(session, portraits).astype(int) for session in (full, other))
    gap = np.abs(expected - got)
    assert gap.max() > 0 or variant == "fp16"
    assert gap.mean() <= TOLERANCES[variant].mean and gap.max() <= TOLERANCES[variant].largest
    sizes = [(folder / f"{name}.onnx").stat().st_size for name in (variant, "fp32")]
    assert sizes[0] < share * sizes[1]
    model, _ = kinds(folder / f"{variant}.onnx")
    assert {item.key: item.value for item in model.metadata_props} == {"step": "7"}


def test_half_is_the_convolutions(graphs):
    model, types = kinds(graphs[0] / "fp16.onnx")
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions and all(types[node.input[1]] == TensorProto.FLOAT16 for node in convolutions)
    others = {name for node in model.graph.node if node.op_type != "Conv" for name in node.input}
    assert TensorProto.FLOAT16 not in {types[name] for name in others if name in types}


def test_eight_bits_are_by_channel_and_not_for_norms(graphs):
    model, types = kinds(graphs[0] / "int8.onnx")
    scales = {node.output[0]: node for node in model.graph.node if node.op_type == "DequantizeLinear"}
    sizes = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    quantised = [node for node in convolutions if node.input[1] in scales]
    assert len(quantised) == len(convolutions) - 2
    for node in quantised:
        weight = scales[node.input[1]]
        assert types[weight.input[0]] == TensorProto.INT8 and sizes[weight.input[1]] == sizes[weight.input[0]][:1]
    norms = [node for node in model.graph.node if node.op_type == "InstanceNormalization"]
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    assert norms and not any(made_by[node.output[0]].endswith("QuantizeLinear") for node in norms)


def test_the_gate_knows_what_each_is_allowed(checkpoint, faces, tmp_path):
    report = tmp_path / "parity.json"
    export(
        Export(variant="int8", max_mean_difference=20, max_difference=255),
        checkpoint,
        faces,
        tmp_path / "g.onnx",
        report,
    )
    told = json.loads(report.read_text())
    assert told["metadata"]["variant"] == "int8" and told["mean_difference"] > 0.01
    with pytest.raises(UserError, match=r"g2\.onnx: not written: .* allowed are 0\.0001 and 60"):
        export(Export(variant="int8", max_mean_difference=0.0001), checkpoint, faces, tmp_path / "g2.onnx")
    assert not (tmp_path / "g2.onnx").exists()
