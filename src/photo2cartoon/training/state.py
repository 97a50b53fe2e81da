"""The state of training (networks, their EMA, optimizers) and the operations that every recipe is made of."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from photo2cartoon.checkpoint import build_generator
from photo2cartoon.networks.discriminator import DiscriminatorOutput
from photo2cartoon.networks.generator import GeneratorOutput
from photo2cartoon.networks.normalisation import clip_mixtures
from photo2cartoon.params import Train
from photo2cartoon.training.distributed import ProcessGroup
from photo2cartoon.training.memory import keep_freed


class State:
    """Networks, EMA and optimizers, by the names of U-GAT-IT: A photographs, B cartoons, G global, L local.

    Args:
        networks: by name; the generators, `gen…`, get an EMA.
        params: the `train` section.
        device: device of all networks.
        group: the processes that train together; this one alone by default.
    """

    def __init__(
        self, networks: Mapping[str, nn.Module], params: Train, device: torch.device, group: ProcessGroup | None = None
    ) -> None:
        if params.keep_memory and device.type == "cpu":
            keep_freed()
        self.params = params
        self.device = device
        self.group = group or ProcessGroup(0, 1, device)
        self.layout = torch.channels_last if params.channels_last else torch.contiguous_format
        self.precision = precision(params, device)
        self.networks = nn.ModuleDict(networks)
        self.networks.to(device, memory_format=self.layout)  # type: ignore[call-overload]  # torch's stub lacks it
        self.generators = tuple(name for name in self.networks if name.startswith("gen"))
        self.discriminators = tuple(name for name in self.networks if name.startswith("dis"))
        groups = {"generators": self.generators, "discriminators": self.discriminators}
        self.optimizers = {
            which: torch.optim.Adam(
                self.parameters_of(names),
                lr=params.lr,
                betas=params.betas,
                weight_decay=params.weight_decay,
                fused=True,
            )
            for which, names in groups.items()
            if names
        }
        self.ema = nn.ModuleDict({name: build_generator(params) for name in self.generators}).to(device)
        self.ema.load_state_dict({k: v for k, v in self.networks.state_dict().items() if k.startswith("gen")})
        self.ema.requires_grad_(False).eval()
        if params.compile != "none":
            for network in self.networks.values():
                network.compile(mode=params.compile)

    def parameters_of(self, names: tuple[str, ...]) -> list[nn.Parameter]:
        """Parameters of several networks in a fixed order."""
        return [parameter for name in names for parameter in self.networks[name].parameters()]

    def begin(self, step: int) -> None:
        """Reset the gradients, and set the learning rate of this step, counted from 0."""
        if self.params.compile != "none":  # importing torch's compiler takes seconds
            torch.compiler.cudagraph_mark_step_begin()
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, self.params)

    def generate(self, name: str, pictures: Tensor) -> GeneratorOutput:
        """Run a generator on images `[N, 3, S, S]` in -1..1; the output is float32 whatever the precision."""
        with self._precision():
            output = self.networks[name](self._laid_out(pictures))
        return GeneratorOutput(*map(_raised, output))

    def discriminate(self, name: str, pictures: Tensor, refresh: bool = True) -> DiscriminatorOutput:
        """Run a discriminator on images `[N, 3, S, S]`.

        Args:
            name: of the discriminator.
            pictures: images in -1..1.
            refresh: run the power iteration of spectral normalisation; once per update, however many parts it has.
        """
        network = self.networks[name]
        training = network.training
        network.train(training and refresh)
        with self._precision():
            output = network(self._laid_out(pictures))
        network.train(training)
        return DiscriminatorOutput(*map(_raised, output))

    def _precision(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")

    def _laid_out(self, pictures: Tensor) -> Tensor:
        return pictures.contiguous(memory_format=self.layout)

    def freeze_discriminators(self, frozen: bool) -> None:
        """Stop or let the discriminators take gradients."""
        for name in self.discriminators:
            self.networks[name].requires_grad_(not frozen)

    def update(self, which: str) -> None:
        """One step of an optimizer, with the gradients of the whole group."""
        optimizer = self.optimizers[which]
        self.group.average_gradients(optimizer.param_groups[0]["params"])
        optimizer.step()

    def after_generators(self, pictures: int) -> None:
        """Clip the normalisations' mixtures to their range and update the EMA; called after each generators' update.

        Args:
            pictures: number of images that the generators of this process have seen in the step.
        """
        for name in self.generators:
            clip_mixtures(self.networks[name], self.params.clip_rho, self.params.clip_w)
        self._update_ema(pictures * self.group.size)

    @torch.no_grad()
    def _update_ema(self, pictures: int) -> None:
        """Update the exponential moving average; its half-life is counted in images, as in StyleGAN."""
        halflife = self.params.ema_halflife
        keep = 0.5 ** (pictures / halflife) if halflife else 0.0
        ema, current = self.ema.state_dict(), self.networks.state_dict()
        # One fused update for all tensors: one or two kernels on a GPU instead of hundreds.
        update = get_ema_multi_avg_fn(keep)
        update(list(ema.values()), [current[name] for name in ema], None)


def _raised(tensor: Tensor) -> Tensor:
    """bfloat16 to float32, because losses are computed in float32; other dtypes stay."""
    return tensor.float() if tensor.dtype == torch.bfloat16 else tensor


def precision(params: Train, device: torch.device) -> str:
    """The precision, fp32 or bf16, that `train.precision` selects on a device."""
    if params.precision != "auto":
        return params.precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"


def learning_rate(step: int, params: Train) -> float:
    """The learning rate: constant for half of the run, then linear to zero at the last step, as in photo2cartoon."""
    half = params.steps // 2
    if step < half or not half or not params.decay:
        return params.lr
    return params.lr * max(0, 2 * half - step - 1) / half
