"""The optimisation step in photo2cartoon's order of work: the baseline for this project's results and speed.

Every image passes through every network separately and for one purpose at a time. The fakes are generated again for the
generators' update, and the discriminators' update back-propagates through the generators too, for gradients that are
discarded. The face network computes gradients of its own weights. LIN and AdaLIN compute each statistic separately, and
spectral normalisation divides the weights.
"""

from __future__ import annotations

import types
from itertools import chain

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photo2cartoon.networks.discriminator import SpectralConv2d
from photo2cartoon.networks.face import FaceNetwork
from photo2cartoon.networks.normalisation import LIN, AdaLIN, clip_mixtures
from photo2cartoon.params import Train
from photo2cartoon.training.state import learning_rate
from photo2cartoon.training.unpaired import DISCRIMINATORS, GENERATORS, build_networks


class PlainStep:
    """The networks and their training step; called like `training.unpaired.UnpairedTrainer`.

    Args:
        params: the `train` section.
        face: the face network, or None when its loss is switched off.
        device: device of all networks.
    """

    def __init__(self, params: Train, face: FaceNetwork | None, device: torch.device) -> None:
        self.params, self.weights, self.face = params, params.loss, face
        self.networks = nn.ModuleDict(build_networks(params)).to(device)
        for part in self.networks.modules():
            if isinstance(part, AdaLIN):
                part.forward = types.MethodType(_adalin, part)
            elif isinstance(part, LIN):
                part.forward = types.MethodType(_lin, part)
            elif isinstance(part, SpectralConv2d):
                part.forward = types.MethodType(nn.Conv2d.forward, part)  # divides the weight, as torch does
        if isinstance(face, nn.Module):
            face.to(device).requires_grad_(True)
        options = {"lr": params.lr, "betas": params.betas, "weight_decay": params.weight_decay, "foreach": False}
        self.generators = torch.optim.Adam(self._parameters(GENERATORS), **options)
        self.discriminators = torch.optim.Adam(self._parameters(DISCRIMINATORS), **options)

    def _parameters(self, names: tuple[str, ...]) -> list[nn.Parameter]:
        return list(chain.from_iterable(self.networks[name].parameters() for name in names))

    def __call__(self, real_A: Tensor, real_B: Tensor, step: int) -> dict[str, Tensor]:
        """Train on one batch of each domain: float32 `[N, 3, S, S]` in -1..1; returns both total losses."""
        nets, w = self.networks, self.weights
        for optimizer in (self.generators, self.discriminators):
            optimizer.param_groups[0]["lr"] = learning_rate(step, self.params)

        self.discriminators.zero_grad()
        fake_B, fake_A = nets["genA2B"](real_A).image, nets["genB2A"](real_B).image
        on_real = [nets[name](real) for name, real in _each(real_A, real_B)]
        on_fake = [nets[name](fake) for name, fake in _each(fake_A, fake_B)]
        d_total = 0.0
        for real, fake in zip(on_real, on_fake, strict=True):
            d_total = d_total + w.adversarial * (_to_one(real.logit) + _to_zero(fake.logit))
            d_total = d_total + w.adversarial_cam * (_to_one(real.cam_logit) + _to_zero(fake.cam_logit))
        d_total.backward()
        self.discriminators.step()

        self.generators.zero_grad()
        drawn_B, drawn_A = nets["genA2B"](real_A), nets["genB2A"](real_B)
        back_A, back_B = nets["genB2A"](drawn_B.image).image, nets["genA2B"](drawn_A.image).image
        same_A, same_B = nets["genB2A"](real_A), nets["genA2B"](real_B)
        g_total = 0.0
        for output in [nets[name](fake) for name, fake in _each(drawn_A.image, drawn_B.image)]:
            g_total = g_total + w.adversarial * _to_one(output.logit) + w.adversarial_cam * _to_one(output.cam_logit)
        for real, back, same in ((real_A, back_A, same_A), (real_B, back_B, same_B)):
            g_total = g_total + w.cycle * F.l1_loss(back, real) + w.identity * F.l1_loss(same.image, real)
        for source, target in ((drawn_A.cam_logit, same_A.cam_logit), (drawn_B.cam_logit, same_B.cam_logit)):
            g_total = g_total + w.cam * (_cross_entropy(source, 1.0) + _cross_entropy(target, 0.0))
        if self.face is not None and w.face_id:
            for real, fake in ((real_A, drawn_B.image), (real_B, drawn_A.image)):
                cosine = F.cosine_similarity(self.face.features(real), self.face.features(fake))
                g_total = g_total + w.face_id * (1 - cosine).mean()
        g_total.backward()
        self.generators.step()
        for name in GENERATORS:
            clip_mixtures(nets[name], self.params.clip_rho, self.params.clip_w)
        return {"discriminator/total": d_total.detach(), "generator/total": g_total.detach()}


def _each(of_A: Tensor, of_B: Tensor) -> list[tuple[str, Tensor]]:
    return [("disGA", of_A), ("disLA", of_A), ("disGB", of_B), ("disLB", of_B)]


def _to_one(logit: Tensor) -> Tensor:
    return F.mse_loss(logit, torch.ones_like(logit))


def _to_zero(logit: Tensor) -> Tensor:
    return F.mse_loss(logit, torch.zeros_like(logit))


def _cross_entropy(logit: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logit, torch.full_like(logit, target))


def _blend(x: Tensor, rho: Tensor, eps: float) -> Tensor:
    """Compute rho * instance norm + (1 - rho) * layer norm, each with its own statistics."""
    mean, variance = x.mean(dim=(2, 3), keepdim=True), x.var(dim=(2, 3), keepdim=True)
    by_channel = (x - mean) / torch.sqrt(variance + eps)
    mean, variance = x.mean(dim=(1, 2, 3), keepdim=True), x.var(dim=(1, 2, 3), keepdim=True)
    by_layer = (x - mean) / torch.sqrt(variance + eps)
    return rho.expand_as(x[..., :1, :1]) * by_channel + (1 - rho.expand_as(x[..., :1, :1])) * by_layer


def _adalin(self: AdaLIN, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return _blend(x, self.rho, self.eps) * gamma[:, :, None, None] + beta[:, :, None, None]


def _lin(self: LIN, x: Tensor) -> Tensor:
    return _blend(x, self.rho, self.eps) * self.gamma + self.beta
