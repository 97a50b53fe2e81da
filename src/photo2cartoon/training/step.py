"""One optimisation step: both discriminators, then both generators, as photo2cartoon orders them.

The mathematics is the original's; work it throws away is not done. The fakes are drawn once for both updates (the
generators do not change in between), discriminators take no gradient from the generators' update, and pictures that go
through the same network go together wherever its normalisation is per picture.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from photo2cartoon.networks.discriminator import GLOBAL_LAYERS, LOCAL_LAYERS, Discriminator
from photo2cartoon.networks.face import FaceNetwork
from photo2cartoon.networks.generator import Generator
from photo2cartoon.networks.normalisation import clip_mixtures
from photo2cartoon.params import Train
from photo2cartoon.training import losses

GENERATORS = ("genA2B", "genB2A")
DISCRIMINATORS = ("disGA", "disGB", "disLA", "disLB")


class Networks(nn.ModuleDict):
    """The six networks by their names in U-GAT-IT: A is photographs, B cartoons, G sees the whole face, L its parts."""

    def __init__(self, params: Train) -> None:
        super().__init__(
            {name: build_generator(params) for name in GENERATORS}
            | {
                name: Discriminator(params.channels, GLOBAL_LAYERS if "G" in name else LOCAL_LAYERS)
                for name in DISCRIMINATORS
            }
        )

    def parameters_of(self, names: tuple[str, ...]) -> list[nn.Parameter]:
        """Parameters of several networks in a fixed order."""
        return [parameter for name in names for parameter in self[name].parameters()]


def build_generator(params: Train) -> Generator:
    """A generator as the `train` section describes it, with fresh weights."""
    return Generator(params.channels, params.size, params.light, params.norm, params.hourglasses, params.blocks)


class Step:
    """The state of training and how one step changes it.

    Args:
        params: the `train` section.
        face: the frozen face network, or None when its loss is switched off.
        device: where everything lives.
    """

    def __init__(self, params: Train, face: FaceNetwork | None, device: torch.device) -> None:
        self.params = params
        self.weights = params.loss
        self.networks = Networks(params).to(device)
        self.face = face.to(device) if face is not None else None
        options = {"lr": params.lr, "betas": params.betas, "weight_decay": params.weight_decay, "fused": True}
        self.optimizers = {
            "generators": torch.optim.Adam(self.networks.parameters_of(GENERATORS), **options),
            "discriminators": torch.optim.Adam(self.networks.parameters_of(DISCRIMINATORS), **options),
        }
        self.averages = Networks(params).to(device)
        for name in DISCRIMINATORS:
            del self.averages[name]
        self.averages.load_state_dict({k: v for k, v in self.networks.state_dict().items() if k.startswith("gen")})
        self.averages.requires_grad_(False).eval()

    def __call__(self, real_A: Tensor, real_B: Tensor, step: int) -> dict[str, Tensor]:
        """Train on one batch of each domain.

        Args:
            real_A, real_B: float32 `[N, 3, S, S]` in -1..1.
            step: from 0; sets the learning rate.

        Returns:
            Every loss, unweighted, as a scalar tensor on the device.
        """
        for optimizer in self.optimizers.values():
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, self.params)
        nets, count = self.networks, len(real_A)

        # One call a generator: what it must change and what it must leave alone.
        drawn_B = nets["genA2B"](torch.cat([real_A, real_B]))
        drawn_A = nets["genB2A"](torch.cat([real_B, real_A]))
        fake_B, same_B = drawn_B.picture.split(count)
        fake_A, same_A = drawn_A.picture.split(count)

        report = self._update_discriminators(real_A, real_B, fake_A.detach(), fake_B.detach())

        nets.requires_grad_(True)
        for name in DISCRIMINATORS:
            nets[name].requires_grad_(False)
        terms: dict[str, Tensor] = {}
        patches, cams = self._fool(fake_A, fake_B)
        terms["adversarial"], terms["adversarial_cam"] = patches, cams
        if self.weights.cycle:
            back_A = nets["genB2A"](fake_B).picture
            back_B = nets["genA2B"](fake_A).picture
            terms["cycle"] = losses.cycle(real_A, back_A) + losses.cycle(real_B, back_B)
        terms["identity"] = losses.identity(real_A, same_A) + losses.identity(real_B, same_B)
        terms["cam"] = losses.cam(*drawn_B.cam_logit.split(count)) + losses.cam(*drawn_A.cam_logit.split(count))
        if self.face is not None and self.weights.face_id:
            with torch.no_grad():
                real = self.face.features(torch.cat([real_A, real_B]))
            fake = self.face.features(torch.cat([fake_B, fake_A]))
            terms["face_id"] = losses.face_id(real[:count], fake[:count]) + losses.face_id(real[count:], fake[count:])
        total = sum(getattr(self.weights, name) * value for name, value in terms.items())
        self._optimise("generators", total)
        for name in DISCRIMINATORS:
            nets[name].requires_grad_(True)
        for name in GENERATORS:
            clip_mixtures(nets[name], self.params.clip_rho, self.params.clip_w)
        self._update_averages(2 * count)

        report.update({f"generator/{name}": value.detach() for name, value in terms.items()})
        report["generator/total"] = total.detach()
        return report

    def _update_discriminators(self, real_A: Tensor, real_B: Tensor, fake_A: Tensor, fake_B: Tensor) -> dict:
        patches = cams = 0.0
        for domain, real, fake in (("A", real_A, fake_A), ("B", real_B, fake_B)):
            for kind in "GL":
                verdict = self.networks[f"dis{kind}{domain}"](torch.cat([real, fake]))
                patches = patches + losses.adversarial_discriminator(*verdict.logit.split(len(real)))
                cams = cams + losses.adversarial_discriminator(*verdict.cam_logit.split(len(real)))
        total = self.weights.adversarial * patches + self.weights.adversarial_cam * cams
        if self.weights.adversarial or self.weights.adversarial_cam:
            self._optimise("discriminators", total)
        return {
            "discriminator/adversarial": patches.detach(),
            "discriminator/adversarial_cam": cams.detach(),
            "discriminator/total": total.detach(),
        }

    def _fool(self, fake_A: Tensor, fake_B: Tensor) -> tuple[Tensor, Tensor]:
        patches = cams = 0.0
        for domain, fake in (("A", fake_A), ("B", fake_B)):
            for kind in "GL":
                verdict = self.networks[f"dis{kind}{domain}"](fake)
                patches = patches + losses.adversarial_generator(verdict.logit)
                cams = cams + losses.adversarial_generator(verdict.cam_logit)
        return patches, cams

    def _optimise(self, which: str, loss: Tensor) -> None:
        optimizer = self.optimizers[which]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def _update_averages(self, pictures: int) -> None:
        """Exponential moving average of the generators; its half-life is counted in pictures, as in StyleGAN."""
        halflife = self.params.ema_halflife
        keep = 0.5 ** (pictures / halflife) if halflife else 0.0
        current = self.networks.state_dict()
        for name, value in self.averages.state_dict().items():
            value.lerp_(current[name], 1 - keep)


def learning_rate(step: int, params: Train) -> float:
    """Constant for the first half of the run, then linearly to zero, which the last step has; as in the original."""
    half = params.steps // 2
    if step < half or not half or not params.decay:
        return params.lr
    return params.lr * max(0, 2 * half - step - 1) / half
