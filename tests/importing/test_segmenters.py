"""Other projects' segmentation networks become graphs with the same output as the originals.

`data/unet_tf1.pb` is a U-Net with 7675 random weights, built by tf-keras 2.21 in TensorFlow's version 1 mode. It has
the layers of mobile U-Nets (padding, depthwise convolutions, ReLU6, squeeze and excitation, both poolings, dropout,
resizing to a computed size) and the learning-phase switches, and is frozen under the names in photo2cartoon's file.
`unet_tf1.npy` holds every fourth pixel of TensorFlow's output for a part of the astronaut. `unet_tf1.onnx` is our
conversion.
"""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from photo2cartoon.assets import catalogue
from photo2cartoon.assets.catalogue import asset_path, read_catalogue
from photo2cartoon.assets.collect import collect
from photo2cartoon.errors import UserError
from photo2cartoon.files import sha256_of
from photo2cartoon.importing import segmenters
from photo2cartoon.networks.sinet import SINet, normalise
from photo2cartoon.portrait import PortraitMaker, decode
from photo2cartoon.portrait.segment import OnnxSegmenter

DATA = Path(__file__).parent / "data"


@pytest.fixture
def part(astronaut):
    """Input picture of TensorFlow's reference output, uint8 `[384, 384, 3]`."""
    return np.ascontiguousarray(decode(astronaut)[:384, 60:444])


def apart(graph, part):
    """Return the largest difference between our mask and TensorFlow's."""
    mask = OnnxSegmenter(graph)._network(part.astype(np.float32) / 255)
    return np.abs(mask[::4, ::4, 0] - np.load(DATA / "unet_tf1.npy")).max()


def test_a_converted_graph_answers_as_tensorflow_did(part):
    assert apart(DATA / "unet_tf1.onnx", part) < 1e-4
    mask = OnnxSegmenter(DATA / "unet_tf1.onnx")(part)
    assert np.abs(mask[::4, ::4] / 255 - np.load(DATA / "unet_tf1.npy")).max() < 0.5 / 255 + 1e-4


@pytest.mark.long
def test_tensorflows_graph_is_converted_in_an_environment_of_its_own(tmp_path, part):
    segmenters.photo2cartoon(DATA / "unet_tf1.pb", tmp_path / "graph.onnx")
    assert apart(tmp_path / "graph.onnx", part) < 1e-4
    (tmp_path / "other.pb").write_bytes(b"\x08no graph")
    with pytest.raises(UserError, match=r"other\.pb: cannot be converted .*no frozen graph"):
        segmenters.photo2cartoon(tmp_path / "other.pb", tmp_path / "other.onnx")


def test_without_uv_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(UserError, match=r"unet_tf1\.pb: uv is needed .*`pip install uv`"):
        segmenters.photo2cartoon(DATA / "unet_tf1.pb", tmp_path / "graph.onnx")


def test_uvs_reason_is_told():
    told = "warning: x\nerror: No solution found\n  cause: Because tensorflow-cpu was not found\n\nhint: y\n"
    assert segmenters._reason(told) == "error: No solution found cause: Because tensorflow-cpu was not found"
    assert segmenters._reason("W0000 something\nno frozen graph of TensorFlow\n") == "no frozen graph of TensorFlow"
    assert segmenters._reason("") == "no reason given"


def test_a_graph_that_answers_differently_is_refused():
    picture = segmenters.probe(384)
    assert picture.min() == 0 and picture.max() == 1 and picture.std() > 0.15
    with pytest.raises(UserError, match="differs from the original"):
        segmenters._must_agree(Path("a.pb"), DATA / "unet_tf1.onnx", picture, np.zeros((1, 384, 384, 1), np.float32))


def test_assets_converts_what_a_user_brings_once_and_another_file_again(weights, tmp_path, monkeypatch, hopper):
    """SINet with random weights is found in the user's folder, converted, and run by `PortraitMaker`."""
    monkeypatch.delenv("P2C_WEIGHTS", raising=False)
    mine, registry, out = (tmp_path / name for name in ("mine", "registry", "out"))
    mine.mkdir()
    registry.mkdir()
    for name in ("mediapipe_detector", "mediapipe_mesh", "selfie_segmentation"):
        (registry / read_catalogue()[name].file).symlink_to(asset_path(name, weights))
    torch.manual_seed(0)
    network = SINet()
    torch.save(network.state_dict(), mine / "SINet.pth")
    entry = read_catalogue()["sinet"]
    entry = dataclasses.replace(entry, sha256=sha256_of(mine / entry.file))
    known = {**read_catalogue(), "sinet": entry}
    monkeypatch.setattr(catalogue, "read_catalogue", lambda *_: known)

    def wanted():
        return [known[name] for name in ("mediapipe_detector", "mediapipe_mesh", "selfie_segmentation", "sinet")]

    assert collect(out, registry, wanted())[-1][1] == "absent"
    with pytest.raises(UserError, match=r"SINet\.pth: missing; no package registry has it.*assets\.folder"):
        PortraitMaker.from_weights(out, segmentation="sinet")
    shutil.copy(mine / "SINet.pth", out)
    with pytest.raises(UserError, match=r"SINet-\w{10}\.onnx: missing; `p2c assets"):
        PortraitMaker.from_weights(out, segmentation="sinet")

    assert collect(out, registry, wanted())[-1][1] == "kept"
    graph = out / f"SINet-{entry.sha256[:10]}.onnx"
    written = graph.stat().st_mtime_ns
    collect(out, registry, wanted())
    assert graph.stat().st_mtime_ns == written
    assert b"site-packages" not in graph.read_bytes()  # no path of the machine that made it

    picture = torch.rand(1, 3, 224, 224)
    with torch.inference_mode():
        expected = network.eval()(normalise(picture)).softmax(1)[0, 1]
    segmenter = PortraitMaker.from_weights(out, segmentation="sinet").segmenter
    got = segmenter._network(picture[0].permute(1, 2, 0).numpy())[:, :, 0]
    assert np.abs(got - expected.numpy()).max() < 1e-5
    rgb = decode(hopper)
    assert segmenter(rgb).shape == rgb.shape[:2]

    known["sinet"] = dataclasses.replace(entry, sha256="0" * 64)  # another file is expected: the old graph is not run
    with pytest.raises(UserError, match="refused"):
        PortraitMaker.from_weights(out, segmentation="sinet")


def test_what_is_no_sinet_is_named(tmp_path):
    torch.save({"weight": torch.zeros(3)}, tmp_path / "SINet.pth")
    with pytest.raises(UserError, match=r"SINet\.pth: not SINet's state dict"):
        segmenters.sinet(tmp_path / "SINet.pth", tmp_path / "graph.onnx")
