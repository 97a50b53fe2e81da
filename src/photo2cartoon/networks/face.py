"""Who is it? What a face network is to the Face ID loss, and the default one.

That is dlib's (King, 2017; CC0) in torch, so that the loss has gradients:
a ResNet of 29 convolutions on 150x150 RGB that gives 128 numbers. Its weights are read out of dlib's own file, which is
plain numbers, and dlib's forward pass is what the tests compare with.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.errors import UserError
from photo2cartoon.networks.crop import crop_face

SIDE = 150
MEAN = (122.782, 117.001, 104.298)
# Width, and whether the first block of the level halves the picture: dlib's alevel4 to alevel0.
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))


def _affine(channels: int) -> nn.BatchNorm2d:
    """dlib's affine layer: a scale and a shift a channel, with no statistics of their own."""
    return nn.BatchNorm2d(channels, eps=0.0)


class _Block(nn.Module):
    """Two 3x3 convolutions added to the input; where they shrink or widen, the smaller side is padded with zeros."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2 if halve else 1, padding=0 if halve else 1)
        self.affine1 = _affine(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.affine2 = _affine(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.affine2(self.conv2(torch.relu(self.affine1(self.conv1(x)))))
        if self.halve:
            x = F.avg_pool2d(x, 2)
        shape = [max(a, b) for a, b in zip(x.shape[1:], y.shape[1:], strict=True)]
        return torch.relu(_pad_to(x, shape) + _pad_to(y, shape))


def _pad_to(x: Tensor, shape: list[int]) -> Tensor:
    missing = [want - have for want, have in zip(shape, x.shape[1:], strict=True)]
    return F.pad(x, (0, missing[2], 0, missing[1], 0, missing[0])) if any(missing) else x


class FaceNetwork(Protocol):
    """Anything that tells people apart by numbers."""

    def features(self, pictures: Tensor) -> Tensor:
        """`[N, 3, H, W]` in -1..1, framed as `portrait` frames them, to `[N, D]`, each of length 1."""

    def to(self, device: torch.device) -> FaceNetwork:
        """Itself, on a device."""


class DlibFaceNet(nn.Module):
    """Face features; frozen, in evaluation mode, differentiable in its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 7, stride=2)
        self.affine = _affine(32)
        blocks, width = [], 32
        for outputs, count, halve in LEVELS:
            for index in range(count):
                blocks.append(_Block(width, outputs, halve and index == 0))
                width = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(width, 128, bias=False)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> DlibFaceNet:
        """Stay in evaluation mode: a frozen network has no other."""
        return super().train(False)

    @classmethod
    def from_dat(cls, path: Path) -> DlibFaceNet:
        """With the weights of `dlib_face_recognition_resnet_model_v1.dat`.

        Raises:
            ValueError: the file is not of this network.
        """
        net = cls()
        reader = _DatReader(path.read_bytes(), path)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.Conv2d):
                    values = reader.vector(module.weight.numel() + module.bias.numel())
                    module.weight.copy_(values[: module.weight.numel()].view_as(module.weight))
                    module.bias.copy_(values[module.weight.numel() :])
                elif isinstance(module, nn.BatchNorm2d):
                    values = reader.vector(2 * module.num_features)
                    module.weight.copy_(values[: module.num_features])
                    module.bias.copy_(values[module.num_features :])
            net.fc.weight.copy_(reader.tensor((256, 128, 1, 1)).view(256, 128).T)
        return net

    def forward(self, x: Tensor) -> Tensor:
        """RGB `[N, 3, 150, 150]` in 0..255 to features `[N, 128]`."""
        x = (x - self.mean) / 256
        x = F.max_pool2d(torch.relu(self.affine(self.conv(x))), 3, 2)
        return self.fc(self.blocks(x).mean(dim=(2, 3)))

    def features(self, pictures: Tensor) -> Tensor:
        """Features of portraits.

        Args:
            pictures: `[N, 3, H, W]` in -1..1, framed as `portrait` frames them.

        Returns:
            `[N, 128]`, each of length 1.
        """
        face = crop_face(pictures)
        face = F.interpolate(face, size=(SIDE, SIDE), mode="bilinear", align_corners=True)
        return F.normalize(self((face + 1) * 127.5))


def load_face_network(kind: str, weights: Path) -> FaceNetwork:
    """A face network by the name that `train.face_network` gives it, with its verified weights.

    Args:
        kind: `dlib`, `mobilefacenet` (512 numbers, as in photo2cartoon) or `mobilefacenet-128`.
        weights: folder that the `assets` stage filled.

    Raises:
        UserError: the file is missing, is another one, or not of this network.
    """
    try:
        if kind == "dlib":
            return DlibFaceNet.from_dat(path := find_asset("dlib_face", weights))
        from photo2cartoon.networks.mobilefacenet import MobileFaceNet

        path = find_asset(kind.replace("-", "_"), weights)
        return MobileFaceNet.from_tensors(torch.load(path, map_location="cpu", weights_only=True))
    except (ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: {str(error).splitlines()[0]}") from None


class _DatReader:
    """dlib's serialised tensors one after another: variable-length integers 2, n, k, rows, columns, then float32."""

    def __init__(self, data: bytes, path: Path) -> None:
        self._data, self._at, self._path = data, 0, path

    def tensor(self, shape: tuple[int, int, int, int]) -> Tensor:
        head = b"".join(_dlib_integer(number) for number in (2, *shape))
        start = self._data.find(head, self._at)
        count = int(np.prod(shape))
        end = start + len(head) + 4 * count
        if start < 0 or end > len(self._data):
            raise ValueError(f"{self._path}: not the weights of dlib's face network")
        self._at = end
        values = np.frombuffer(self._data, dtype="<f4", count=count, offset=start + len(head))
        return torch.from_numpy(values.copy())

    def vector(self, count: int) -> Tensor:
        return self.tensor((count, 1, 1, 1))


def _dlib_integer(number: int) -> bytes:
    """A non-negative integer as dlib writes it: how many bytes, then those bytes, least first."""
    length = (number.bit_length() + 7) // 8
    return bytes([length]) + number.to_bytes(length, "little")
