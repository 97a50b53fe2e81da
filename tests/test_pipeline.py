"""`dvc repro` runs every stage once, then nothing, then only what a change or a loss asks for."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT

STAGES = ["params", "assets", "ingest", "preprocess", "train", "evaluate", "select", "export"]


class Workspace:
    """A copy of the project's pipeline with the smallest settings, and a home of its own."""

    def __init__(self, folder, params):
        self.folder = folder
        for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
            shutil.copy(ROOT / name, folder / name)
        shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        (folder / ".dvc").mkdir()
        shutil.copy(ROOT / ".dvc/config", folder / ".dvc/config")
        self.params(params)

    def params(self, values):
        (self.folder / "params.yaml").write_text(yaml.safe_dump(values))

    def repro(self, *arguments, code=0):
        """Run `dvc repro`; gives the stages that ran, those that were restored, and what was printed."""
        path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # noqa: PTH120
        environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.folder}/var/mlflow.db"
        command = [sys.executable, "-m", "dvc", "repro", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        ran = [line.split("'")[1] for line in lines if line.startswith("Running stage")]
        restored = [line.split("'")[1] for line in lines if "is cached - skipping run" in line]
        return ran, restored, done.stdout + done.stderr


@pytest.fixture(scope="module")
def workspace(tmp_path_factory, tiny_params):
    space = Workspace(tmp_path_factory.mktemp("pipeline"), tiny_params)
    space.values = tiny_params
    space.first = space.repro()
    return space


def outputs(space):
    return {
        stage: [out if isinstance(out, str) else next(iter(out)) for out in entry["outs"]]
        for stage, entry in yaml.safe_load((space.folder / "dvc.yaml").read_text())["stages"].items()
    }


def test_the_first_run_runs_every_stage(workspace):
    assert workspace.first[0] == STAGES
    for paths in outputs(workspace).values():
        assert all((workspace.folder / path).exists() for path in paths)


def test_the_second_run_does_nothing(workspace):
    ran, restored, told = workspace.repro()
    assert (ran, restored) == ([], []) and "up to date" in told


@pytest.mark.parametrize("stage", STAGES)
def test_a_lost_output_comes_back_and_nothing_else_is_touched(workspace, stage):
    paths = [workspace.folder / path for path in outputs(workspace)[stage]]
    times = {path: path.stat().st_mtime_ns for path in workspace.folder.glob("models/*") if path not in paths}
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    ran, restored, _ = workspace.repro()
    assert ran + restored == [stage]
    assert all(path.exists() for path in paths)
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert workspace.repro()[:2] == ([], [])


def test_selecting_again_makes_no_new_version_and_so_nothing_follows(workspace):
    selection = workspace.folder / "models/selected/selection.json"
    before = selection.read_text()
    assert workspace.repro("--force", "--single-item", "select")[0] == ["select"]
    assert selection.read_text() == before
    assert workspace.repro()[:2] == ([], [])


def test_a_change_reruns_what_depends_on_it(workspace):
    workspace.params({**workspace.values, "select": {"metric": "kernel_face"}})
    ran = workspace.repro()[0]
    assert ran[:2] == ["params", "select"] and set(ran) <= {"params", "select", "export"}
    workspace.params(workspace.values)
    workspace.repro()


@pytest.mark.parametrize("key", ["lerning_rate", "lr"])
def test_wrong_params_stop_it_before_any_work(workspace, key):
    shutil.rmtree(workspace.folder / "data/faces")  # there would be work to do
    workspace.params({**workspace.values, "train": {**workspace.values["train"], key: "much"}})
    ran, restored, told = workspace.repro(code=255)
    assert (ran, restored) == (["params"], [])
    assert f"train.{key}" in told and "Traceback" not in told
    assert not (workspace.folder / "data/faces").exists()
    workspace.params(workspace.values)
    workspace.repro()
