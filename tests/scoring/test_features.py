"""Features equal those of the networks' own packages; FID equals pytorch-fid's if Inception's weights are present."""

import hashlib

import cv2
import dlib
import numpy as np
import pytest
import torch

from benchmarks.inception import write_random_weights
from photo2cartoon.assets import catalogue
from photo2cartoon.assets.catalogue import Asset, find_asset, read_catalogue
from photo2cartoon.dataset.faces import load_faces, to_float
from photo2cartoon.errors import UserError
from photo2cartoon.scoring import features as module
from photo2cartoon.scoring.statistics import FrechetDistance


@pytest.fixture(scope="module")
def pictures(faces):
    return to_float(load_faces(faces / "trainB", 256).pictures[:4])


@pytest.mark.parametrize(("picture", "label"), [("coffee.png", 967), ("chelsea.png", 285)])  # espresso, Egyptian cat
def test_efficientnet_knows_what_it_sees(weights, astronaut, picture, label):
    """The package's own head maps the extracted features to the right ImageNet class."""
    from efficientnet_lite_pytorch import EfficientNet

    photo = cv2.cvtColor(cv2.imread(str(astronaut.with_name(picture))), cv2.COLOR_BGR2RGB)
    x = torch.from_numpy(photo).permute(2, 0, 1)[None].float() / 127.5 - 1
    kept = []
    extract = module.efficientnet_features(weights, on_map=kept.append)
    features = extract(x)
    assert features.shape == (1, 320)
    assert torch.allclose(kept[0].mean((2, 3)), features)

    net = EfficientNet.from_name("efficientnet-lite0")
    net.load_state_dict(torch.load(find_asset("efficientnet_lite0", weights), weights_only=True))
    with torch.no_grad():
        head = net.eval()._swish(net._bn1(net._conv_head(kept[0]))).mean((2, 3))
        assert net._fc(head).argmax() == label


def test_face_features_are_of_length_one(weights, pictures):
    assert torch.allclose(module.face_features(weights)(pictures).norm(dim=1), torch.ones(4), atol=1e-5)


def test_sface_features_are_opencvs_of_a_face_aligned_by_its_own_points(weights, faces):
    """The fixed crop of a portrait gives what OpenCV gives after aligning five points, and tells two people apart."""
    net = cv2.FaceRecognizerSF.create(str(find_asset("sface", weights)), "")
    template = np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]])
    points = dlib.shape_predictor(str(find_asset("dlib_landmarks", weights)))
    loaded = [load_faces(faces / f"{split}A", 256) for split in ("train", "test")]
    people = np.array([stem.split("--")[0] for part in loaded for stem in part.stems])
    aligned = []
    for path in (path for part in ("trainA", "testA") for path in sorted((faces / part).glob("*.png"))):
        bgr = cv2.imread(str(path))
        found = points(bgr[..., ::-1].copy(), dlib.get_frontal_face_detector()(bgr[..., ::-1].copy(), 1)[0])
        xy = np.array([[point.x, point.y] for point in found.parts()], float)
        five = np.array([xy[36:42].mean(axis=0), xy[42:48].mean(axis=0), xy[30], xy[48], xy[54]])
        aligned.append(net.feature(cv2.warpAffine(bgr, cv2.estimateAffinePartial2D(five, template)[0], (112, 112)))[0])
    features = module.sface_features(weights)(to_float(torch.cat([part.pictures for part in loaded]))).numpy()
    assert features.shape == (6, 128) and np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)

    aligned = np.stack(aligned) / np.linalg.norm(aligned, axis=1, keepdims=True)
    same = people[:, None] == people[None]
    for cosine in (features @ features.T, aligned @ aligned.T, features @ aligned.T):
        assert cosine[same].min() > 0.6 and cosine[~same].max() < 0.363  # OpenCV's threshold


def test_without_inceptions_weights_there_is_no_fid(weights):
    assert set(module.extractors(weights)) == {"face", "sface", "efficientnet"}


def test_wrong_inception_weights_are_refused(tmp_path):
    (tmp_path / read_catalogue()["inception_fid"].file).write_bytes(b"not these")
    with pytest.raises(UserError, match=r"pt_inception.*refused"):
        module.inception_features(tmp_path)


@pytest.mark.slow
def test_fid_is_pytorch_fids(pictures, tmp_path, monkeypatch):
    """The real weights cannot be fetched here, so both programs use the same random weights."""
    path = tmp_path / read_catalogue()["inception_fid"].file
    write_random_weights(path)
    from pytorch_fid import fid_score, inception

    entry = read_catalogue()["inception_fid"]
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(
        catalogue, "read_catalogue", lambda: {"inception_fid": Asset(**{**vars(entry), "sha256": sha256})}
    )
    extract = module.inception_features(tmp_path)

    for name, part in (("a", pictures[:2]), ("b", pictures[2:])):
        (tmp_path / name).mkdir()
        for number, picture in enumerate(part):
            rgb = ((picture + 1) * 127.5).round().byte().permute(1, 2, 0).numpy()
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), np.ascontiguousarray(rgb[..., ::-1]))
    monkeypatch.setattr(inception, "load_state_dict_from_url", lambda *_, **__: torch.load(path, weights_only=True))
    expected = fid_score.calculate_fid_given_paths([str(tmp_path / "a"), str(tmp_path / "b")], 2, "cpu", 2048, 0)
    got = FrechetDistance(extract(pictures[:2]).numpy(), extract(pictures[2:]).numpy())(np.ones((1, 2)))[0]
    assert expected > 0.01 and got == pytest.approx(expected, abs=1e-4)
