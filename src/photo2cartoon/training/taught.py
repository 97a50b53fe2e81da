"""One step of the taught recipe: drawings of the photographs are there, and the generator learns to draw them.

Photographs that have no drawing can take part: what is drawn of them has to pass for a cartoon, and its face for the same
person's. They are how people of whom there are no drawings get into it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photo2cartoon.checkpoint import build_generator
from photo2cartoon.networks.discriminator import build_discriminator
from photo2cartoon.networks.face import FaceNetwork
from photo2cartoon.networks.perceptual import Perceptual
from photo2cartoon.params import Train
from photo2cartoon.training import losses
from photo2cartoon.training.parallel import Team
from photo2cartoon.training.state import State, weighted


def build_networks(params: Train) -> dict[str, nn.Module]:
    """The generator of cartoons, and where they take part the discriminators of cartoons, with fresh weights."""
    networks: dict[str, nn.Module] = {"genA2B": build_generator(params)}
    if params.taught.judged:
        networks |= {name: build_discriminator(name, params.channels) for name in ("disGB", "disLB")}
    return networks


class TaughtStep(State):
    """The state of training and how one step changes it.

    Args:
        params: the `train` section.
        face: the frozen face network, or None when its loss is switched off.
        perceptual: the frozen classifier, or None when its loss is switched off.
        device: where everything lives.
        team: the processes that make the same step together; this one alone by default.
    """

    def __init__(
        self,
        params: Train,
        face: FaceNetwork | None,
        perceptual: Perceptual | None,
        device: torch.device,
        team: Team | None = None,
    ) -> None:
        super().__init__(build_networks(params), params, device, team)
        self.weights = params.taught
        self.face = face.to(device) if face is not None else None
        self.perceptual = perceptual.to(device) if perceptual is not None else None

    def __call__(
        self, photos: Tensor, drawings: Tensor, others: Tensor, cartoons: Tensor, step: int
    ) -> dict[str, Tensor]:
        """Train on one batch, or on this process's share of it.

        Args:
            photos, drawings: float32 `[N, 3, S, S]` in -1..1, the same crop of both.
            others: photographs without drawing, `[M, 3, S, S]`; M may be 0.
            cartoons: of the style, `[K, 3, S, S]`; K may be 0 where no discriminator takes part.
            step: from 0; sets the learning rate.

        Returns:
            Every loss of these pictures, unweighted, as a scalar tensor on the device.
        """
        self.begin(step)
        report: dict[str, Tensor] = {}
        drawn = self.draw("genA2B", torch.cat([photos, others])).picture
        if self.weights.judged:
            terms = self._judged_terms(torch.cat([drawings, cartoons]), drawn.detach())
            weighted("discriminator", terms, self.weights, report).backward()
            self.update("discriminators")

        self.freeze_discriminators(True)
        mine = drawn[: len(photos)]
        terms = {"l1": (mine - drawings).abs().mean(), "edges": losses.edges(mine, drawings)}
        if self.perceptual is not None:
            terms["perceptual"] = self.perceptual(mine, drawings).mean()
        if self.weights.judged:
            patches = cams = torch.zeros((), device=self.device)
            for name in self.discriminators:
                verdict = self.judge(name, drawn, refresh=True)
                patches = patches + losses.adversarial_generator(verdict.logit)
                cams = cams + losses.adversarial_generator(verdict.cam_logit)
            terms |= {"adversarial": patches, "adversarial_cam": cams}
        if self.face is not None and len(others):
            with torch.no_grad():
                known = self.face.features(others)
            terms["face_id"] = losses.face_id(known, self.face.features(drawn[len(photos) :]))
        weighted("generator", terms, self.weights, report).backward()
        self.freeze_discriminators(False)
        self.update("generators")
        self.after_generators(len(drawn))
        return report

    def _judged_terms(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        patches = cams = torch.zeros((), device=self.device)
        for name in self.discriminators:
            verdict = self.judge(name, torch.cat([real, fake]), refresh=True)
            sizes = [len(real), len(fake)]
            patches = patches + losses.adversarial_discriminator(*verdict.logit.split(sizes))
            cams = cams + losses.adversarial_discriminator(*verdict.cam_logit.split(sizes))
        return {"adversarial": patches, "adversarial_cam": cams}
