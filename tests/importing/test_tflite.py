"""MediaPipe's networks have the same output as graphs as in LiteRT."""

import cv2
import flatbuffers
import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.errors import UserError
from photo2cartoon.importing import tflite
from photo2cartoon.portrait import decode
from photo2cartoon.portrait.litert import Network
from photo2cartoon.serving.session import open_session

# Of the largest value of an output: logits and places up to 200, shares up to 1. Measured: 4e-6; of shares 8e-5.


@pytest.mark.parametrize(
    ("name", "low"), [("mediapipe_detector", -1), ("mediapipe_mesh", 0), ("selfie_segmentation", 0)]
)
def test_it_answers_as_litert_does_about_a_face(weights, astronaut, tmp_path, name, low):
    source = find_asset(name, weights)
    tflite.to_onnx(source, tmp_path / "graph.onnx")
    network, session = Network(source), open_session(tmp_path / "graph.onnx")
    rgb = decode(astronaut)
    for crop in (rgb, rgb[20:220, 120:320], np.rot90(rgb)):
        small = cv2.resize(crop, (network.side, network.side), interpolation=cv2.INTER_AREA)
        picture = (small / 255 * (1 - low) + low).astype(np.float32)
        got, expected = session.run(None, {"picture": picture[None]}), network(picture)
        assert [each.shape for each in got] == [(1, *each.shape) for each in expected]
        for one, other in zip(got, expected, strict=True):
            assert np.abs(one[0] - other).max() < tflite.TOLERANCE * np.abs(other).max()


def test_weights_stay_in_half_precision_and_zeros_come_back(weights, tmp_path):
    source = find_asset("mediapipe_detector", weights)
    tflite.to_onnx(source, tmp_path / "graph.onnx")
    initializers = onnx.load(tmp_path / "graph.onnx").graph.initializer
    halves = [onnx.numpy_helper.to_array(each) for each in initializers if each.data_type == TensorProto.FLOAT16]
    assert sum(each.size for each in halves) > 400_000
    assert 0.3 < np.mean(np.concatenate([each.ravel() for each in halves if each.ndim == 4]) == 0) < 0.8


def test_what_it_does_not_know_is_refused(weights, tmp_path):
    source = find_asset("selfie_segmentation", weights)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(source.read_bytes(), 0))
    code = next(code for code in model.operatorCodes if code.builtinCode == schema.BuiltinOperator.LOGISTIC)
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.TANH
    builder = flatbuffers.Builder(1 << 20)
    builder.Finish(model.Pack(builder), b"TFL3")
    other = tmp_path / "other.tflite"
    other.write_bytes(bytes(builder.Output()))
    with pytest.raises(UserError, match=r"other\.tflite: its operator TANH is not known here"):
        tflite.to_onnx(other, tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.onnx").exists()


def test_a_graph_that_differs_is_refused(weights, tmp_path, monkeypatch):
    monkeypatch.setattr(tflite, "TOLERANCE", 0.0)
    with pytest.raises(
        UserError, match=r"face_landmark\.tflite: the converted graph differs from LiteRT by .*: refused"
    ):
        tflite.to_onnx(find_asset("mediapipe_mesh", weights), tmp_path / "graph.onnx")
    assert not (tmp_path / "graph.onnx").exists()
