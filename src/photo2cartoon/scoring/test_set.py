"""The images that models are scored on: photographs, the teacher's drawings of some, and the cartoons of the style."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from photo2cartoon.dataset.faces import Faces, load_drawings, load_faces, load_pairs, to_float
from photo2cartoon.errors import UserError
from photo2cartoon.layout import DRAWN
from photo2cartoon.scoring.colour import TONES, skin_tones

FEWEST_IN_GROUP = 3
DRAWING, NO_DRAWING = "with drawing", "without drawing"
SEXES = ("female", "male")  # prefixes of file names


@dataclass(frozen=True)
class TestSet:
    """Images of one size, uint8 `[N, 3, S, S]`.

    Args:
        stems: of the photographs.
        photos: photographs; those with a drawing come first.
        drawings: the drawings of the first ones.
        cartoons: of the style.
        trained_on: which of the cartoons are in the train split, bool `[N]`.
        drawn_style: drawings of the train split.
    """

    __test__ = False  # not a test of pytest's

    stems: tuple[str, ...]
    photos: Tensor
    drawings: Tensor
    cartoons: Tensor
    trained_on: np.ndarray
    drawn_style: Tensor

    @classmethod
    def load(cls, data: Path, splits: Sequence[str], size: int, style: bool = True) -> TestSet:
        """Load a dataset.

        Args:
            data: the dataset's folder.
            splits: splits of the photographs: `test`, or `train` and `test` if there are few. Cartoons: always both.
            size: side of the images.
            style: whether cartoons are needed.

        Raises:
            UserError: there are fewer than two photographs, or fewer than two cartoons where they are needed.
        """
        pairs, others = zip(*(_photographs(data, split, size) for split in splits), strict=True)
        stems = [stem for faces in (*pairs, *others) for stem in faces.stems]
        drawn = torch.cat([faces.pictures for faces in pairs])
        photos = torch.cat([drawn[:, :3], *(faces.pictures for faces in others)])
        parts = [_cartoons(data / f"{split}B", size) for split in ("train", "test")]
        cartoons = torch.cat(parts)
        for images, names in ((photos, "A"), (cartoons, "B")):
            if len(images) < 2 and (style or images is photos):
                folders = ", ".join(f"{split}{names}" for split in (splits if names == "A" else ("train", "test")))
                raise UserError(
                    f"{data}: {folders} hold {len(images)} pictures, scores need two or more: hold out more"
                    " (preprocess.test_share, preprocess.test_list), or add photographs"
                )
        trained_on = np.arange(len(cartoons)) < len(parts[0])
        return cls(tuple(stems), photos, drawn[:, 3:], cartoons, trained_on, load_drawings(data, "train", size))

    @property
    def people(self) -> list[str]:
        """Person of each photograph: the part of its name before `--`."""
        return [stem.split("--", maxsplit=1)[0] for stem in self.stems]

    @property
    def sha256(self) -> str:
        """Hash of the photographs' names and of all images, at their size: equal exactly when the test sets are."""
        found = hashlib.sha256("\n".join(self.stems).encode())
        for images in (self.photos, self.drawings, self.cartoons, self.drawn_style):
            found.update(repr(tuple(images.shape)).encode() + images.numpy().tobytes())
        return found.hexdigest()

    def groups(self) -> dict[str, np.ndarray]:
        """Return who belongs to which group, bool `[n]`, for groups of three or more.

        Groups are by drawing, by sex (the beginning of the file's name) and by skin tone.
        """
        tones = skin_tones(to_float(self.photos))
        drawn = np.arange(len(self.stems)) < len(self.drawings)
        groups = {DRAWING: drawn, NO_DRAWING: ~drawn} if drawn.any() else {}
        for sex in SEXES:
            groups[sex] = np.array([stem.split("_")[0] == sex for stem in self.stems])
        for tone in TONES:
            groups[f"{tone} skin"] = np.array([its == tone for its in tones])
        return {name: members for name, members in groups.items() if members.sum() >= FEWEST_IN_GROUP}


def is_of_people(group: str) -> bool:
    """Return whether a group is one of people, and not of photographs with or without a drawing."""
    return group not in (DRAWING, NO_DRAWING)


def _photographs(data: Path, split: str, size: int) -> tuple[Faces, Faces]:
    """Load pairs, `[n, 6, S, S]`, and photographs without a drawing; both may be empty."""
    folder = data / f"{split}A"
    if any((data / DRAWN / path.name).is_file() for path in folder.glob("*.png")):
        return load_pairs(data, split, size)
    none = torch.empty(0, 6, size, size, dtype=torch.uint8)
    photos = load_faces(folder, size) if any(folder.glob("*.png")) else Faces((), none[:, :3])
    return Faces((), none), photos


def _cartoons(folder: Path, size: int) -> Tensor:
    if any(folder.glob("*.png")):
        return load_faces(folder, size).pictures
    return torch.empty(0, 3, size, size, dtype=torch.uint8)
