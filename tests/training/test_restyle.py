"""The restyle recipe moves a trained generator towards another style, keeps people's colours, and resumes exactly."""

import json
import shutil
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from photo2cartoon import checkpoint
from photo2cartoon.errors import UserError
from photo2cartoon.params import Restyle, Train
from photo2cartoon.training.distributed import ProcessGroup
from photo2cartoon.training.loop import train
from photo2cartoon.training.losses import colours
from photo2cartoon.training.restyle import RestyleTrainer

SHORT = Train(
    recipe="restyle", start_from="slim", size=128, channels=16, hourglasses=False, steps=2, batch=1, lr=1e-3,
    ema_halflife=2.0, checkpoint_every=1, sample_every=2, log_every=1,
)  # fmt: skip


def trainer(faces, weights, **given):
    section = SHORT.model_copy(update={"restyle": Restyle(**given)})
    made = RestyleTrainer.from_folder(section, faces, weights, ProcessGroup(0, 1, torch.device("cpu")))
    made.state.networks["genA2B"].load_state_dict(made.source.state_dict())
    return made


def test_it_trains_from_the_source_and_resumes_to_the_same_bytes(faces, weights, tmp_path):
    whole = train(SHORT, faces, weights, tmp_path / "whole")
    rows = [json.loads(line) for line in (tmp_path / "whole/stats.jsonl").read_text().splitlines()]
    terms = {"adversarial", "adversarial_cam", "lines", "perceptual", "colours", "identity", "face_id", "total"}
    assert {name.removeprefix("generator/") for name in rows[0] if name.startswith("generator/")} == terms
    assert rows[0]["generator/lines"] < 1e-6, "the first drawings are the source's"
    assert not (whole / "genB2A.safetensors").exists()
    train(SHORT, faces, weights, tmp_path / "again")
    shutil.rmtree(tmp_path / "again/checkpoints/step-000002")
    again = train(SHORT, faces, weights, tmp_path / "again", resume=True)
    for path in whole.glob("*.safetensors"):
        assert path.read_bytes() == (again / path.name).read_bytes(), path.name
    assert checkpoint.load_generator(whole).size == 128


def test_each_loss_reaches_the_generator_alone(faces, weights):
    """With one loss on, the generator gets gradients from it; the source never does."""
    off = dict.fromkeys(
        ("adversarial", "adversarial_cam", "lines", "perceptual", "colours", "identity", "face_id"), 0.0
    )
    for name in off:
        made = trainer(faces, weights, **off | {name: 1.0})
        with torch.no_grad():  # away from the source, from which it starts, as some losses compare the two
            for parameter in made.state.networks["genA2B"].parameters():
                parameter.mul_(1.05)
        made.step(0)
        gradients = [
            p.grad.abs().sum().item() for p in made.state.networks["genA2B"].parameters() if p.grad is not None
        ]
        assert sum(gradients) > 0, name
        assert all(p.grad is None for p in made.source.parameters())


def test_colours_are_coarse():
    """Equal to a mean over tiles by another way; blind to what is finer than a tile."""
    rng = torch.Generator().manual_seed(0)
    one, two = (torch.rand(2, 3, 64, 64, generator=rng) * 2 - 1 for _ in range(2))
    tiles = [image.unfold(2, 4, 4).unfold(3, 4, 4).mean(dim=(-1, -2)) for image in (one, two)]
    assert torch.allclose(colours(one, two), F.l1_loss(*tiles), atol=1e-6)
    board = torch.ones(1, 3, 64, 64)
    board[..., ::2, ::2] = board[..., 1::2, 1::2] = -1
    assert colours(board, torch.zeros_like(board)) == 0


def test_nothing_to_start_from_is_an_error_in_a_line(faces, weights):
    section = SHORT.model_copy(update={"start_from": None})
    with pytest.raises(UserError, match="start_from"):
        RestyleTrainer.from_folder(section, Path(faces), weights, ProcessGroup(0, 1, torch.device("cpu")))
