"""With the same weights our networks equal photo2cartoon's definitions, tensor for tensor."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from photo2cartoon.errors import UserError
from photo2cartoon.importing.names import UNUSED, discriminator_names, generator_names
from photo2cartoon.networks.crop import crop_face
from photo2cartoon.networks.discriminator import Discriminator
from photo2cartoon.networks.face import load_face_network
from photo2cartoon.networks.generator import Generator
from photo2cartoon.networks.mobilefacenet import MobileFaceNet
from tests import original, original_faces


@pytest.fixture(scope="module")
def portrait(astronaut):
    """A real face, `[1, 3, 256, 256]` in -1..1."""
    rgb = cv2.cvtColor(cv2.imread(str(astronaut)), cv2.COLOR_BGR2RGB)[:256, 96:352]
    return torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1


def renamed(state, names):
    assert all(name in names or UNUSED.search(name) for name in state)
    return {names[name]: value for name, value in state.items() if name in names}


def gaps(ours, theirs):
    return [float((a - b).abs().max()) for a, b in zip(ours, theirs, strict=True)]


@pytest.mark.parametrize("paddle", [False, True])
@pytest.mark.parametrize(("channels", "size", "light"), [(32, 256, True), (8, 128, True), (4, 128, False)])
def test_generator(portrait, channels, size, light, paddle):
    state = original.tensors(original.generator_shapes(channels, size, light, paddle))
    net, names = Generator(channels, size, light).eval(), generator_names(paddle)
    filled = {key: torch.zeros_like(value) for key, value in net.state_dict().items()}
    net.load_state_dict(filled | renamed(state, names))
    x = F.interpolate(portrait, size=(size, size), mode="area")
    with torch.inference_mode():
        expected = original.generator(state, x, paddle)
        got = net(x)
        # In double precision rounding is negligible, and any remaining gap would mean another formula.
        exact = original.generator({key: value.double() for key, value in state.items()}, x.double(), paddle)
        ours = net.double()(x.double())
    assert expected[0].std() > 0.1 and expected[2].std() > 0.1
    assert all(gap < limit for gap, limit in zip(gaps(ours, exact), (1e-6, 1e-5, 1e-4), strict=True))
    # The gap to the original stays below the original's own float32 rounding, its distance to its exact value.
    rounding = gaps([value.double() for value in expected], exact)
    for gap, limit in zip(gaps(got, expected), rounding, strict=True):
        assert gap <= max(1e-5, limit)


@pytest.mark.parametrize("layers", [5, 7])
@pytest.mark.parametrize("channels", [8, 32])
def test_discriminator(portrait, channels, layers):
    state = original.tensors(original.discriminator_shapes(channels, layers))
    net = Discriminator(channels, layers).eval()
    net.load_state_dict(renamed(state, discriminator_names(layers)))
    with torch.inference_mode():
        expected = original.discriminator(state, portrait)
        logit, cam_logit, heatmap = gaps(net(portrait), expected)
    assert logit < 1e-5 and cam_logit < 1e-5
    assert heatmap < 1e-6 * float(expected[2].abs().max())  # sums over hundreds of channels, with values in the tens


def test_mobilefacenet_of_insightface(portrait):
    state = original.tensors(original_faces.insightface_shapes())
    net = MobileFaceNet.from_tensors(state)
    pictures = torch.cat([portrait, portrait.flip(-1)])
    with torch.inference_mode():
        assert net.features(pictures).shape == (2, 512)
        assert gaps([net.features(pictures)], [original_faces.insightface(state, pictures)])[0] < 1e-5


def test_mobilefacenet_of_foamliu(portrait):
    state = original.tensors(original_faces.foamliu_shapes())
    net = MobileFaceNet.from_tensors(state)
    face = F.interpolate(crop_face(portrait), size=(112, 112), mode="bilinear", align_corners=True)
    with torch.inference_mode():
        assert gaps([net.features(portrait)], [original_faces.foamliu(state, (face + 1) / 2)])[0] < 1e-5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda state: state.pop("conv_45.project.bn.running_var"), "'conv_45.project.bn.running_var' is missing"),
        (lambda state: state.update(extra=torch.zeros(1)), "'extra' is of no MobileFaceNet"),
        (lambda state: state.update({"linear.weight": torch.zeros(128, 512)}), "'linear.weight' has shape"),
    ],
)
def test_other_weights_are_no_mobilefacenet(change, reason):
    state = original.tensors(original_faces.insightface_shapes())
    change(state)
    with pytest.raises(ValueError, match=reason):
        MobileFaceNet.from_tensors(state)


def test_a_missing_face_network_is_named(weights):
    with pytest.raises(UserError, match=r"model_mobilefacenet\.pth: missing"):
        load_face_network("mobilefacenet", weights)


def test_trained_mobilefacenet_tells_people_apart(faces, tmp_path):
    folder = Path(os.environ.get("P2C_WEIGHTS", tmp_path))
    if not (folder / "mobilefacenet_foamliu.pt").exists():
        pytest.skip("mobilefacenet_foamliu.pt is in no package registry: name its folder in P2C_WEIGHTS")
    from photo2cartoon.dataset.faces import load_faces, to_float

    net = load_face_network("mobilefacenet-128", folder)
    everyone = [load_faces(faces / f"{split}A", 256) for split in ("train", "test")]
    with torch.inference_mode():
        features = net.features(to_float(torch.cat([part.pictures for part in everyone]))).numpy()
    people = np.array([stem.split("--")[0] for part in everyone for stem in part.stems])
    same = people[:, None] == people[None]
    cosine = features @ features.T
    assert cosine[same].min() > cosine[~same].max()
