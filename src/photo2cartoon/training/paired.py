"""The paired recipe: the generator learns to reproduce given drawings of photographs.

Photographs without a drawing can take part: their cartoons have to pass for cartoons of the style (adversarial losses), to
keep the person recognisable (Face ID loss), and to reproduce pseudo-labels, if the dataset has them
(`training/pseudo_label.py`). This covers people of whom there are no drawings.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.checkpoint import build_generator
from photo2cartoon.dataset.faces import (
    Faces,
    Sampler,
    enlarged,
    held_out_split,
    load_faces,
    load_pairs,
    load_pseudo_pairs,
    to_float,
    to_uint8,
)
from photo2cartoon.errors import UserError
from photo2cartoon.networks.discriminator import build_discriminator
from photo2cartoon.networks.face import FaceNetwork, load_face_network
from photo2cartoon.networks.perceptual import Perceptual
from photo2cartoon.params import Train
from photo2cartoon.pictures import grid
from photo2cartoon.training import losses
from photo2cartoon.training.distributed import ProcessGroup
from photo2cartoon.training.state import State

SHOWN = 6  # portraits with and without a drawing in the sample grid


@dataclass(frozen=True)
class PairedData:
    """The data of the paired recipe.

    Args:
        pairs: endless batches of a photograph and its drawing, `[N, 6, S, S]`.
        others: of photographs without a drawing, `[M, 3, S, S]`, or with a generator's, `[M, 6, S, S]`.
        cartoons: of the style, for the discriminators; empty if there are none.
        shares: number of each that a process takes per step.
        shown: pairs `[n, 6, S, S]` and photographs without a drawing `[m, 3, S, S]` of the sample grid, uint8.
    """

    pairs: Sampler
    others: Sampler
    cartoons: Sampler
    shares: tuple[int, int, int]
    shown: tuple[Tensor, Tensor]

    @classmethod
    def load(cls, folder: Path, params: Train, group: ProcessGroup) -> PairedData:
        """Read a dataset with drawings of some of its photographs.

        Raises:
            UserError: there are no drawings, no pseudo-labels though their loss is on, a folder is missing, or a batch
                cannot be divided.
        """
        section = params.paired
        pairs, others = load_pairs(folder, "train", enlarged(params.size))
        nothing = Faces((), others.pictures[:0])
        cartoons = load_faces(folder / "trainB", enlarged(params.size)) if section.uses_discriminators else nothing
        pseudo = load_pseudo_pairs(folder, enlarged(params.size)) if section.pseudo else None
        if section.pseudo and not pseudo:
            raise UserError(f"{folder}: has no pseudo-labels for train.paired.pseudo; `p2c pseudo-label` makes them")
        takes_part = len(others) and (section.uses_discriminators or section.face_id or pseudo)
        beside = group.share(section.others, "paired.others") if takes_part else 0
        of_pairs, of_others, of_cartoons = (
            Sampler(faces, params.size, params.seed, domain, group.device, section.tones if domain == 0 else 0.0)
            for domain, faces in enumerate((pairs, pseudo or others, cartoons))
        )
        shown, alone = load_pairs(folder, held_out_split(folder), params.size)
        shares = (group.share(params.batch), beside, beside if section.uses_discriminators else 0)
        return cls(of_pairs, of_others, of_cartoons, shares, (shown.pictures[:SHOWN], alone.pictures[:SHOWN]))

    def batch(self, number: int, group: ProcessGroup) -> tuple[Tensor, Tensor, Tensor]:
        """This process's share of step `number`: pairs, photographs without a drawing, cartoons."""
        samplers = zip((self.pairs, self.others, self.cartoons), self.shares, strict=True)
        pairs, others, cartoons = (
            sampler.batch((number * group.size + group.rank) * share, share) for sampler, share in samplers
        )
        return pairs, others, cartoons


class PairedTrainer:
    """A generator of cartoons, discriminators if their losses are on, and the step that trains them.

    Args:
        params: the `train` section.
        face: the frozen face network, or None when its loss is switched off.
        perceptual: the frozen classifier, or None when its loss is switched off.
        group: the processes that train together.
        data: source of `step` and `grid`.
    """

    def __init__(
        self,
        params: Train,
        face: FaceNetwork | None,
        perceptual: Perceptual | None,
        group: ProcessGroup,
        data: PairedData,
    ) -> None:
        self.params, self.weights, self.group, self.data = params, params.paired, group, data
        self.state = State(build_networks(params), params, group.device, group)
        self.face = face.to(group.device) if face is not None else None
        self.perceptual = perceptual.to(group.device) if perceptual is not None else None

    @classmethod
    def from_folder(cls, params: Train, data: Path, weights: Path, group: ProcessGroup) -> PairedTrainer:
        """Build from the pictures of a dataset and the frozen networks of a weights folder.

        Raises:
            UserError: drawings, pictures or weights are missing, or a batch cannot be divided.
        """
        if params.accumulate > 1:
            raise UserError("train.accumulate: the paired recipe takes a batch as a whole")
        read = PairedData.load(data, params, group)
        uses_face = params.paired.face_id_pairs or (params.paired.face_id and read.shares[1])
        face = load_face_network(params.face_network, weights) if uses_face else None
        path = find_asset("efficientnet_lite1", weights) if params.paired.perceptual else None
        perceptual = Perceptual(path, "efficientnet-lite1") if path else None
        return cls(params, face, perceptual, group, read)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each kind in the dataset."""
        samplers = {"pairs": self.data.pairs, "photos": self.data.others, "cartoons": self.data.cartoons}
        return {kind: len(sampler.pictures) for kind, sampler in samplers.items()}

    @property
    def per_step(self) -> dict[str, int]:
        """Pictures of each kind that a step takes, over all processes."""
        return {kind: share * self.group.size for kind, share in zip(self.counts, self.data.shares, strict=True)}

    def step(self, number: int) -> dict[str, Tensor]:
        """Run step `number`, from 0, on this process's share of the batch; return the losses."""
        pairs, others, cartoons = self.data.batch(number, self.group)
        photos, drawings = pairs.split(3, dim=1)
        alone, *pseudo = others.split(3, dim=1)
        return self(photos, drawings, alone, cartoons, number, *pseudo)

    @torch.no_grad()
    def grid(self) -> np.ndarray:
        """Photographs, their drawings, and the averaged generator's cartoons now; then photographs without drawing: uint8 RGB."""
        generator, device = self.state.ema["genA2B"], self.state.device

        def shown(pictures: Tensor) -> list[np.ndarray]:
            return list(pictures.permute(0, 2, 3, 1).numpy())

        def generated(photos: Tensor) -> list[np.ndarray]:
            return list(to_uint8(generator(to_float(photos.to(device))).image))

        pairs, others = self.data.shown
        photos, drawings = pairs.split(3, dim=1)
        rows = [("photograph", shown(photos)), ("drawing", shown(drawings)), ("cartoon", generated(photos))]
        if len(others):
            rows += [("photograph without drawing", shown(others)), ("cartoon", generated(others))]
        return grid(rows)

    def __call__(
        self,
        photos: Tensor,
        drawings: Tensor,
        others: Tensor,
        cartoons: Tensor,
        step: int,
        pseudo: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Train on one batch, or on this process's share of it.

        Args:
            photos, drawings: float32 `[N, 3, S, S]` in -1..1, the same crop of both.
            others: photographs without drawing, `[M, 3, S, S]`; M may be 0.
            cartoons: of the style, `[K, 3, S, S]`; K may be 0 without discriminators.
            step: from 0; sets the learning rate.
            pseudo: pseudo-labels of `others`, `[M, 3, S, S]`, if there are any.

        Returns:
            Every loss of these images, unweighted, as a scalar tensor on the device.
        """
        state, count = self.state, len(photos)
        state.begin(step)
        report: dict[str, Tensor] = {}
        fakes = state.generate("genA2B", torch.cat([photos, others])).image

        if self.weights.uses_discriminators:
            images = losses.seen(torch.cat([drawings, cartoons, fakes.detach()]), self.weights.discriminators_see)
            sizes = [len(drawings) + len(cartoons), len(fakes)]
            outputs = (state.discriminate(name, images).split(sizes) for name in state.discriminators)
            losses.backward(
                "discriminator", losses.adversarial(outputs, losses.lsgan_discriminator), self.weights, report
            )
            state.update("discriminators")

        state.freeze_discriminators(True)
        terms = self._likeness(fakes[:count], drawings)
        if pseudo is not None:
            terms["pseudo"] = losses.weighted(self._likeness(fakes[count:], pseudo), self.weights)
        if self.weights.uses_discriminators:
            seen = losses.seen(fakes, self.weights.discriminators_see)
            outputs = ([state.discriminate(name, seen)] for name in state.discriminators)
            terms |= losses.adversarial(outputs, losses.lsgan_generator)
        if self.weights.face_id and len(others):
            terms["face_id"] = self._face_id(others, fakes[count:])
        if self.weights.face_id_pairs:
            terms["face_id_pairs"] = self._face_id(photos, fakes[:count])
        losses.backward("generator", terms, self.weights, report)
        state.freeze_discriminators(False)
        state.update("generators")
        state.after_generators(len(fakes))
        return report

    def _likeness(self, fakes: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The losses between cartoons and the drawings they should be, `[N, 3, S, S]` in -1..1."""
        terms = {"l1": (fakes - targets).abs().mean(), "edges": losses.edges(fakes, targets)}
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(fakes, targets).mean()
        return terms

    def _face_id(self, photos: Tensor, fakes: Tensor) -> Tensor:
        """The Face ID loss of photographs and their cartoons, `[N, 3, S, S]` in -1..1."""
        assert self.face is not None  # `from_folder` loads it if a loss needs it
        with torch.no_grad():
            known = self.face.features(photos)
        return losses.face_id(known, self.face.features(fakes))


def build_networks(params: Train) -> dict[str, nn.Module]:
    """The generator of cartoons and, if their losses are on, the discriminators of cartoons; randomly initialised."""
    discriminators = ("disGB", "disLB") if params.paired.uses_discriminators else ()
    return {"genA2B": build_generator(params)} | {
        name: build_discriminator(name, params.channels) for name in discriminators
    }
