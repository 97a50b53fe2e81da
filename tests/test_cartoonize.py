"""`p2c cartoonize` draws a file or a folder, by torch or onnxruntime, and says in a sentence what it cannot."""

import shutil

import cv2
import numpy as np
import pytest

from photo2cartoon.cartoonize import make_drawer
from photo2cartoon.errors import UserError
from photo2cartoon.export.graph import PortraitToCartoon, write_onnx
from photo2cartoon.params import Portrait
from photo2cartoon.training.checkpoint import load_generator
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def graph(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "model.onnx"
    write_onnx(PortraitToCartoon(load_generator(trained / "checkpoints/step-000004")), path, {}, 18)
    return path


def test_torch_and_onnxruntime_draw_the_same(graph, checkpoint, weights, hopper):
    drawings = []
    for how in ((checkpoint, None), (None, graph)):
        drawer = make_drawer(*how, None, weights, Portrait(), ROOT / "triton_repo")
        png = np.frombuffer(drawer(hopper.read_bytes()), np.uint8)
        drawings.append(cv2.imdecode(png, cv2.IMREAD_COLOR).astype(int))
    assert drawings[0].shape == (256, 256, 3) and drawings[0].std() > 5
    assert np.abs(drawings[0] - drawings[1]).max() <= 1


def test_a_folder_keeps_its_shape_and_its_failures_are_named(p2c, graph, weights, hopper, tmp_path):
    (tmp_path / "in/deep").mkdir(parents=True)
    shutil.copy(hopper, tmp_path / "in/deep/grace.jpg")
    (tmp_path / "in/bad.jpg").write_text("no picture")
    done = p2c("cartoonize", "in", "--model", graph, "--weights", weights, "--out", "out")
    assert done.stdout == "out: drawn; 1 could not be\n"
    assert "in/bad.jpg: unreadable: not a picture of a known format" in done.stderr
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.glob("out/**/*.*")] == ["out/deep/grace.png"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_name_decides_the_format(p2c, graph, weights, hopper, tmp_path, suffix):
    p2c("cartoonize", hopper, "--model", graph, "--weights", weights, "--out", f"out.{suffix}")
    head = (tmp_path / f"out.{suffix}").read_bytes()[:12]
    assert {"png": b"PNG", "jpg": b"\xff\xd8\xff", "webp": b"WEBP"}[suffix] in head


def test_what_cannot_be_done_is_a_sentence(p2c, graph, weights, hopper, tmp_path):
    (tmp_path / "bad.onnx").write_text("no graph")
    (tmp_path / "empty").mkdir()
    shutil.copytree(ROOT / "triton_repo/photo2cartoon", tmp_path / "repository/generator")
    given = ["--weights", weights, "--repository", "repository", "--out", "out.png"]
    for arguments, reason in (
        (["nowhere.jpg", "--model", graph], "nowhere.jpg: no such picture or folder"),
        (["empty", "--model", graph], "empty: holds no pictures"),
        ([hopper, "--model", "nowhere.onnx"], "nowhere.onnx: no such model"),
        ([hopper, "--model", "bad.onnx"], "bad.onnx: not a readable ONNX graph"),
        (
            [hopper, "--model", graph, "--server", "127.0.0.1:1"],
            "cartoonize: --checkpoint, --model and --server exclude",
        ),
        ([hopper, "--checkpoint", "empty"], "empty/checkpoint.json: no such file; this folder is not a checkpoint"),
        ([hopper], "cartoonize: there is no promoted model yet"),
    ):
        done = p2c("cartoonize", *arguments, *given, code=1)
        assert done.stderr.startswith(f"p2c: {reason}"), done.stderr
        assert len(done.stderr.splitlines()) == 1
    done = p2c("cartoonize", hopper, "--model", graph, "--weights", weights, "--out", "out.txt", code=1)
    assert done.stderr == "p2c: out.txt: name ends in '.txt', known are .png, .jpg, .jpeg, .webp\n"
    assert not (tmp_path / "out.png").exists()


def test_two_choices_at_once(weights, graph, checkpoint):
    with pytest.raises(UserError, match="exclude"):
        make_drawer(checkpoint, graph, None, weights, Portrait(), ROOT / "triton_repo")
