"""The face network equals dlib's, number for number, and distinguishes people on our portraits."""

import cv2
import dlib
import numpy as np
import pytest
import torch

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.dataset.faces import load_faces, to_float
from photo2cartoon.networks.crop import crop_face
from photo2cartoon.networks.face import DlibFaceNet
from tests.conftest import noise


@pytest.fixture(scope="module")
def net(weights):
    return DlibFaceNet.from_dat(find_asset("dlib_face", weights))


def test_features_equal_dlibs_own_forward_pass(net, weights, hopper):
    reference = dlib.face_recognition_model_v1(str(find_asset("dlib_face", weights)))
    photo = cv2.resize(cv2.cvtColor(cv2.imread(str(hopper)), cv2.COLOR_BGR2RGB)[100:400, 100:400], (150, 150))
    for chip in (photo, noise(150, 150, 3), np.zeros((150, 150, 3), np.uint8)):
        expected = np.array(reference.compute_face_descriptor(np.ascontiguousarray(chip)))
        got = net(torch.from_numpy(chip).permute(2, 0, 1)[None].float())[0].numpy()
        assert np.abs(expected - got).max() < 1e-5


def test_one_person_is_nearer_to_herself_than_to_another(net, faces):
    everyone = [load_faces(faces / f"{split}A", 256) for split in ("train", "test")]
    features = net.features(to_float(torch.cat([part.pictures for part in everyone]))).numpy()
    people = np.array([stem.split("--")[0] for part in everyone for stem in part.stems])
    cosine = features @ features.T
    same = people[:, None] == people[None]
    assert np.allclose(np.diag(cosine), 1, atol=1e-5)
    assert cosine[same].min() > cosine[~same].max()


def test_it_is_frozen_and_differentiable(net):
    net.train()
    assert not net.training and not any(parameter.requires_grad for parameter in net.parameters())
    x = torch.rand(1, 3, 128, 128, requires_grad=True)
    net.features(x).sum().backward()
    assert x.grad.abs().sum() > 0


def test_the_crop_is_the_originals():
    side = 256
    crop = crop_face(torch.arange(side * side).view(1, 1, side, side))
    top, bottom = int(side / 2.1 * 0.47), int(side - side / 2.1 * 0.3)
    assert crop.shape[-2:] == (bottom - top, bottom - top)
    assert crop[0, 0, 0, 0] == top * side + int(side / 2 - (bottom - top) / 2)


def test_another_file_is_refused(tmp_path, weights):
    path = tmp_path / "x.dat"
    path.write_bytes(find_asset("dlib_face", weights).read_bytes()[:9_000_000])
    with pytest.raises(ValueError, match=r"x\.dat"):
        DlibFaceNet.from_dat(path)
