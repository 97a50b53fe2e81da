"""The bundled models make cartoons without any training, and keep the person recognisable."""

import cv2
import numpy as np
import pytest
import torch

from photo2cartoon import checkpoint, pretrained
from photo2cartoon.dataset.faces import to_float
from photo2cartoon.errors import UserError
from photo2cartoon.export.adopt import adopt
from photo2cartoon.export.pretrained import pretrained_graph
from photo2cartoon.networks.face import load_face_network
from photo2cartoon.portrait import PortraitMaker, decode
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


@pytest.mark.slow
def test_a_fresh_machine_draws_without_training(p2c, weights, hopper, tmp_path):
    """One photograph is drawn in torch at once; a folder is drawn by a graph that is exported once and kept."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in/me.jpg").write_bytes(hopper.read_bytes())
    cache = tmp_path / "cache"

    def drawn(*arguments, file):
        p2c("cartoonize", *arguments, "--weights", weights, "--out", file.split("/")[0], XDG_CACHE_HOME=str(cache))
        return cv2.imread(str(tmp_path / file)).astype(int)

    first = drawn("in/me.jpg", file="a.png")
    assert first.shape == (256, 256, 3) and not list(cache.rglob("*.onnx"))
    by_graph = drawn("in", file="b/me.png")
    (graph,) = cache.rglob("*.onnx")
    made = graph.stat().st_mtime_ns
    assert np.abs(by_graph - first).max() <= 2
    later = drawn("in/me.jpg", "--model", pretrained.DEFAULT, file="c.png")
    assert (later == by_graph).all() and graph.stat().st_mtime_ns == made
    by_torch = drawn("in/me.jpg", "--checkpoint", pretrained.DEFAULT, file="d.png")
    assert (by_torch == first).all()


def test_there_is_none_of_another_name():
    with pytest.raises(UserError, match="no model of that name comes with the project; there are full, slim"):
        pretrained_graph("big")


def test_two_checkpoints_of_one_network_are_blended(trained, tmp_path):
    first, last = sorted((trained / "checkpoints").iterdir())[:2]
    adopt(last, tmp_path / "blended", first, 0.25)
    blended, a, b = (checkpoint.load_generator(path).state_dict() for path in (tmp_path / "blended", last, first))
    for name, value in blended.items():
        assert torch.allclose(value.float(), 0.75 * a[name] + 0.25 * b[name], atol=2e-3), name
    with pytest.raises(UserError, match="is another network than"):
        adopt(last, tmp_path / "wrong", pretrained.resolve("full"))
    assert not (tmp_path / "wrong").exists()
