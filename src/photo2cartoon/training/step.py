"""One step of the unpaired recipe: both discriminators, then both generators, as photo2cartoon orders them.

The mathematics is the original's; work it throws away is not done. The fakes are drawn once for both updates (the
generators do not change in between), discriminators take no gradient from the generators' update, and pictures that go
through the same network go together wherever its normalisation is per picture.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from photo2cartoon.checkpoint import build_generator
from photo2cartoon.networks.discriminator import build_discriminator
from photo2cartoon.networks.face import FaceNetwork
from photo2cartoon.params import Train
from photo2cartoon.training import losses
from photo2cartoon.training.parallel import Team
from photo2cartoon.training.state import State, weighted

GENERATORS = ("genA2B", "genB2A")
DISCRIMINATORS = ("disGA", "disGB", "disLA", "disLB")


def build_networks(params: Train) -> dict[str, nn.Module]:
    """The six networks by their names in U-GAT-IT, with fresh weights."""
    return {name: build_generator(params) for name in GENERATORS} | {
        name: build_discriminator(name, params.channels) for name in DISCRIMINATORS
    }


class Drawn(NamedTuple):
    """What the generators made of a batch, each pair for domain A and domain B.

    Args:
        fakes: of the other domain's pictures.
        same: of the domain's own pictures.
        cam_logits: for the other domain's pictures, and for its own.
    """

    fakes: tuple[Tensor, Tensor]
    same: tuple[Tensor, Tensor]
    cam_logits: tuple[tuple[Tensor, ...], tuple[Tensor, ...]]


class Step(State):
    """The state of training and how one step changes it.

    Args:
        params: the `train` section.
        face: the frozen face network, or None when its loss is switched off.
        device: where everything lives.
        team: the processes that make the same step together; this one alone by default.
    """

    def __init__(self, params: Train, face: FaceNetwork | None, device: torch.device, team: Team | None = None) -> None:
        super().__init__(build_networks(params), params, device, team)
        self.weights = params.loss
        self.face = face.to(device) if face is not None else None

    def __call__(self, real_A: Tensor, real_B: Tensor, step: int) -> dict[str, Tensor]:
        """Train on one batch of each domain, or on this process's share of it.

        Args:
            real_A, real_B: float32 `[N, 3, S, S]` in -1..1; N a multiple of `train.accumulate`.
            step: from 0; sets the learning rate.

        Returns:
            Every loss of these pictures, unweighted, as a scalar tensor on the device.
        """
        self.begin(step)
        parts = self.params.accumulate
        batches = list(zip(real_A.chunk(parts), real_B.chunk(parts), strict=True))
        report: dict[str, Tensor] = {}
        # Drawn once for both updates, unless memory is short: then only one part's graph is held at a time.
        drawn = [self._draw(*batch) for batch in batches] if parts == 1 else None

        for index, batch in enumerate(batches):
            if drawn is None:
                with torch.no_grad():
                    fakes = self._draw(*batch).fakes
            else:
                fakes = tuple(fake.detach() for fake in drawn[index].fakes)
            terms = self._discriminator_terms(*batch, *fakes, refresh=index == 0)
            self._backward("discriminator", terms, report, parts)
        if self.weights.adversarial or self.weights.adversarial_cam:
            self.update("discriminators")

        self.freeze_discriminators(True)
        for index, batch in enumerate(batches):
            drawings = self._draw(*batch) if drawn is None else drawn[index]
            terms = self._generator_terms(*batch, drawings, refresh=index == 0)
            self._backward("generator", terms, report, parts)
        self.freeze_discriminators(False)
        self.update("generators")
        self.after_generators(2 * len(real_A))
        return report

    def _draw(self, real_A: Tensor, real_B: Tensor) -> Drawn:
        """One call a generator: what it must change and what it must leave alone."""
        to_B = self.draw("genA2B", torch.cat([real_A, real_B]))
        to_A = self.draw("genB2A", torch.cat([real_B, real_A]))
        count = len(real_A)
        fake_B, same_B = to_B.picture.split(count)
        fake_A, same_A = to_A.picture.split(count)
        return Drawn((fake_A, fake_B), (same_A, same_B), (to_A.cam_logit.split(count), to_B.cam_logit.split(count)))

    def _discriminator_terms(
        self, real_A: Tensor, real_B: Tensor, fake_A: Tensor, fake_B: Tensor, refresh: bool
    ) -> dict[str, Tensor]:
        patches = cams = torch.zeros((), device=real_A.device)
        for domain, real, fake in (("A", real_A, fake_A), ("B", real_B, fake_B)):
            for kind in "GL":
                verdict = self.judge(f"dis{kind}{domain}", torch.cat([real, fake]), refresh)
                patches = patches + losses.adversarial_discriminator(*verdict.logit.split(len(real)))
                cams = cams + losses.adversarial_discriminator(*verdict.cam_logit.split(len(real)))
        return {"adversarial": patches, "adversarial_cam": cams}

    def _generator_terms(self, real_A: Tensor, real_B: Tensor, drawn: Drawn, refresh: bool) -> dict[str, Tensor]:
        count = len(real_A)
        fake_A, fake_B = drawn.fakes
        patches = cams = torch.zeros((), device=real_A.device)
        for domain, fake in (("A", fake_A), ("B", fake_B)):
            for kind in "GL":
                verdict = self.judge(f"dis{kind}{domain}", fake, refresh)
                patches = patches + losses.adversarial_generator(verdict.logit)
                cams = cams + losses.adversarial_generator(verdict.cam_logit)
        terms = {"adversarial": patches, "adversarial_cam": cams}
        if self.weights.cycle:
            back_A, back_B = self.draw("genB2A", fake_B).picture, self.draw("genA2B", fake_A).picture
            terms["cycle"] = losses.cycle(real_A, back_A) + losses.cycle(real_B, back_B)
        same_A, same_B = drawn.same
        terms["identity"] = losses.identity(real_A, same_A) + losses.identity(real_B, same_B)
        terms["cam"] = sum(losses.cam(*logits) for logits in reversed(drawn.cam_logits))
        if self.face is not None and self.weights.face_id:
            with torch.no_grad():
                real = self.face.features(torch.cat([real_A, real_B]))
            fake = self.face.features(torch.cat([fake_B, fake_A]))
            terms["face_id"] = losses.face_id(real[:count], fake[:count]) + losses.face_id(real[count:], fake[count:])
        return terms

    def _backward(self, which: str, terms: dict[str, Tensor], report: dict[str, Tensor], parts: int) -> None:
        """Add the gradients of one part of the batch, and its losses to the report."""
        total = weighted(which, terms, self.weights, report, parts)
        if total.requires_grad:
            total.backward()
