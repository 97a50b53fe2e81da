"""dlib's landmarks do not depend on the detector; face-alignment replaces dlib if its weights are present."""

import dataclasses

import numpy as np
import pytest
import torch

from photo2cartoon.assets import catalogue
from photo2cartoon.assets.catalogue import find_asset, read_catalogue
from photo2cartoon.files import sha256_of
from photo2cartoon.portrait import PortraitMaker, decode
from photo2cartoon.portrait.boxes import Box
from photo2cartoon.portrait.detect import Hog
from photo2cartoon.portrait.landmarks import DlibLandmarks, hog_box
from tests.conftest import needs


@pytest.fixture(scope="module")
def dlib_landmarks(weights):
    return DlibLandmarks(find_asset("dlib_landmarks", weights))


@pytest.fixture
def fan_weights(weights, tmp_path, monkeypatch):
    """Weights folder with a random 2D-FAN-4, because no registry has the trained one."""
    from face_alignment.models import FAN

    entry = read_catalogue()["face_alignment_2dfan4"]
    for path in weights.iterdir():
        if path.name != entry.file:
            (tmp_path / path.name).symlink_to(path)
    torch.manual_seed(0)
    torch.save(FAN(4).state_dict(), tmp_path / entry.file)
    known = dict(read_catalogue())
    known[entry.name] = dataclasses.replace(entry, sha256=sha256_of(tmp_path / entry.file))
    monkeypatch.setattr(catalogue, "read_catalogue", lambda *_: known)
    return tmp_path


@pytest.mark.parametrize("photo", ["astronaut", "hopper"])
def test_a_box_that_frames_the_face_differently_gives_the_same_points(dlib_landmarks, photo, request):
    rgb = decode(request.getfixturevalue(photo))
    ((box,),) = Hog()(rgb)
    (expected,) = dlib_landmarks(rgb, [box])
    size = box.right - box.left
    for shift, grow in ((-0.12, 0.15), (0.1, -0.12), (-0.15, 0.0)):
        left, top, right, bottom = np.array(box.edges) + size * np.array([-grow, shift - grow, grow, shift + grow])
        plain, found = (
            dlib_landmarks(rgb, [Box(left, top, right, bottom, 1.0, of_hog)])[0] for of_hog in (True, False)
        )
        gap, before = (np.linalg.norm(points - expected, axis=1).mean() / size for points in (found, plain))
        assert gap < 0.03 and gap < before + 0.005


def test_hogs_box_follows_from_the_points(dlib_landmarks, hopper):
    rgb = decode(hopper)
    ((box,),) = Hog()(rgb)
    guessed = hog_box(dlib_landmarks(rgb, [box])[0])
    assert np.abs(np.array(guessed) - box.edges).max() < 0.12 * (box.right - box.left)


@pytest.mark.parametrize("detector", ["mmod", "blazeface"])
@pytest.mark.parametrize("photo", ["astronaut", "hopper"])
def test_the_eyes_are_where_they_are_whoever_found_the_face(weights, detector, photo, request):
    needs(weights, "blazeface" if detector == "blazeface" else "dlib_mmod")
    rgb = decode(request.getfixturevalue(photo))
    (face,) = PortraitMaker.from_weights(weights, detector=detector).finder(rgb)
    (expected,) = PortraitMaker.from_weights(weights).finder(rgb)
    apart = np.linalg.norm(expected.points[45] - expected.points[36])
    assert np.linalg.norm((face.points - expected.points)[[36, 45]], axis=1).max() < 0.04 * apart


@pytest.mark.slow
def test_face_alignment_finds_its_weights_there_and_nowhere_else(fan_weights, hopper, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("face-alignment went to fetch something")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    finder = PortraitMaker.from_weights(fan_weights, landmarks="face-alignment").finder
    dlib = PortraitMaker.from_weights(fan_weights).finder
    rgb = decode(hopper)
    (face,), (expected,) = finder(rgb), dlib(rgb)
    assert face.points.shape == (68, 2) and np.isfinite(face.points).all()
    # An untrained model puts points anywhere in the given box, which is where dlib finds the face.
    low, high = expected.points.min(0), expected.points.max(0)
    assert ((face.points > low - 2 * (high - low)) & (face.points < high + 2 * (high - low))).all()
    assert finder(np.full((300, 300, 3), 255, np.uint8)) == []


def test_one_reference_scale_for_all_of_the_packages_detectors():
    """`FanLandmarks` relies on this scale."""
    from face_alignment.detection import blazeface, core, dlib, folder, sfd

    for module in (blazeface, dlib, folder, sfd):
        assert module.FaceDetector.reference_scale is core.FaceDetector.reference_scale
