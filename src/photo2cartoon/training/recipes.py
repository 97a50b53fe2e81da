"""The two ways to train, each put together: what it reads, what it changes, what it shows.

The loop knows of neither: it asks a recipe for the next step and for a grid of samples.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.dataset.faces import Faces, Sampler, enlarged, held_out_split, load_faces, load_pairs
from photo2cartoon.errors import UserError
from photo2cartoon.networks.face import load_face_network
from photo2cartoon.networks.perceptual import Perceptual
from photo2cartoon.params import Train
from photo2cartoon.training.parallel import Team
from photo2cartoon.training.samples import lesson_grid, sample_grid
from photo2cartoon.training.state import State
from photo2cartoon.training.step import Step
from photo2cartoon.training.taught import TaughtStep

SAMPLE_COUNT = 6


class Recipe(Protocol):
    """A way to train.

    Args:
        state: what a checkpoint keeps.
        counts: pictures of each kind in the dataset.
        a_step: pictures of each kind that a step takes, over all processes.
    """

    state: State
    counts: dict[str, int]
    a_step: dict[str, int]

    def step(self, number: int) -> dict[str, Tensor]:
        """Make step `number`, from 0, on this process's share of the batch; returns the losses."""

    def grid(self) -> np.ndarray:
        """The same few portraits every time, as they are drawn now: uint8 RGB."""


class Unpaired:
    """photo2cartoon's own: photographs and cartoons that have nothing to do with one another."""

    def __init__(self, params: Train, data: Path, weights: Path, team: Team) -> None:
        self.batch, self.share, self.rank = params.batch, team.share(params.batch), team.rank
        if self.share % params.accumulate:
            raise UserError(
                f"train.accumulate: {self.share} pictures a process cannot be taken in {params.accumulate} parts"
            )
        face = load_face_network(params.face_network, weights) if params.loss.face_id else None
        self.samplers = [
            Sampler.from_folder(data / f"train{letter}", params.size, params.seed, domain, team.device)
            for domain, letter in enumerate("AB")
        ]
        self.fixed = [_held_out(data, letter, params.size) for letter in "AB"]
        self.counts = dict(zip(("photos", "cartoons"), (len(each.pictures) for each in self.samplers), strict=True))
        self.a_step = dict.fromkeys(self.counts, params.batch)
        self.state = Step(params, face, team.device, team)

    def step(self, number: int) -> dict[str, Tensor]:
        """One step on this process's share."""
        first = number * self.batch + self.rank * self.share
        return self.state(*(sampler.batch(first, self.share) for sampler in self.samplers), number)

    def grid(self) -> np.ndarray:
        """Seven rows of either direction."""
        return sample_grid(self.state.averages, *self.fixed)


class Taught:
    """Photographs with drawings of them, photographs without, and cartoons of the style."""

    def __init__(self, params: Train, data: Path, weights: Path, team: Team) -> None:
        if params.accumulate > 1:
            raise UserError("train.accumulate: the taught recipe takes a batch as a whole")
        lesson, self.rank = params.taught, team.rank
        pairs, others = load_pairs(data, "train", enlarged(params.size))
        cartoons = (
            load_faces(data / "trainB", enlarged(params.size)) if lesson.judged else Faces((), others.pictures[:0])
        )
        beside = team.share(lesson.others) if len(others) and (lesson.judged or lesson.face_id) else 0
        # What a process takes of each kind, a step.
        self.shares = (team.share(params.batch), beside, beside if lesson.judged else 0)
        self.size = team.size
        self.samplers = [
            Sampler(faces, params.size, params.seed, domain, team.device, lesson.tones if domain == 0 else 0.0)
            for domain, faces in enumerate((pairs, others, cartoons))
        ]
        self.counts = {"pairs": len(pairs), "photos": len(others), "cartoons": len(cartoons)}
        self.a_step = {kind: count * team.size for kind, count in zip(self.counts, self.shares, strict=True)}
        shown, alone = load_pairs(data, held_out_split(data), params.size)
        self.fixed = shown.pictures[:SAMPLE_COUNT], alone.pictures[:SAMPLE_COUNT]
        face = load_face_network(params.face_network, weights) if lesson.face_id and beside else None
        path = find_asset("efficientnet_lite1", weights) if lesson.perceptual else None
        perceptual = Perceptual(path, "efficientnet-lite1") if path else None
        self.state = TaughtStep(params, face, perceptual, team.device, team)

    def step(self, number: int) -> dict[str, Tensor]:
        """One step on this process's share."""
        pairs, others, cartoons = (
            sampler.batch((number * self.size + self.rank) * share, share)
            for sampler, share in zip(self.samplers, self.shares, strict=True)
        )
        return self.state(*pairs.split(3, dim=1), others, cartoons, number)

    def grid(self) -> np.ndarray:
        """Photographs, the drawings that are taught, and ours; below them photographs without drawing."""
        return lesson_grid(self.state.averages["genA2B"], *self.fixed)


RECIPES: dict[str, type[Unpaired] | type[Taught]] = {"unpaired": Unpaired, "taught": Taught}


def _held_out(data: Path, letter: str, size: int) -> torch.Tensor:
    """The pictures that are drawn at every tick: held-out ones where there are any. uint8 `[n, 3, S, S]`."""
    folder = data / f"test{letter}"
    if not folder.is_dir() or not any(folder.iterdir()):
        folder = data / f"train{letter}"
    return load_faces(folder, size).pictures[:SAMPLE_COUNT]
