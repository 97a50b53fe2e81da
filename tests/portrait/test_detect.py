"""Every detector finds the face in real photographs; face-alignment's detectors read weights only from the folder."""

import cv2
import numpy as np
import pytest

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.portrait import decode
from photo2cartoon.portrait.detect import BlazeFace, Sfd
from photo2cartoon.portrait.models import DETECTORS
from tests.conftest import needs


@pytest.fixture(scope="module", params=["hog", "mmod", "blazeface"])
def detector(weights, request):
    entry = DETECTORS[request.param]
    needs(weights, *entry.assets)
    return entry.build([find_asset(name, weights) for name in entry.assets], threads=1)


@pytest.fixture(autouse=True)
def nothing_is_fetched(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("face-alignment went to fetch something")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)


FACES = {"astronaut": (172, 72, 276, 178), "hopper": (164, 140, 370, 350)}  # HOG's boxes, within a few pixels


def share(a, b):
    """Intersection over union of two boxes."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


@pytest.mark.parametrize("photo", FACES)
def test_a_face_is_found_where_it_is(detector, photo, request):
    ((box,),) = detector(decode(request.getfixturevalue(photo)))
    assert share(box.edges, FACES[photo]) > 0.55
    assert box.score > 0


def test_boxes_are_in_pixels_of_the_picture_whatever_its_shape(detector, hopper):
    rgb = decode(hopper)
    large = cv2.resize(rgb, None, fx=2.5, fy=2.5, interpolation=cv2.INTER_CUBIC)
    # The face is at the right edge of a wide picture; a square crop from the middle or the left would miss it.
    wide = cv2.copyMakeBorder(large, 0, 0, 700, 0, cv2.BORDER_CONSTANT, value=(200, 200, 200))
    ((box,),) = detector(wide)
    left, top, right, bottom = (2.5 * edge for edge in FACES["hopper"])
    assert share(box.edges, (left + 700, top, right + 700, bottom)) > 0.55


def test_nothing_is_found_where_nothing_is(detector):
    assert detector(np.full((300, 200, 3), 255, np.uint8)) in ([], [[]])


def test_only_hogs_boxes_are_taken_for_hogs(detector, hopper):
    ((box,),) = detector(decode(hopper))
    assert box.of_hog == (type(detector).__name__ == "Hog")


def test_sfd_takes_the_file_it_is_given(tmp_path):
    import torch
    from face_alignment.detection.sfd.net_s3fd import s3fd

    # Random weights, because no registry has the trained ones; small, because untrained it fires at every pixel.
    torch.manual_seed(0)
    state = s3fd().state_dict()
    state["fc7_mbox_conf.bias"] = torch.tensor([-2.0, 2.0])
    torch.save(state, tmp_path / "s3fd.pth")
    rgb = np.random.default_rng(0).integers(0, 256, (96, 64, 3), dtype=np.uint8)
    (boxes,) = Sfd(tmp_path / "s3fd.pth")(rgb)
    assert boxes and all(np.isfinite(box.edges).all() and box.right > box.left for box in boxes)
    with pytest.raises(FileNotFoundError):
        Sfd(tmp_path / "missing.pth")


def test_blazeface_takes_the_files_it_is_given(tmp_path):
    import torch
    from face_alignment.detection.blazeface.net_blazeface import BlazeFace as Network

    torch.manual_seed(0)
    state = Network().state_dict()
    state["classifier_8.bias"] += 9  # high confidence everywhere, each box as large as its anchor
    for layer in ("regressor_8", "regressor_16"):
        state[f"{layer}.weight"] *= 0
        state[f"{layer}.bias"].view(-1, 16)[:] = torch.tensor([0.0, 0, 128, 128] + [0] * 12)
    torch.save(state, tmp_path / "blazeface.pth")
    np.save(tmp_path / "anchors.npy", np.random.default_rng(0).uniform(0.2, 0.8, (896, 4)).astype(np.float32))
    (boxes,) = BlazeFace(tmp_path / "blazeface.pth", tmp_path / "anchors.npy")(np.full((200, 300, 3), 90, np.uint8))
    assert boxes and all(0.5 <= box.score <= 1 for box in boxes)


def test_weights_that_would_run_code_are_not_loaded(tmp_path):
    import pickle

    import torch

    torch.save({"conv1_1.weight": print}, tmp_path / "s3fd.pth")
    with pytest.raises(pickle.UnpicklingError):
        Sfd(tmp_path / "s3fd.pth")
