"""Networks that turn images into feature vectors for the distances and for identity.

Only `inception` gives what is called FID; distances by other networks have their own names. The weights of `face`,
`sface` and `efficientnet` are available from a package registry.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from photo2cartoon.assets.catalogue import find_asset, find_optional_asset, read_catalogue
from photo2cartoon.networks.crop import crop_to_template
from photo2cartoon.networks.face import DlibFaceNet, load_face_network
from photo2cartoon.networks.perceptual import load_efficientnet

Extractor = Callable[[Tensor], Tensor]
EFFICIENTNET_SIDE = 224
SFACE_SIDE = 112


def face_features(weights: Path) -> Extractor:
    """Load dlib's face network: `[N, 3, S, S]` in -1..1 to `[N, 128]`, each of length 1."""
    net = DlibFaceNet.from_dat(find_asset("dlib_face", weights))
    return torch.no_grad()(net.features)


def sface_features(weights: Path) -> Extractor:
    """Load SFace (Zhong et al., 2021, arXiv:2205.12010) in OpenCV: `[N, 3, S, S]` in -1..1 to `[N, 128]`, length 1.

    The Face ID loss cannot use it, because it has no gradients here: it judges training independently.
    """
    net = cv2.FaceRecognizerSF.create(str(find_asset("sface", weights)), "")

    def extract(pictures: Tensor) -> Tensor:
        side = (SFACE_SIDE, SFACE_SIDE)
        faces = F.interpolate(crop_to_template(pictures), size=side, mode="bilinear", antialias=True)
        levels = ((faces.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        bgr = levels.flip(1).permute(0, 2, 3, 1).contiguous().numpy()
        return F.normalize(torch.from_numpy(np.concatenate([net.feature(face) for face in bgr])))

    return extract


def efficientnet_features(weights: Path, on_map: Callable[[Tensor], object] | None = None) -> Extractor:
    """Load EfficientNet-Lite0 without its head, averaged over the image: `[N, 3, S, S]` in -1..1 to `[N, 320]`.

    Args:
        weights: folder that the `assets` stage filled.
        on_map: called with the maps `[N, 320, 7, 7]` before they are averaged.
    """
    net = load_efficientnet(find_asset("efficientnet_lite0", weights), "efficientnet-lite0")
    kept: list[Tensor] = []
    net._conv_head.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0]))

    @torch.no_grad()
    def extract(pictures: Tensor) -> Tensor:
        # The network was trained on (level - 127) / 128.
        side = (EFFICIENTNET_SIDE, EFFICIENTNET_SIDE)
        x = F.interpolate(pictures, size=side, mode="bilinear", antialias=True)
        net.extract_features(((x + 1) * 127.5 - 127) / 128)
        maps = kept.pop()
        if on_map:
            on_map(maps)
        return maps.mean(dim=(2, 3))

    return extract


def inception_features(weights: Path) -> Extractor | None:
    """Load pytorch-fid's Inception, 2048 features per image; None when its weights are not in the folder."""
    path = find_optional_asset("inception_fid", weights)
    return None if path is None else inception_extractor(path)


def inception_extractor(path: Path) -> Extractor:
    """Load pytorch-fid's Inception with the weights of a file."""
    prepare_torchvision()
    from pytorch_fid import inception

    with _weights_from(inception, path):
        net = inception.InceptionV3([inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]]).eval()

    @torch.no_grad()
    def extract(pictures: Tensor) -> Tensor:
        # pytorch-fid resizes to 299 px and normalises internally; it expects 0..1.
        return net((pictures + 1) / 2)[0].mean(dim=(2, 3))

    return extract


class Network(NamedTuple):
    """A network that extracts features, and the hash of its weights."""

    extract: Extractor
    hash: str


def extractors(weights: Path, fid: bool = True) -> dict[str, Network]:
    """Return every network whose weights are available, by name; those of mobilefacenet and inception are optional."""
    assets = read_catalogue()
    found = {
        "face": Network(face_features(weights), assets["dlib_face"].sha256),
        "sface": Network(sface_features(weights), assets["sface"].sha256),
        "efficientnet": Network(efficientnet_features(weights), assets["efficientnet_lite0"].sha256),
    }
    if find_optional_asset("mobilefacenet_128", weights):
        net = load_face_network("mobilefacenet-128", weights)
        found["mobilefacenet"] = Network(torch.no_grad()(net.features), assets["mobilefacenet_128"].sha256)
    inception = inception_features(weights) if fid else None
    return found | ({"inception": Network(inception, assets["inception_fid"].sha256)} if inception else {})


def prepare_torchvision() -> None:
    """Make `import torchvision` work beside a CPU torch.

    torchvision's wheel is built for CUDA. Its operators do not load beside another torch, and its import then fails on
    two of them that nothing here uses. This function declares the two without an implementation.
    """
    import importlib.util

    spec = importlib.util.find_spec("torchvision")
    assert spec is not None and spec.submodule_search_locations is not None  # it is one of our requirements
    with contextlib.suppress(OSError):
        torch.ops.load_library(str(Path(spec.submodule_search_locations[0]) / "_C.so"))
    if not hasattr(torch.ops.torchvision, "nms"):
        global _library
        _library = torch.library.Library("torchvision", "DEF")
        _library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")


_library: torch.library.Library | None = None


@contextlib.contextmanager
def _weights_from(module: Any, path: Path) -> Iterator[None]:
    """Make pytorch-fid build its network from a verified file instead of a download."""
    original = module.load_state_dict_from_url
    module.load_state_dict_from_url = lambda *_, **__: torch.load(path, weights_only=True)
    try:
        yield
    finally:
        module.load_state_dict_from_url = original
