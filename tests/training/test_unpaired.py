"""The step skips work that the original discards, and its gradients equal the original's."""

import copy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.networks.face import DlibFaceNet
from photo2cartoon.params import Train
from photo2cartoon.training.state import learning_rate
from photo2cartoon.training.unpaired import DISCRIMINATORS, GENERATORS, UnpairedTrainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def face(weights):
    return DlibFaceNet.from_dat(find_asset("dlib_face", weights))


def pictures(seed):
    """Return smooth pictures; with pure noise, instance normalisation of 8x8 features is all rounding."""
    noise = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(128, 128), mode="bicubic").clamp(0, 1) * 2 - 1


def build(face, **changes):
    torch.manual_seed(0)
    trainer = UnpairedTrainer(Train(size=128, channels=4, steps=10, **changes), face, CPU)
    for name in DISCRIMINATORS:
        # Batching changes the number of power iterations, one per call; in evaluation mode there is none.
        trainer.state.networks[name].eval()
    return trainer


def plain_gradients(trainer, real_A, real_B):
    """Losses as the original computes them: every picture passes every network alone, and nothing is shared."""
    state, face, w = trainer.state, trainer.face, trainer.weights
    nets = state.networks
    mse, bce = F.mse_loss, F.binary_cross_entropy_with_logits
    one, zero = torch.ones_like, torch.zeros_like
    fake_B, fake_A = nets["genA2B"](real_A).image, nets["genB2A"](real_B).image
    loss = 0
    for letter, real, fake in (("A", real_A, fake_A), ("B", real_B, fake_B)):
        for kind in "GL":
            on_real, on_fake = nets[f"dis{kind}{letter}"](real), nets[f"dis{kind}{letter}"](fake.detach())
            for r, f in ((on_real.logit, on_fake.logit), (on_real.cam_logit, on_fake.cam_logit)):
                loss = loss + mse(r, one(r)) + mse(f, zero(f))
    parameters_D = state.parameters_of(DISCRIMINATORS)
    gradients_D = torch.autograd.grad(loss, parameters_D)
    for optimizer in state.optimizers.values():
        optimizer.zero_grad()
    for parameter, gradient in zip(parameters_D, gradients_D, strict=True):
        parameter.grad = gradient
    state.optimizers["discriminators"].step()

    drawn_B, drawn_A = nets["genA2B"](real_A), nets["genB2A"](real_B)
    same_A, same_B = nets["genB2A"](real_A), nets["genA2B"](real_B)
    back_A, back_B = nets["genB2A"](drawn_B.image).image, nets["genA2B"](drawn_A.image).image
    loss = 0
    for letter, fake in (("A", drawn_A.image), ("B", drawn_B.image)):
        for kind in "GL":
            output = nets[f"dis{kind}{letter}"](fake)
            loss = loss + mse(output.logit, one(output.logit)) + mse(output.cam_logit, one(output.cam_logit))
    for real, back, same in ((real_A, back_A, same_A), (real_B, back_B, same_B)):
        loss = loss + w.cycle * (back - real).abs().mean() + w.identity * (same.image - real).abs().mean()
    for source, target in ((drawn_A.cam_logit, same_A.cam_logit), (drawn_B.cam_logit, same_B.cam_logit)):
        loss = loss + w.cam * (bce(source, one(source)) + bce(target, zero(target)))
    if face is not None:
        for real, fake in ((real_A, drawn_B.image), (real_B, drawn_A.image)):
            loss = loss + w.face_id * (1 - F.cosine_similarity(face.features(real), face.features(fake))).mean()
    return loss, torch.autograd.grad(loss, state.parameters_of(GENERATORS))


def test_gradients_are_those_of_the_original_order_of_work(face):
    real_A, real_B = pictures(1), pictures(2)
    trainer, reference = build(face), build(copy.deepcopy(face))
    for each in (trainer, reference):
        for part in (each.state.networks, each.state.ema, each.face):
            part.double()
    real_A, real_B = real_A.double(), real_B.double()
    loss, expected = plain_gradients(reference, real_A, real_B)

    seen = []
    trainer.state.optimizers["generators"].register_step_pre_hook(
        lambda optimizer, *_: seen.extend(p.grad.clone() for p in optimizer.param_groups[0]["params"])
    )
    report = trainer(real_A, real_B, 0)
    assert report["generator/total"].item() == pytest.approx(loss.item(), rel=1e-9)
    for got, wanted in zip(seen, expected, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-6, atol=1e-9)
    for name in DISCRIMINATORS:
        for a, b in zip(
            trainer.state.networks[name].parameters(), reference.state.networks[name].parameters(), strict=True
        ):
            assert torch.allclose(a, b, atol=1e-9)
    face.float()


def test_each_loss_can_be_switched_off(face):
    for name in ("cycle", "identity", "cam", "face_id", "adversarial", "adversarial_cam"):
        trainer = build(face, loss={name: 0.0})
        total = trainer(pictures(1), pictures(2), 0)
        terms = {key.split("/")[1]: value for key, value in total.items() if key.startswith("generator/")}
        rest = sum(getattr(trainer.weights, key) * value for key, value in terms.items() if key not in (name, "total"))
        assert terms["total"].item() == pytest.approx(rest.item(), rel=1e-5)
    assert "generator/face_id" not in build(None)(pictures(1), pictures(2), 0)


def test_mixtures_stay_between_0_and_1_and_averages_follow(face):
    trainer = build(face, lr=0.5, ema_halflife=2.0)
    state = trainer.state
    before = copy.deepcopy(state.ema["genA2B"].state_dict())
    trainer(pictures(1), pictures(2), 0)
    current = state.networks["genA2B"].state_dict()
    for name, value in current.items():
        if name.endswith(("rho", "w_gamma", "w_beta")):
            assert value.min() >= 0 and value.max() <= 1, name
        # Two pictures with a half-life of two make the average half old, half new.
        assert torch.allclose(state.ema["genA2B"].state_dict()[name], (before[name] + value) / 2, atol=1e-6)


def test_the_sections_switches_reach_the_networks(face):
    trainer = build(face, lr=0.5, clip_rho=0.4, clip_w=0.3, norm="soft_adalin", hourglasses=False, blocks=2)
    trainer(pictures(1), pictures(2), 0)
    generator = trainer.state.networks["genA2B"]
    assert len(generator.encoder) == len(generator.decoder) == 2 and len(generator.hourglasses_in) == 0
    for name, value in generator.state_dict().items():
        if name.endswith(("rho", "w_gamma", "w_beta")):
            assert value.max() <= (0.4 if name.endswith("rho") else 0.3) + 1e-6, name
    assert build(face, norm="adalin").state.networks["genB2A"].norm == "adalin"


def test_the_learning_rate_is_constant_then_falls_to_zero():
    params = Train(steps=100, lr=1e-4)
    rates = [learning_rate(step, params) for step in range(100)]
    assert rates[:50] == [1e-4] * 50
    # As in the original, each step of the second half is one fiftieth lower than the one before; the last is zero.
    assert all(a - b == pytest.approx(2e-6) for a, b in pairwise(rates[49:])) and rates[99] == 0
    assert learning_rate(0, Train(steps=1, lr=1e-4)) == 1e-4
    assert learning_rate(99, Train(steps=100, lr=1e-4, decay=False)) == 1e-4


def test_a_batch_in_parts_and_activations_computed_twice_change_nothing(face):
    """They only save memory: in double precision the losses and the weights after the step are the same."""
    real = [torch.cat([pictures(seed), pictures(seed + 1)]).double() for seed in (1, 3)]
    outcomes, calls = [], []
    for changes in ({}, {"accumulate": 2}, {"recompute": True}, {"accumulate": 2, "recompute": True}):
        torch.manual_seed(0)
        trainer = UnpairedTrainer(
            Train(size=128, channels=4, blocks=1, steps=10, batch=2, **changes), copy.deepcopy(face), CPU
        )
        state = trainer.state
        for part in (state.networks, state.ema, trainer.face):
            part.double()
        seen = []
        state.networks["genA2B"].encoder[0].register_forward_pre_hook(
            lambda _, given, seen=seen: seen.append(len(given[0]))
        )
        report = trainer(*real, 0)
        # A generator block runs once for the fakes and once for the cycle, and again where activations are recomputed.
        assert max(seen) == (2 if "accumulate" in changes else 4)
        calls.append(len(seen))
        outcomes.append((report, state.networks.state_dict()))
    assert calls == [2, 6, 4, 10]
    (expected, weights_), *others = outcomes
    for report, weights in others:
        assert report.keys() == expected.keys()
        assert all(report[name].item() == pytest.approx(value.item(), rel=1e-9) for name, value in expected.items())
        assert all(torch.allclose(weights[name], value, atol=1e-9) for name, value in weights_.items())
