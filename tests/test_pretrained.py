"""The bundled models make cartoons without any training, and keep the person recognisable."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch

from photo2cartoon import checkpoint, pretrained
from photo2cartoon.cartoonize.stylize import by_onnxruntime, by_torch
from photo2cartoon.dataset.faces import to_float
from photo2cartoon.errors import UserError
from photo2cartoon.export.adopt import adopt
from photo2cartoon.export.bundle import WEIGHTS_HASH, write_graph, write_whole
from photo2cartoon.files import sha256_of
from photo2cartoon.layout import CARTOON_GENERATOR, GRAPH
from photo2cartoon.networks.face import load_face_network
from photo2cartoon.portrait import Photograph, PortraitMaker, decode
from photo2cartoon.portrait.background import on_white


def test_they_are_there_and_small():
    assert pretrained.DEFAULT in pretrained.names() and {"full", "slim"} <= set(pretrained.names())
    assert sum(path.stat().st_size for path in pretrained.FOLDER.rglob("*") if path.is_file()) < 20e6
    for name in pretrained.names():
        assert checkpoint.read_card(pretrained.resolve(name)).networks == ("genA2B",)


@pytest.mark.parametrize("name", pretrained.names())
def test_it_draws_a_cartoon_of_that_person(name, weights, hopper, astronaut):
    """The cartoons are flatter than the photographs, and each face matches its own person better than the other."""
    maker, face = PortraitMaker.from_weights(weights), load_face_network("dlib", weights)
    photos = [torch.from_numpy(on_white(maker(decode(path)).rgba)).permute(2, 0, 1) for path in (hopper, astronaut)]
    generator = checkpoint.load_generator(name)
    with torch.no_grad():
        drawings = generator(to_float(torch.stack(photos))).image
        likeness = face.features(drawings) @ face.features(to_float(torch.stack(photos))).T
    assert likeness.diagonal().min() > 0.8
    assert (likeness.diagonal() > likeness.flip(1).diagonal()).all()
    cartoons = ((drawings + 1) * 127.5).round().clamp(0, 255).byte()
    assert (to_float(cartoons) - to_float(torch.stack(photos))).abs().mean() > 0.15

    def flat(pictures):
        greys = [cv2.cvtColor(picture.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2GRAY) for picture in pictures]
        return np.mean([(np.abs(cv2.Laplacian(grey, cv2.CV_64F)) < 4).mean() for grey in greys])

    assert flat(cartoons) > flat(photos)


@pytest.mark.parametrize("name", pretrained.names())
def test_its_graph_draws_what_torch_draws(name, weights, hopper):
    """At both sizes and strengths; the graph reads its weights from the checkpoint, so it has to be of this file."""
    metadata = {item.key: item.value for item in onnx.load(pretrained.graph(name)).metadata_props}
    assert metadata[WEIGHTS_HASH] == sha256_of(pretrained.FOLDER / name / CARTOON_GENERATOR)
    by_graph, in_torch = by_onnxruntime(pretrained.graph(name)), by_torch(Path(name))
    maker, photo = PortraitMaker.from_weights(weights), Photograph(hopper)
    for size, colour in ((256, 0.9), (512, 0.0)):
        portrait = maker.of(photo, size=size).rgba[None]
        one, other = (draw(portrait, colour).astype(int) for draw in (by_graph, in_torch))
        assert one.std() > 20 and np.abs(one - other).max() <= 2


@pytest.mark.slow
def test_its_graph_is_what_is_exported_now(tmp_path):
    """Of slim, in a quarter of the time of full; both are written together."""
    folder = tmp_path / "slim"
    shutil.copytree(pretrained.FOLDER / "slim", folder)
    written = (folder / GRAPH).read_bytes()
    assert write_graph(folder).read_bytes() == written, "run `python -m photo2cartoon.export.bundle`"


def test_its_graph_with_the_weights_inside_draws_the_same(tmp_path, weights, hopper):
    write_whole(pretrained.graph("slim"), tmp_path / "whole.onnx")
    portrait = PortraitMaker.from_weights(weights).of(Photograph(hopper)).rgba[None]
    whole, apart = (by_onnxruntime(path)(portrait) for path in (tmp_path / "whole.onnx", pretrained.graph("slim")))
    assert (whole == apart).all()
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / "whole.onnx").graph.initializer}
    assert onnx.TensorProto.FLOAT16 not in kinds


def test_a_fresh_machine_draws_without_training_and_without_torch(weights, hopper, tmp_path):
    """A photograph and a folder, by the bundled graph. Nothing is exported or kept, not by onnxruntime's telemetry either."""
    (tmp_path / "in").mkdir()
    shutil.copy(hopper, tmp_path / "in/me.jpg")
    code = "import sys; sys.modules['torch'] = None; from photo2cartoon.cli import main; main()"
    for source, out in (("in/me.jpg", "me.png"), ("in", "out")):
        given = ["cartoonize", source, "--weights", str(weights), "--out", out]
        # Nothing that would turn it off, as CI's variables do.
        environment = {"PATH": os.environ["PATH"], "XDG_CACHE_HOME": str(tmp_path / "cache")}
        subprocess.run([sys.executable, "-c", code, *given], cwd=tmp_path, env=environment, check=True)
    one, other = (cv2.imread(str(tmp_path / name)) for name in ("me.png", "out/me.png"))
    assert one.shape == (256, 256, 3) and (one == other).all() and not (tmp_path / "cache").exists()


def test_there_is_none_of_another_name():
    with pytest.raises(UserError, match="no model of that name comes with the project; there are full, slim"):
        pretrained.graph("big")


def test_two_checkpoints_of_one_network_are_blended(trained, tmp_path):
    first, last = sorted((trained / "checkpoints").iterdir())[:2]
    adopt(last, tmp_path / "blended", first, 0.25)
    blended, a, b = (checkpoint.load_generator(path).state_dict() for path in (tmp_path / "blended", last, first))
    for name, value in blended.items():
        assert torch.allclose(value.float(), 0.75 * a[name] + 0.25 * b[name], rtol=1e-3, atol=1e-7), name
    with pytest.raises(UserError, match="is another network than"):
        adopt(last, tmp_path / "wrong", pretrained.resolve("full"))
    assert not (tmp_path / "wrong").exists()
