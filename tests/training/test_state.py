"""Each speed switch changes only what it may change."""

import pytest
import torch

from photo2cartoon.networks import discriminator, normalisation
from photo2cartoon.params import Train
from photo2cartoon.training.state import precision
from photo2cartoon.training.unpaired import UnpairedTrainer

CPU = torch.device("cpu")


def step(**changes):
    torch.manual_seed(0)
    trainer = UnpairedTrainer(Train(size=128, channels=8, steps=10, **changes), None, CPU)
    generator = torch.Generator().manual_seed(1)
    pictures = torch.nn.functional.interpolate(torch.rand(2, 1, 3, 16, 16, generator=generator).flatten(0, 1), size=128)
    report = trainer(*(pictures * 2 - 1).split(1), 0)
    return {name: value.item() for name, value in report.items()}, trainer.state


@pytest.fixture(scope="module")
def plain():
    return step()


def test_channels_last_changes_the_order_of_additions_only(plain):
    report, state = step(channels_last=True)
    assert state.networks["genA2B"].stem[1].weight.is_contiguous(memory_format=torch.channels_last)
    for name, value in plain[0].items():
        assert report[name] == pytest.approx(value, rel=2e-4, abs=1e-5), name


def test_bf16_keeps_normalisation_spectral_norm_and_losses_in_float32(plain, monkeypatch):
    seen = {}

    def watch(owner, name):
        inner = getattr(owner, name)

        def watched(*given, **options):
            seen.setdefault(name, set()).update(g.dtype for g in given if isinstance(g, torch.Tensor))
            assert not torch.is_autocast_enabled("cpu")
            return inner(*given, **options)

        monkeypatch.setattr(owner, name, watched)

    watch(normalisation, "_blend_scale_shift")
    watch(torch.nn.functional, "instance_norm")
    watch(torch.nn.functional, "normalize")  # used by the power iteration
    report, state = step(precision="bf16")
    assert seen and all(dtypes == {torch.float32} for dtypes in seen.values()), seen
    assert set(seen) == {"_blend_scale_shift", "instance_norm", "normalize"}
    drawing = state.generate("genA2B", torch.zeros(1, 3, 128, 128))
    assert {tensor.dtype for tensor in drawing} == {torch.float32}
    assert {p.dtype for p in state.networks.parameters()} == {torch.float32}
    for name, value in plain[0].items():
        assert report[name] == pytest.approx(value, rel=0.05, abs=0.01), name
    assert report["generator/cycle"] != plain[0]["generator/cycle"]  # bf16 was used


def test_precision_follows_the_hardware():
    assert precision(Train(), CPU) == "fp32" and precision(Train(precision="bf16"), CPU) == "bf16"


def test_spectral_norm_is_torchs():
    torch.manual_seed(0)
    ours = discriminator.spectral_norm(discriminator.SpectralConv2d(3, 8, 4))
    torch.manual_seed(0)
    torchs = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Conv2d(3, 8, 4))
    x = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    ours, torchs = ours.double(), torchs.double()
    for _ in range(3):
        out, expected = ours(x), torchs(x)
        torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
        gradients = [
            torch.autograd.grad(y.square().sum(), [*layer.parameters()])
            for y, layer in ((out, ours), (expected, torchs))
        ]
        for gradient, its in zip(*gradients, strict=True):
            torch.testing.assert_close(gradient, its, rtol=1e-10, atol=1e-12)
    ours.eval(), torchs.eval()
    torch.testing.assert_close(ours.weight, torchs.weight, rtol=0, atol=0)
    assert list(ours.state_dict()) == list(torchs.state_dict())


@pytest.mark.long
@pytest.mark.parametrize("mode", ["default", "reduce-overhead"])
def test_compiled_networks_give_the_same_losses_and_checkpoints(mode):
    """Runs without hourglasses, which take half an hour to compile on two cores."""
    small = {"hourglasses": False, "blocks": 1}
    (plain, networks), (report, compiled) = step(**small), step(**small, compile=mode)
    for name, value in plain.items():
        assert report[name] == pytest.approx(value, rel=2e-4, abs=1e-5), name
    assert list(compiled.networks.state_dict()) == list(networks.networks.state_dict())
