"""A checkpoint describes itself, is never pickled, and one of its generators is enough to make cartoons."""

import json
import shutil

import pytest
import torch

from photo2cartoon import checkpoint as module
from photo2cartoon.errors import UserError


def test_a_card_says_what_it_is(checkpoint, tiny):
    card = module.read_card(checkpoint)
    assert (card.step, card.train) == (4, tiny)
    assert {path.stem for path in checkpoint.glob("*.safetensors")} == {*card.networks, "optimizers", "random"}


def test_nothing_is_pickled(checkpoint):
    for path in checkpoint.iterdir():
        data = path.read_bytes()
        assert path.suffix in (".json", ".safetensors")
        assert data[:1] == b"{" or data[8:9] == b"{"


def test_the_average_is_drawn_with_unless_told_otherwise(checkpoint):
    average, raw = module.load_generator(checkpoint), module.load_generator(checkpoint, which="raw")
    assert any((a != b).any() for a, b in zip(average.parameters(), raw.parameters(), strict=True))
    tensors = module.read_tensors(checkpoint / "genA2B.average.safetensors")
    assert all(torch.equal(value, average.state_dict()[name]) for name, value in tensors.items())


def test_a_generator_alone_is_enough_to_draw(checkpoint, tmp_path):
    module.copy_generator(checkpoint, tmp_path / "small")
    x = torch.rand(1, 3, 128, 128)
    assert torch.equal(module.load_generator(tmp_path / "small")(x).image, module.load_generator(checkpoint)(x).image)
    with pytest.raises(UserError, match="genB2A"):
        module.load_generator(tmp_path / "small", "genB2A")


def test_checkpoints_are_in_the_order_of_their_steps(tmp_path):
    """Also beyond six digits, where the order of the names is another."""
    steps = (999_999, 1_000_000, 95_000, 10_000_000)
    for step in steps:
        (tmp_path / f"step-{step:06d}").mkdir()
        (tmp_path / f"step-{step:06d}/checkpoint.json").touch()
    (tmp_path / "step-other").mkdir()
    assert [module.step_of(path) for path in module.list_checkpoints(tmp_path)] == sorted(steps)


def test_what_is_no_checkpoint(tmp_path, checkpoint):
    with pytest.raises(UserError, match="no such checkpoint folder"):
        module.read_card(tmp_path / "missing")
    with pytest.raises(UserError, match="not a checkpoint"):
        module.read_card(tmp_path)
    card = json.loads((checkpoint / "checkpoint.json").read_text())
    for change, reason in (({"format": 99}, "format 99"), ({"train": {"lr": "x"}}, "not a checkpoint's card")):
        (tmp_path / "checkpoint.json").write_text(json.dumps(card | change))
        with pytest.raises(UserError, match=reason):
            module.read_card(tmp_path)


def test_another_networks_weights_are_refused(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "x")
    card = json.loads((checkpoint / "checkpoint.json").read_text())
    card["train"]["channels"] = 8
    (tmp_path / "x/checkpoint.json").write_text(json.dumps(card))
    with pytest.raises(UserError, match=r"genA2B\.average\.safetensors: of another network: size mismatch"):
        module.load_generator(tmp_path / "x")


def test_a_card_of_the_previous_release_is_read(checkpoint, tmp_path):
    shutil.copytree(checkpoint, tmp_path / "old")
    card = json.loads((checkpoint / "checkpoint.json").read_text())
    card["train"] |= {"recipe": "taught", "taught": card["train"].pop("paired") | {"tones": 0.25}}
    (tmp_path / "old/checkpoint.json").write_text(json.dumps(card))
    train = module.read_card(tmp_path / "old").train
    assert (train.recipe, train.paired.tones) == ("paired", 0.25)
