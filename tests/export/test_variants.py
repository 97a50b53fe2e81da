"""Graphs in other precisions are smaller, within their tolerances of fp32, and leave the norms in fp32."""

import json

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from photo2cartoon.errors import UserError
from photo2cartoon.export.export import export, real_portraits
from photo2cartoon.export.graph import PortraitToCartoon, write_onnx
from photo2cartoon.export.variants import EIGHT_BITS, TOLERANCES, to_eight_bits, to_half
from photo2cartoon.networks.generator import Generator
from photo2cartoon.params import Export
from photo2cartoon.serving.session import draw, open_session


@pytest.fixture(scope="module")
def graphs(faces, tmp_path_factory):
    """The same generator as fp32 and fp16 graphs, and the portraits."""
    folder = tmp_path_factory.mktemp("variants")
    torch.manual_seed(0)
    write_onnx(
        PortraitToCartoon(Generator(16, 128, hourglasses=False, blocks=2)), folder / "fp32.onnx", {"step": "7"}, 18
    )
    portraits = real_portraits(faces, 6)
    to_half(folder / "fp32.onnx", folder / "fp16.onnx")
    return folder, portraits


@pytest.fixture
def traced(traced_once):
    with traced_once():
        yield


def kinds(path):
    model = onnx.load(path)
    types = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return model, types


def test_it_is_smaller_and_draws_the_same(graphs):
    folder, portraits = graphs
    full, other = (open_session(folder / f"{name}.onnx") for name in ("fp32", "fp16"))
    expected, got = (draw(session, portraits).astype(int) for session in (full, other))
    gap = np.abs(expected - got)
    assert gap.mean() <= TOLERANCES["fp16"].mean and gap.max() <= TOLERANCES["fp16"].largest
    sizes = [(folder / f"{name}.onnx").stat().st_size for name in ("fp16", "fp32")]
    assert sizes[0] < 0.75 * sizes[1]
    model, _ = kinds(folder / "fp16.onnx")
    assert {item.key: item.value for item in model.metadata_props} == {"step": "7"}


def test_half_is_the_convolutions(graphs):
    model, types = kinds(graphs[0] / "fp16.onnx")
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    assert convolutions and all(types[node.input[1]] == TensorProto.FLOAT16 for node in convolutions)
    others = {name for node in model.graph.node if node.op_type != "Conv" for name in node.input}
    assert TensorProto.FLOAT16 not in {types[name] for name in others if name in types}


def test_weights_in_8_bits_are_a_quarter_and_draw_the_same(graphs, tmp_path):
    folder, portraits = graphs
    to_eight_bits(folder / "fp32.onnx", tmp_path / "small.onnx")
    expected, got = (
        draw(open_session(path), portraits).astype(int) for path in (folder / "fp32.onnx", tmp_path / "small.onnx")
    )
    gap = np.abs(expected - got)
    assert gap.mean() <= EIGHT_BITS.mean and gap.max() <= EIGHT_BITS.largest
    model, types = kinds(tmp_path / "small.onnx")
    before = {tensor.name: tensor for tensor in onnx.load(folder / "fp32.onnx").graph.initializer}
    weights = [node.input[0] for node in model.graph.node if node.op_type == "DequantizeLinear"]
    assert {before[name].data_type for name in weights} == {TensorProto.FLOAT}
    assert {types[name] for name in weights} == {TensorProto.INT8}
    large = {name for name, tensor in before.items() if np.prod(tensor.dims) > 1000}
    assert large == {name for name in weights if name in large}  # nothing of any size is left
    assert {item.key: item.value for item in model.metadata_props} == {"step": "7"}
    for name in weights:
        scale = onnx.numpy_helper.to_array(
            next(each for each in model.graph.initializer if each.name == f"{name}_scale")
        )
        whole = onnx.numpy_helper.to_array(next(each for each in model.graph.initializer if each.name == name))
        restored = whole * scale.reshape(-1, *[1] * (whole.ndim - 1))
        assert np.all(np.abs(restored - onnx.numpy_helper.to_array(before[name])) <= 0.501 * scale.max())


@pytest.mark.usefixtures("traced")
def test_the_gate_knows_what_each_is_allowed(checkpoint, faces, tmp_path):
    report = tmp_path / "parity.json"
    export(Export(variant="fp16"), checkpoint, faces, tmp_path / "g.onnx", report)
    told = json.loads(report.read_text())
    assert told["metadata"]["variant"] == "fp16"
    with pytest.raises(UserError, match=r"g2\.onnx: not written: .* allowed are -1\.0 and 4"):
        export(
            Export.model_construct(variant="fp16", max_mean_difference=-1.0), checkpoint, faces, tmp_path / "g2.onnx"
        )
    assert not (tmp_path / "g2.onnx").exists()
