"""Face networks for the Face ID loss: the interface and the default network.

The default is dlib's (King, 2017; CC0), reimplemented in torch so the loss has gradients: a ResNet of 29 convolutions
on 150x150 RGB that outputs 128 numbers. Its weights are read from dlib's own file, which holds plain numbers. The tests
compare it with dlib's forward pass.
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
from photo2cartoon.errors import UserError, first_line
from photo2cartoon.networks.crop import crop_face

SIDE = 150
MEAN = (122.782, 117.001, 104.298)
# Width, number of blocks, whether the first block halves the resolution: dlib's alevel4 to alevel0.
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))


class _Affine(nn.Module):
    """dlib's affine layer: a scale and a shift per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        return torch.addcmul(self.bias[:, None, None], x, self.weight[:, None, None])


class _Block(nn.Module):
    """Two 3x3 convolutions added to the input; if they change the shape, the smaller tensor is zero-padded."""

    def __init__(self, inputs: int, outputs: int, halve: bool) -> None:
        super().__init__()
        self.halve = halve
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=2 if halve else 1, padding=0 if halve else 1)
        self.affine1 = _Affine(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.affine2 = _Affine(outputs)

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
    """Interface of a network whose features tell people apart."""

    def features(self, pictures: Tensor) -> Tensor:
        """Map `[N, 3, H, W]` in -1..1, framed as `portrait` frames them, to unit-length features `[N, D]`."""

    def to(self, device: torch.device) -> FaceNetwork:
        """Return the network itself, on a device."""


class DlibFaceNet(nn.Module):
    """dlib's face network: frozen, in evaluation mode, differentiable with respect to its input."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 32, 7, stride=2)
        self.affine = _Affine(32)
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
        """Stay in evaluation mode, because the network is frozen."""
        return super().train(False)

    @classmethod
    def from_dat(cls, path: Path) -> DlibFaceNet:
        """Load the weights of `dlib_face_recognition_resnet_model_v1.dat`.

        Raises:
            ValueError: the file does not belong to this network.
        """
        net = cls()
        reader = _DatReader(path.read_bytes(), path)
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.Conv2d):
                    assert module.bias is not None
                    values = reader.vector(module.weight.numel() + module.bias.numel())
                    module.weight.copy_(values[: module.weight.numel()].view_as(module.weight))
                    module.bias.copy_(values[module.weight.numel() :])
                elif isinstance(module, _Affine):
                    gamma, beta = reader.vector(2 * len(module.weight)).chunk(2)
                    module.weight.copy_(gamma)
                    module.bias.copy_(beta)
            net.fc.weight.copy_(reader.tensor((256, 128, 1, 1)).view(256, 128).T)
        return net

    def forward(self, x: Tensor) -> Tensor:
        """Map RGB `[N, 3, 150, 150]` in 0..255 to features `[N, 128]`."""
        x = (x - self.mean) / 256
        x = F.max_pool2d(torch.relu(self.affine(self.conv(x))), 3, 2)
        return self.fc(self.blocks(x).mean(dim=(2, 3)))

    def features(self, pictures: Tensor) -> Tensor:
        """Compute the features of portraits.

        Args:
            pictures: `[N, 3, H, W]` in -1..1, framed as `portrait` frames them.

        Returns:
            `[N, 128]`, each of length 1.
        """
        face = crop_face(pictures)
        face = F.interpolate(face, size=(SIDE, SIDE), mode="bilinear", align_corners=True)
        return F.normalize(self((face + 1) * 127.5))


def load_face_network(kind: str, weights: Path) -> FaceNetwork:
    """Load a face network by its name in `train.face_network`, with verified weights.

    Args:
        kind: `dlib`, `mobilefacenet` (512 numbers, as in photo2cartoon) or `mobilefacenet-128`.
        weights: folder that the `assets` stage filled.

    Raises:
        UserError: the file is missing, has a wrong hash, or does not belong to this network.
    """
    try:
        if kind == "dlib":
            return DlibFaceNet.from_dat(path := find_asset("dlib_face", weights))
        from photo2cartoon.networks.mobilefacenet import MobileFaceNet

        path = find_asset(kind.replace("-", "_"), weights)
        return MobileFaceNet.from_tensors(torch.load(path, map_location="cpu", weights_only=True))
    except (ValueError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(f"{path}: {first_line(error)}") from None


class _DatReader:
    """Reads dlib's serialised tensors in order: variable-length integers 2, n, k, rows, columns, then float32."""

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
    """Encode a non-negative integer as dlib does: the number of bytes, then the bytes, least significant first."""
    length = (number.bit_length() + 7) // 8
    return bytes([length]) + number.to_bytes(length, "little")
