"""A killed training is not resumed if anything that decides its result has changed; tests/test_pipeline.py
resumes one under `dvc repro`."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import photo2cartoon
from photo2cartoon.errors import UserError
from photo2cartoon.files import folder_hash
from photo2cartoon.tracking.client import connect
from photo2cartoon.training.auto_resume import train_or_resume
from photo2cartoon.training.loop import train

STEPS = 4


@pytest.fixture
def params(tiny):
    return tiny.model_copy(update={"steps": STEPS, "checkpoint_every": 1, "blocks": 1})


def started(params, faces, weights, folder):
    """A process that trains in a folder as `dvc repro` does."""
    folder.mkdir(exist_ok=True)
    (folder / "params.yaml").write_text(yaml.safe_dump({"train": params.model_dump(mode="json")}))
    command = [sys.executable, "-m", "photo2cartoon", "train", "--out", "models/train", "--auto-resume"]
    paths = ["--params", "params.yaml", "--data", str(faces), "--weights", str(weights)]
    return subprocess.Popen([*command, *paths], cwd=folder, stderr=subprocess.PIPE, text=True)


def killed_at(step, params, faces, weights, folder):
    """Start a training and kill it once it has saved a step."""
    process = started(params, faces, weights, folder)
    while not list(folder.glob(f"var/training/*/train/checkpoints/step-{step:06}/checkpoint.json")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert not (folder / "models").exists()


def status(folder):
    """Status in MLflow of the run in a folder, and its id."""
    run = json.loads((folder / "run.json").read_text())["mlflow_run"]
    return connect().MlflowClient().get_run(run).info.status, run


@pytest.mark.slow
def test_another_parameter_starts_a_new_run_and_closes_the_old_one(params, faces, weights, tmp_path, capfd):
    killed_at(1, params, faces, weights, tmp_path)
    old = next((tmp_path / "var/training").iterdir())
    other = params.model_copy(update={"lr": 5e-4, "steps": 2})
    last = train_or_resume(other, faces, weights, tmp_path / "models/train", tmp_path / "var/training")
    printed = capfd.readouterr().err
    assert f"starts a new run; {old} holds an unfinished one with other train.steps, train.lr" in printed
    assert status(old / "train")[0] == "KILLED"
    train(other, faces, weights, tmp_path / "alone")
    assert folder_hash(last) == folder_hash(tmp_path / "alone/checkpoints/step-000002")
    # The old parameters again: their run is still there.
    train_or_resume(params, faces, weights, tmp_path / "models/train", tmp_path / "var/training")
    assert "train: resumes at step" in capfd.readouterr().err
    assert [path.name for path in (tmp_path / "var/training").iterdir()] == [old.name]


def test_images_weights_and_code_decide_as_well(params, faces, weights, tmp_path, monkeypatch):
    from photo2cartoon.training import auto_resume

    before, name = auto_resume._identity(params, faces, weights), auto_resume.training_name(params, faces, weights)
    changed = tmp_path / "faces"
    (changed / "trainA").mkdir(parents=True)
    assert auto_resume._identity(params, changed, weights)["data"] != before["data"]
    assert auto_resume._identity(params, faces, tmp_path)["weights"] != before["weights"]
    assert auto_resume.training_name(params, faces, tmp_path) != name  # so a cluster finds no run of other weights
    started = params.model_copy(update={"start_from": "slim"})
    assert auto_resume._identity(started, faces, weights)["start_from"] is not None
    package = tmp_path / "photo2cartoon"
    shutil.copytree(Path(photo2cartoon.__file__).parent, package, ignore=shutil.ignore_patterns("pretrained"))
    monkeypatch.setattr(photo2cartoon, "__file__", str(package / "__init__.py"))
    for name, decides in (
        ("training/plan.py", False),
        ("training/losses.py", True),
        ("networks/mobilefacenet.py", True),
    ):
        code = auto_resume._identity(params, faces, weights)["code"]
        with (package / name).open("a") as file:
            file.write("# changed")
        assert (auto_resume._identity(params, faces, weights)["code"] != code) == decides, name


def test_a_finished_run_is_not_trained_again_and_two_at_once_are_refused(params, faces, weights, tmp_path, capfd):
    short = params.model_copy(update={"steps": 1})
    given = short, faces, weights, tmp_path / "out", tmp_path / "training"
    first = folder_hash(train_or_resume(*given).parent)
    assert folder_hash(train_or_resume(*given).parent) == first
    assert "is finished already" in capfd.readouterr().err
    process = started(params, faces, weights, tmp_path / "project")
    while not list(tmp_path.glob("project/var/training/*/identity.json")):
        time.sleep(0.02)
    with pytest.raises(UserError, match="another process is training this run"):
        train_or_resume(params, faces, weights, tmp_path / "out", tmp_path / "project/var/training")
    process.kill()
    process.communicate()


def test_a_run_that_cannot_begin_leaves_nothing(params, faces, tmp_path):
    with pytest.raises(UserError, match="missing"):
        train_or_resume(params, faces, tmp_path / "nowhere", tmp_path / "out", tmp_path / "training")
    assert list((tmp_path / "training").iterdir()) == [] and not (tmp_path / "out").exists()
