"""Data of the unpaired recipes: photographs and cartoons, each in an order of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from photo2cartoon.dataset.faces import Sampler, load_faces
from photo2cartoon.params import Train
from photo2cartoon.training.distributed import ProcessGroup

SHOWN = 6  # portraits of each domain in the sample grid


@dataclass(frozen=True)
class UnpairedData:
    """Photographs and cartoons without any correspondence.

    Args:
        photos, cartoons: endless batches.
        shown: photographs and cartoons of the sample grid, uint8 `[n, 3, S, S]`; held-out ones where there are any.
    """

    photos: Sampler
    cartoons: Sampler
    shown: tuple[Tensor, Tensor]

    @classmethod
    def load(cls, folder: Path, params: Train, device: torch.device) -> UnpairedData:
        """Read a dataset with trainA, trainB, testA and testB.

        Raises:
            UserError: a folder is missing or empty.
        """
        photos, cartoons = (
            Sampler.from_folder(folder / f"train{letter}", params.size, params.seed, domain, device)
            for domain, letter in enumerate("AB")
        )
        return cls(photos, cartoons, (_shown(folder, "A", params.size), _shown(folder, "B", params.size)))

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each kind."""
        return {"photos": len(self.photos.pictures), "cartoons": len(self.cartoons.pictures)}

    def batch(self, number: int, size: int, group: ProcessGroup) -> tuple[Tensor, Tensor]:
        """This process's share of step `number`, from 0: photographs and cartoons, each float32 `[N, 3, S, S]` in -1..1.

        Args:
            number: the step.
            size: photographs a step takes, over all processes; it takes as many cartoons.
            group: the processes that divide a batch.
        """
        share = group.share(size)
        first = number * size + group.rank * share
        return self.photos.batch(first, share), self.cartoons.batch(first, share)


def _shown(data: Path, letter: str, size: int) -> Tensor:
    folder = data / f"test{letter}"
    if not folder.is_dir() or not any(folder.iterdir()):
        folder = data / f"train{letter}"
    return load_faces(folder, size).pictures[:SHOWN]
