"""In-memory dataset of training and evaluation: photo2cartoon's folders trainA, trainB, testA, testB.

Drawings of photographs, where there are any, are in `drawnA` under the photographs' names; a generator's, for those that
nobody has drawn, in `pseudoA`.

The order of the images, their crops and their flips depend only on the seed and the image's number in the run, so a
resumed run sees exactly the images that an uninterrupted one would.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from photo2cartoon.errors import UserError
from photo2cartoon.files import folder_hash
from photo2cartoon.layout import DRAWN, PSEUDO_DRAWN
from photo2cartoon.portrait import PictureError, decode
from photo2cartoon.portrait.background import on_white

# RGB factors of the darkest tone relative to pale skin, and how far from white the background may be.
BROWN_PHOTO, BROWN_DRAWING, WHITE = (0.48, 0.36, 0.30), (0.72, 0.54, 0.42), 0.06
MARGIN = 30 / 256  # photo2cartoon enlarges 256 px to 286 before it crops at random


@dataclass(frozen=True)
class Faces:
    """Images of one domain.

    Args:
        stems: file names without suffix.
        pictures: uint8 `[n, 3, S, S]`, RGB on white; for pairs `[n, 6, S, S]`, the photograph and its drawing.
    """

    stems: tuple[str, ...]
    pictures: Tensor

    def __len__(self) -> int:
        return len(self.stems)


def list_pictures(folder: Path) -> list[Path]:
    """List the images of a dataset folder, sorted by name.

    Raises:
        UserError: the folder is missing or has no images.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder of faces; `p2c preprocess` makes it")
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".png")
    if not files:
        raise UserError(f"{folder}: holds no pictures; the table pictures.csv beside it says why")
    return files


def read_rgba(path: Path) -> np.ndarray:
    """Read a portrait as uint8 `[S, S, 4]`; without alpha, every pixel counts as the person.

    Raises:
        UserError: the file is not an image.
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
    """Load every image of a folder at one size.

    Args:
        folder: one of trainA, trainB, testA, testB.
        side: pixels; images are shrunk by averaging and enlarged linearly.
    """
    return _load(list_pictures(folder), side)


def load_pairs(data: Path, split: str, side: int) -> tuple[Faces, Faces]:
    """Load photographs with their drawings, and photographs without one.

    Args:
        data: the dataset's folder.
        split: `train` or `test`.
        side: pixels.

    Returns:
        Pairs, `[n, 6, S, S]`, and the other photographs, `[m, 3, S, S]`, where m may be 0.

    Raises:
        UserError: no photograph of the split has a drawing.
    """
    drawings = data / DRAWN
    listed = list_pictures(data / f"{split}A")
    paired = [path for path in listed if (drawings / path.name).is_file()]
    if not paired:
        raise UserError(
            f"{drawings}: holds no drawing of a photograph in {split}A; `p2c preprocess --drawings` makes it"
        )
    others = [path for path in listed if not (drawings / path.name).is_file()]
    unpaired = _load(others, side) if others else Faces((), torch.empty(0, 3, side, side, dtype=torch.uint8))
    return _load_with(paired, drawings, side), unpaired


def load_drawings(data: Path, split: str, side: int) -> Tensor:
    """Load the drawings of the photographs of a split, without these: uint8 `[n, 3, S, S]`, where n may be 0."""
    names = sorted(path.name for path in (data / f"{split}A").glob("*.png"))
    drawings = [path for name in names if (path := data / DRAWN / name).is_file()]
    return _load(drawings, side).pictures if drawings else torch.empty(0, 3, side, side, dtype=torch.uint8)


def load_pseudo_pairs(data: Path, side: int) -> Faces | None:
    """Load the training photographs that have pseudo-labels, with these: `[n, 6, S, S]`; None if there are none."""
    drawings = data / PSEUDO_DRAWN
    paired = [path for path in list_pictures(data / "trainA") if (drawings / path.name).is_file()]
    return _load_with(paired, drawings, side) if paired else None


def _load_with(paths: list[Path], drawings: Path, side: int) -> Faces:
    photos, targets = _load(paths, side), _load([drawings / path.name for path in paths], side)
    return Faces(photos.stems, torch.cat([photos.pictures, targets.pictures], dim=1))


def held_out_split(data: Path) -> str:
    """Return `test` if any held-out photograph has a drawing, else `train`."""
    names = {path.name for path in (data / "testA").glob("*.png")}
    return "test" if any(path.name in names for path in (data / DRAWN).glob("*.png")) else "train"


def enlarged(size: int) -> int:
    """Return the side of the enlarged images from which random crops of `size` are taken."""
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
    """Return the sha256 over the names and contents of all images of a dataset: equal exactly when the datasets are."""
    return folder_hash(data, "*/*.png")


def to_float(pictures: Tensor) -> Tensor:
    """Convert uint8 `[..., 3, H, W]` to float32 in -1..1."""
    return pictures.float() / 127.5 - 1


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Convert float `[N, 3, H, W]` in -1..1 to uint8 `[N, H, W, 3]`."""
    levels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


class Sampler:
    """Endless batches of one domain: shuffled every pass, cropped at random from a larger image, flipped at random.

    Args:
        faces: images at the enlarged side.
        size: side of the images in a batch.
        seed: seed of the run.
        domain: 0 for photographs, 1 for cartoons, so the two orders differ.
        device: device of the batches.
        tones: for pairs, the probability of darkening the skin in both photograph and drawing.
    """

    def __init__(
        self, faces: Faces, size: int, seed: int, domain: int, device: torch.device, tones: float = 0.0
    ) -> None:
        self.pictures = faces.pictures.to(device)
        self.size, self.seed, self.domain, self.tones = size, seed, domain, tones
        self._order: tuple[int, np.ndarray] = (-1, np.empty(0, int))

    @classmethod
    def from_folder(cls, folder: Path, size: int, seed: int, domain: int, device: torch.device) -> Sampler:
        """Sample from a dataset folder, with images enlarged by the margin for random crops."""
        return cls(load_faces(folder, enlarged(size)), size, seed, domain, device)

    def batch(self, first: int, count: int) -> Tensor:
        """Return images `first` to `first + count - 1` of the run: float32 `[count, 3 (pairs: 6), S, S]` in -1..1."""
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
        """Darken the skin of randomly chosen photographs, and of their drawings with a matching brown."""
        depths = []
        for number in range(first, first + len(pairs)):
            random = self._random(number, 2)
            drawn = random.random()
            depths.append(drawn if random.random() < self.tones else 0.0)
        depth = torch.tensor(depths, dtype=torch.float32, device=pairs.device)[:, None, None, None]
        levels = (pairs + 1) / 2
        # Keep white unchanged: it is the background that photograph and drawing share.
        person = ((1 - levels[:, :3].amin(dim=1, keepdim=True)) / WHITE - 0.5).clamp(0, 1)
        brown = torch.tensor((*BROWN_PHOTO, *BROWN_DRAWING), device=pairs.device)[:, None, None]
        return levels * (1 - person * (1 - brown**depth)) * 2 - 1

    def _random(self, number: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, self.domain, purpose, number))
