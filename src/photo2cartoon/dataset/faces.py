"""What training and evaluation read: photo2cartoon's folders trainA, trainB, testA, testB, held in memory.

Where photographs have drawings, these are in `drawnA`, under the photographs' names.

The order of pictures and their crops and flips follow from the seed and the running number of the picture alone, so a run
that goes on after an interruption sees just what it would have seen.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from photo2cartoon.errors import UserError
from photo2cartoon.files import sha256_of
from photo2cartoon.layout import DRAWN
from photo2cartoon.portrait import PictureError, decode
from photo2cartoon.portrait.maker import on_white

# What remains of the red, green and blue of pale skin under the darkest tone, and how far from white a background may be.
BROWN_PHOTO, BROWN_DRAWING, WHITE = (0.48, 0.36, 0.30), (0.72, 0.54, 0.42), 0.06
MARGIN = 30 / 256  # photo2cartoon enlarges 256 px to 286 before it crops at random


@dataclass(frozen=True)
class Faces:
    """Pictures of one domain.

    Args:
        stems: file names without suffix.
        pictures: uint8 `[n, 3, S, S]`, RGB on white; of pairs `[n, 6, S, S]`, the photograph and its drawing.
    """

    stems: tuple[str, ...]
    pictures: Tensor

    def __len__(self) -> int:
        return len(self.stems)


def list_pictures(folder: Path) -> list[Path]:
    """The pictures of a dataset folder, by name.

    Raises:
        UserError: the folder is missing or holds none.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of faces; `p2c preprocess` makes it")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if not files:
        raise UserError(f"{folder}: holds no pictures; the table pictures.csv beside it says why")
    return files


def read_rgba(path: Path) -> np.ndarray:
    """A portrait as uint8 `[S, S, 4]`; a picture without alpha is taken as all person.

    Raises:
        UserError: the file is no picture.
    """
    rgba = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if rgba is not None and rgba.ndim == 3 and rgba.shape[2] == 4 and rgba.dtype == np.uint8:
        return cv2.cvtColor(rgba, cv2.COLOR_BGRA2RGBA)
    try:
        rgb = decode(path)
    except PictureError as error:
        raise UserError(f"{path}: {error}") from None
    return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])


def load_faces(folder: Path, side: int) -> Faces:
    """Every picture of a folder at one size.

    Args:
        folder: one of trainA, trainB, testA, testB.
        side: pixels; pictures are shrunk by averaging, enlarged linearly.
    """
    return _load(list_pictures(folder), side)


def load_pairs(data: Path, split: str, side: int) -> tuple[Faces, Faces]:
    """Photographs with their drawings, and photographs that have none.

    Args:
        data: the dataset's folder.
        split: `train` or `test`.
        side: pixels.

    Returns:
        Pairs, `[n, 6, S, S]`, and the others, `[m, 3, S, S]`, where m may be 0.

    Raises:
        UserError: there is no drawing of any photograph of the split.
    """
    drawings = data / DRAWN
    listed = list_pictures(data / f"{split}A")
    paired = [path for path in listed if (drawings / path.name).is_file()]
    if not paired:
        raise UserError(
            f"{drawings}: holds no drawing of a photograph in {split}A; `p2c preprocess --drawings` makes it"
        )
    photos, drawn = _load(paired, side), _load([drawings / path.name for path in paired], side)
    others = [path for path in listed if not (drawings / path.name).is_file()]
    unpaired = _load(others, side) if others else Faces((), torch.empty(0, 3, side, side, dtype=torch.uint8))
    return Faces(photos.stems, torch.cat([photos.pictures, drawn.pictures], dim=1)), unpaired


def held_out_split(data: Path) -> str:
    """`test` where photographs that are held out have drawings, else `train`."""
    names = {path.name for path in (data / "testA").glob("*.png")}
    return "test" if any(path.name in names for path in (data / DRAWN).glob("*.png")) else "train"


def enlarged(size: int) -> int:
    """The side from which pictures of `size` are cropped at random."""
    return size + round(size * MARGIN)


def _load(paths: list[Path], side: int) -> Faces:
    pictures = []
    for path in paths:
        rgb = on_white(read_rgba(path))
        shrinks = side < rgb.shape[0]
        rgb = cv2.resize(rgb, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
        pictures.append(torch.from_numpy(rgb).permute(2, 0, 1))
    return Faces(tuple(path.stem for path in paths), torch.stack(pictures))


def faces_fingerprint(data: Path) -> str:
    """sha256 over the names and contents of every picture of a dataset: equal exactly when the datasets are."""
    digest = hashlib.sha256()
    for path in sorted(data.glob("*/*.png")):
        digest.update(f"{path.relative_to(data).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def training_name(params: str, data: Path) -> str:
    """What the same training is called, in whatever pod it goes on: by the text of its parameters and its pictures."""
    return hashlib.sha256(f"{params} {faces_fingerprint(data)}".encode()).hexdigest()[:16]


def to_float(pictures: Tensor) -> Tensor:
    """uint8 `[..., 3, H, W]` to float32 in -1..1."""
    return pictures.float() / 127.5 - 1


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Float `[N, 3, H, W]` in -1..1 to uint8 `[N, H, W, 3]`."""
    levels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


class Sampler:
    """Endless batches of one domain: shuffled every pass, cropped at random out of a larger picture, flipped.

    Args:
        faces: at the enlarged side.
        size: side of the pictures that are handed out.
        seed: of the run.
        domain: 0 for photographs, 1 for cartoons, so that the two orders differ.
        device: where the batches are wanted.
        tones: of pairs: how often photograph and drawing are given a darker skin.
    """

    def __init__(
        self, faces: Faces, size: int, seed: int, domain: int, device: torch.device, tones: float = 0.0
    ) -> None:
        self.pictures = faces.pictures.to(device)
        self.size, self.seed, self.domain, self.tones = size, seed, domain, tones
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    @classmethod
    def from_folder(cls, folder: Path, size: int, seed: int, domain: int, device: torch.device) -> Sampler:
        """Over a dataset folder, enlarged by the margin that random crops need."""
        return cls(load_faces(folder, enlarged(size)), size, seed, domain, device)

    def batch(self, first: int, count: int) -> Tensor:
        """Pictures number `first` to `first + count - 1` of the run: float32 `[count, 3, S, S]` in -1..1; of pairs 6."""
        if not count:
            return to_float(self.pictures[:0, :, : self.size, : self.size])
        pictures = to_float(torch.stack([self._picture(number) for number in range(first, first + count)]))
        return self._toned(pictures, first) if self.tones else pictures

    def _picture(self, number: int) -> Tensor:
        passed, place = divmod(number, len(self.pictures))
        if self._order[0] != passed:
            self._order = (passed, self._random(passed, 0).permutation(len(self.pictures)))
        picture = self.pictures[int(self._order[1][place])]
        room = picture.shape[-1] - self.size
        top, left, flip = self._random(number, 1).integers(0, [room + 1, room + 1, 2])
        picture = picture[:, top : top + self.size, left : left + self.size]
        return picture.flip(-1) if flip else picture

    def _toned(self, pairs: Tensor, first: int) -> Tensor:
        """Now and then a photograph under a darker tone, and the skin of its drawing under a brown that goes with it."""
        depths = []
        for number in range(first, first + len(pairs)):
            random = self._random(number, 2)
            depth = random.random()
            depths.append(depth if random.random() < self.tones else 0.0)
        depth = torch.tensor(depths, dtype=torch.float32, device=pairs.device)[:, None, None, None]
        levels = (pairs + 1) / 2
        # White stays white: the background, which both have in common.
        person = ((1 - levels[:, :3].amin(dim=1, keepdim=True)) / WHITE - 0.5).clamp(0, 1)
        brown = torch.tensor((*BROWN_PHOTO, *BROWN_DRAWING), device=pairs.device)[:, None, None]
        return levels * (1 - person * (1 - brown**depth)) * 2 - 1

    def _random(self, number: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.domain, purpose, number))
