"""The graph keeps its contract and equals torch on real portraits, or is not written."""

import json
import shutil
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch

from photo2cartoon.errors import UserError
from photo2cartoon.export import export as module
from photo2cartoon.export.export import real_portraits
from photo2cartoon.export.graph import PortraitToCartoon, stylize, write_onnx
from photo2cartoon.networks.generator import Generator
from photo2cartoon.params import Export
from photo2cartoon.serving.session import draw, open_session
from tests.conftest import ROOT, noise


@pytest.fixture(scope="module")
def exported(trained, faces, tmp_path_factory):
    """Export with the command line, as a user does; returns the folder and the printed output."""
    folder = tmp_path_factory.mktemp("export")
    command = [sys.executable, "-m", "photo2cartoon", "export", "--checkpoint", trained / "checkpoints/step-000004"]
    command += ["--out", "g.onnx", "--data", faces, "--report", "parity.json"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return folder, done.stdout


def test_the_contract(exported):
    graph = onnx.load(str(exported[0] / "g.onnx"))
    portrait, colour = graph.graph.input
    (cartoon,) = graph.graph.output
    assert colour.name == "colour" and colour.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    for value, name, channels in ((portrait, "portrait", 4), (cartoon, "cartoon", 3)):
        dims = value.type.tensor_type.shape.dim
        assert value.name == name and value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert dims[0].dim_param and dims[3].dim_value == channels
        assert dims[1].dim_param == dims[2].dim_param == "64*side"
    metadata = {item.key: item.value for item in graph.metadata_props}
    assert {"mlflow_version", "git_commit", "data_sha256", "step"} <= set(metadata)
    assert metadata["step"] == "4"
    # The file is mostly weights and reveals nothing about the machine that made it.
    data = (exported[0] / "g.onnx").read_bytes()
    assert b".py" not in data and str(ROOT).encode() not in data


def test_it_draws_what_torch_draws(exported):
    folder, told = exported
    report = json.loads((folder / "parity.json").read_text())
    assert report["passed"] and report["portraits"] == 6
    assert report["mean_difference"] < 0.05 and report["max_difference"] <= 1
    assert told.startswith("g.onnx: differs from torch by 0.0")
    assert sorted(path.name for path in folder.iterdir()) == ["g.onnx", "parity.json", "parity.png"]


def test_any_number_of_portraits(exported):
    session = open_session(exported[0] / "g.onnx")
    portraits = noise(5, 256, 256, 4)
    together = draw(session, portraits)
    assert together.shape == (5, 256, 256, 3) and together.dtype == np.uint8
    alone = np.concatenate([draw(session, one[None]) for one in portraits])
    assert np.abs(together.astype(int) - alone).max() <= 1


@pytest.mark.parametrize(
    ("trained", "light", "drawn_at"),
    [
        pytest.param(256, True, {256: 256, 320: 320, 512: 512}, marks=pytest.mark.slow),
        (128, True, {256: 128, 512: 256}),
        pytest.param(192, True, {256: 192, 512: 384}, marks=pytest.mark.slow),
        pytest.param(144, True, {256: 144, 512: 144}, marks=pytest.mark.slow),
        pytest.param(512, True, {256: 512, 512: 512}, marks=pytest.mark.slow),
        pytest.param(128, False, {256: 128, 512: 128}, marks=pytest.mark.slow),
    ],
)
def test_portraits_of_any_size(tmp_path, trained, light, drawn_at):
    """A light generator draws larger portraits in proportion; others draw at their own size. The graph equals torch."""
    torch.manual_seed(0)
    model = PortraitToCartoon(Generator(4, trained, light=light, hourglasses=False, blocks=1))
    write_onnx(model, tmp_path / "g.onnx", {}, 18)
    session = open_session(tmp_path / "g.onnx")
    sizes = []
    model.generator.register_forward_pre_hook(lambda _, given: sizes.append(given[0].shape[-1]))
    for size in drawn_at:
        portrait = noise(1, size, size, 4)
        got = draw(session, portrait)
        assert got.shape == (1, size, size, 3) and np.abs(got.astype(int) - stylize(model, portrait)).max() <= 1
    assert dict(zip(drawn_at, sizes, strict=True)) == drawn_at


@pytest.mark.parametrize("size", [128, 256])
def test_the_background_is_white_and_the_maths_is_the_training_sets(size):
    torch.manual_seed(0)
    generator = Generator(4, size)
    model = PortraitToCartoon(generator)
    portrait = noise(1, 256, 256, 4)
    portrait[:, :100, :, 3], portrait[:, 100:, :, 3] = 0, 255
    got = stylize(model, portrait, 0.0)
    assert (got[:, :100] == 255).all()
    assert got[:, 100:].std() > 1
    rgb = portrait[..., :3].astype(np.float64)
    rgb[:, :100] = 255
    if size == 128:
        rgb = np.rint(rgb.reshape(1, 128, 2, 128, 2, 3).mean(axis=(2, 4)))
    with torch.inference_mode():
        drawn = generator(torch.from_numpy(rgb).permute(0, 3, 1, 2).float() / 127.5 - 1).image
    drawn = torch.nn.functional.interpolate((drawn + 1) * 127.5, size=(256, 256), mode="bilinear", align_corners=False)
    expected = drawn.permute(0, 2, 3, 1).numpy()[:, 100:]
    assert np.abs(got[:, 100:] - expected).max() <= 0.51


def test_a_graph_that_differs_is_not_written(exported, trained, faces, tmp_path, monkeypatch):
    # Another checkpoint's graph stands for any export that goes wrong.
    monkeypatch.setattr(module, "write_onnx", lambda _, path, *__: shutil.copy(exported[0] / "g.onnx", path))
    with pytest.raises(UserError, match=r"g\.onnx: not written: onnxruntime and torch differ by"):
        module.export(
            Export(), trained / "checkpoints/step-000002", faces, tmp_path / "g.onnx", tmp_path / "parity.json"
        )
    assert list(tmp_path.iterdir()) == []


def test_without_a_dataset_it_is_still_a_real_portrait():
    portraits = real_portraits(None, 8)
    assert portraits.shape == (1, 256, 256, 4) and portraits[..., :3].std() > 40


def test_a_missing_checkpoint_is_named(p2c, tmp_path):
    done = p2c("export", "--checkpoint", "nowhere", "--out", "x.onnx", code=1)
    assert done.stderr.splitlines()[-1] == "p2c: nowhere: no such checkpoint folder"
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_is_not_there_is_named(p2c):
    for number in (0, 99):
        done = p2c("export", "--version", number, code=1)
        assert f"has no version {number} of 'photo2cartoon'; `p2c versions` lists them" in done.stderr.splitlines()[-1]
