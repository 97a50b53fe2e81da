"""face-alignment takes dlib's place when its weights are in the folder."""

import hashlib

import numpy as np
import pytest
import torch

from photo2cartoon import assets
from photo2cartoon.portrait import PortraitMaker, decode


@pytest.fixture
def fan_weights(weights, tmp_path, monkeypatch):
    """A weights folder with 2D-FAN-4 in it; random, because no registry carries the trained one."""
    from face_alignment.models import FAN

    entry = assets.catalogue()["face_alignment_2dfan4"]
    for path in weights.iterdir():
        (tmp_path / path.name).symlink_to(path)
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / entry.file)
    known = assets.catalogue()
    sha256 = hashlib.sha256((tmp_path / entry.file).read_bytes()).hexdigest()
    known["face_alignment_2dfan4"] = assets.Asset(**{**vars(entry), "sha256": sha256})
    monkeypatch.setattr(assets, "catalogue", lambda *_: known)
    return tmp_path


def test_face_alignment_finds_its_weights_there_and_nowhere_else(fan_weights, hopper, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("face-alignment went to fetch something")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    finder = PortraitMaker.from_weights(fan_weights, landmarks="face-alignment").finder
    dlib = PortraitMaker.from_weights(fan_weights).finder
    rgb = decode(hopper)
    (face,), (expected,) = finder(rgb), dlib(rgb)
    assert face.points.shape == (68, 2) and np.isfinite(face.points).all()
    # Untrained, it puts points anywhere in the box it was given: that is where dlib sees the face.
    low, high = expected.points.min(0), expected.points.max(0)
    assert ((face.points > low - 2 * (high - low)) & (face.points < high + 2 * (high - low))).all()
    assert finder(np.full((300, 300, 3), 255, np.uint8)) == []
