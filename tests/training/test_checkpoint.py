"""A run that stops resumes exactly where it stopped, and a damaged checkpoint is named."""

import shutil

import pytest
import torch

from photo2cartoon.errors import UserError
from photo2cartoon.networks.face import load_face_network
from photo2cartoon.training.checkpoint import load
from photo2cartoon.training.loop import train
from photo2cartoon.training.unpaired import UnpairedTrainer


def test_going_on_equals_never_having_stopped(tiny, trained, faces, weights, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(tmp_path / "run/checkpoints/step-000004")
    train(tiny, faces, weights, tmp_path / "run", resume=True)
    for path in sorted((trained / "checkpoints/step-000004").glob("*.safetensors")):
        assert path.read_bytes() == (tmp_path / "run/checkpoints/step-000004" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("name", ["genA2B.average.safetensors", "optimizers.safetensors", "disGA.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "noise"])
def test_damage_is_named(checkpoint, tiny, weights, tmp_path, name, damage):
    copy = tmp_path / "step-000004"
    shutil.copytree(checkpoint, copy)
    if damage == "missing":
        (copy / name).unlink()
    else:
        data = (copy / name).read_bytes()
        (copy / name).write_bytes(data[:-100] if damage == "truncated" else b"\x80\x05" + data[2:])
    with pytest.raises(UserError, match=name):
        load(copy, UnpairedTrainer(tiny, load_face_network("dlib", weights), torch.device("cpu")).state)
