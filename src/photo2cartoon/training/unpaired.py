"""The unpaired recipe, photo2cartoon's own: photographs and cartoons without any correspondence.

A step updates the discriminators, then the generators, in photo2cartoon's order. The mathematics is the original's; work
whose result the original discards is left out. The fakes are computed once for both updates, because the generators do not
change in between; the discriminators take no gradients from the generators' update; and images that go through the same
network go in one batch wherever its normalisation is per image.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from photo2cartoon.checkpoint import build_generator
from photo2cartoon.errors import UserError
from photo2cartoon.networks.discriminator import build_discriminator
from photo2cartoon.networks.face import FaceNetwork, load_face_network
from photo2cartoon.params import Train
from photo2cartoon.pictures import grid
from photo2cartoon.scoring.seven_rows import DIRECTIONS, seven_rows
from photo2cartoon.training import losses
from photo2cartoon.training.distributed import ProcessGroup
from photo2cartoon.training.state import State
from photo2cartoon.training.unpaired_data import UnpairedData

GENERATORS = ("genA2B", "genB2A")
DISCRIMINATORS = ("disGA", "disGB", "disLA", "disLB")


class Generated(NamedTuple):
    """Outputs of both generators for a batch, each a pair: for domain A, for domain B.

    Args:
        fakes: translated from the other domain.
        same: the domain's own images through the generator that makes this domain; they should not change.
        cam_logits: attention logits for the other domain's images, and for its own.
    """

    fakes: tuple[Tensor, Tensor]
    same: tuple[Tensor, Tensor]
    cam_logits: tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class UnpairedTrainer:
    """Two generators, four discriminators, and the step that trains them.

    Args:
        params: the `train` section.
        face: the frozen face network, or None when its loss is switched off.
        device: device of all networks.
        group: the processes that train together; this one alone by default.
        data: source of `step` and `grid`; not needed by a caller that passes its own batches.
    """

    def __init__(
        self,
        params: Train,
        face: FaceNetwork | None,
        device: torch.device,
        group: ProcessGroup | None = None,
        data: UnpairedData | None = None,
    ) -> None:
        self.params, self.weights, self.data = params, params.loss, data
        self.state = State(build_networks(params), params, device, group)
        self.group = self.state.group
        self.face = face.to(device) if face is not None else None

    @classmethod
    def from_folder(cls, params: Train, data: Path, weights: Path, group: ProcessGroup) -> UnpairedTrainer:
        """Build from the pictures of a dataset and the face network of a weights folder.

        Raises:
            UserError: pictures or weights are missing, or the batch cannot be divided.
        """
        share = group.share(params.batch)
        if share % params.accumulate:
            raise UserError(
                f"train.accumulate: {share} pictures a process cannot be taken in {params.accumulate} parts"
            )
        face = load_face_network(params.face_network, weights) if params.loss.face_id else None
        return cls(params, face, group.device, group, UnpairedData.load(data, params, group.device))

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each kind in the dataset."""
        return self._own_data().counts

    @property
    def per_step(self) -> dict[str, int]:
        """Pictures of each kind that a step takes, over all processes."""
        return dict.fromkeys(self.counts, self.params.batch)

    def step(self, number: int) -> dict[str, Tensor]:
        """Run step `number`, from 0, on this process's share of the batch; return the losses."""
        return self(*self._own_data().batch(number, self.params.batch, self.group), number)

    def grid(self) -> np.ndarray:
        """Both directions side by side, seven rows each, as the averaged generators translate now: uint8 RGB."""
        rows = [
            seven_rows(self.state.ema, pictures, direction)
            for pictures, direction in zip(self._own_data().shown, DIRECTIONS, strict=True)
        ]
        return np.hstack([grid(each, side=128) for each in rows])

    def _own_data(self) -> UnpairedData:
        assert self.data is not None
        return self.data

    def __call__(self, real_A: Tensor, real_B: Tensor, step: int) -> dict[str, Tensor]:
        """Train on one batch of each domain, or on this process's share of it.

        Args:
            real_A, real_B: float32 `[N, 3, S, S]` in -1..1; N a multiple of `train.accumulate`.
            step: from 0; sets the learning rate.

        Returns:
            Every loss of these images, unweighted, as a scalar tensor on the device.
        """
        state, parts = self.state, self.params.accumulate
        state.begin(step)
        batches = list(zip(real_A.chunk(parts), real_B.chunk(parts), strict=True))
        report: dict[str, Tensor] = {}
        # Without accumulation the fakes serve both updates; with it, only one part's graph is held at a time.
        generated = [self._generate(*batch) for batch in batches] if parts == 1 else None

        for index, batch in enumerate(batches):
            if generated is None:
                with torch.no_grad():
                    fakes = self._generate(*batch).fakes
            else:
                fake_A, fake_B = generated[index].fakes
                fakes = fake_A.detach(), fake_B.detach()
            terms = self._discriminator_terms(*batch, *fakes, refresh=index == 0)
            losses.backward("discriminator", terms, self.weights, report, parts)
        if self.weights.adversarial or self.weights.adversarial_cam:
            state.update("discriminators")

        state.freeze_discriminators(True)
        for index, batch in enumerate(batches):
            made = self._generate(*batch) if generated is None else generated[index]
            terms = self._generator_terms(*batch, made, refresh=index == 0)
            losses.backward("generator", terms, self.weights, report, parts)
        state.freeze_discriminators(False)
        state.update("generators")
        state.after_generators(2 * len(real_A))
        return report

    def _generate(self, real_A: Tensor, real_B: Tensor) -> Generated:
        """Run each generator once, on the images that it must change and on those that it must leave alone."""
        to_B = self.state.generate("genA2B", torch.cat([real_A, real_B]))
        to_A = self.state.generate("genB2A", torch.cat([real_B, real_A]))
        count = len(real_A)
        fake_B, same_B = to_B.image.split(count)
        fake_A, same_A = to_A.image.split(count)
        return Generated((fake_A, fake_B), (same_A, same_B), (to_A.cam_logit.split(count), to_B.cam_logit.split(count)))

    def _discriminator_terms(
        self, real_A: Tensor, real_B: Tensor, fake_A: Tensor, fake_B: Tensor, refresh: bool
    ) -> dict[str, Tensor]:
        outputs = (
            self.state.discriminate(f"dis{scope}{domain}", torch.cat([real, fake]), refresh).split(len(real))
            for domain, real, fake in (("A", real_A, fake_A), ("B", real_B, fake_B))
            for scope in "GL"
        )
        return losses.adversarial(outputs, losses.lsgan_discriminator)

    def _generator_terms(
        self, real_A: Tensor, real_B: Tensor, generated: Generated, refresh: bool
    ) -> dict[str, Tensor]:
        state, count = self.state, len(real_A)
        fake_A, fake_B = generated.fakes
        same_A, same_B = generated.same
        outputs = (
            [state.discriminate(f"dis{scope}{domain}", fake, refresh)]
            for domain, fake in (("A", fake_A), ("B", fake_B))
            for scope in "GL"
        )
        terms = losses.adversarial(outputs, losses.lsgan_generator)
        if self.weights.cycle:
            back_A, back_B = state.generate("genB2A", fake_B).image, state.generate("genA2B", fake_A).image
            terms["cycle"] = losses.cycle(real_A, back_A) + losses.cycle(real_B, back_B)
        terms["identity"] = losses.identity(real_A, same_A) + losses.identity(real_B, same_B)
        terms["cam"] = losses.added(losses.cam(*logits) for logits in reversed(generated.cam_logits))
        if self.face is not None and self.weights.face_id:
            with torch.no_grad():
                real = self.face.features(torch.cat([real_A, real_B]))
            fake = self.face.features(torch.cat([fake_B, fake_A]))
            terms["face_id"] = losses.face_id(real[:count], fake[:count]) + losses.face_id(real[count:], fake[count:])
        return terms


def build_networks(params: Train) -> dict[str, nn.Module]:
    """The six networks by their names in U-GAT-IT, randomly initialised."""
    return {name: build_generator(params) for name in GENERATORS} | {
        name: build_discriminator(name, params.channels) for name in DISCRIMINATORS
    }
