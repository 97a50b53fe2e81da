"""`dvc repro` runs every stage once, then nothing, then only the stages affected by a change or a loss."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from tests.test_house import LEAVES, MODULES, reached, room_of

STAGES = ["params", "assets", "ingest", "preprocess", "train", "evaluate", "select", "export"]


# The modules that each stage runs. What they import through assets, portrait or tracking arrives as another stage's output,
# or changes none; the parameters in the leaves are dependencies of their own.
RUNS = {
    "assets": (("assets.collect", "importing.segmenters"), ("portrait", "pretrained")),
    "ingest": (("dataset.ingest",), ("assets", "portrait")),
    "preprocess": (("dataset.preprocess",), ("assets",)),
    "train": (("training.loop",), ("assets", "portrait", "pretrained")),
    "evaluate": (("evaluation.evaluate",), ("assets", "portrait", "pretrained")),
    "select": (("evaluation.selection",), ("pretrained",)),
    "export": (("export.export",), ("assets", "portrait", "pretrained")),
}
# Read by these modules, or run by them as a program.
DATA = {
    "src/photo2cartoon/assets/catalogue.yaml", "src/photo2cartoon/dataset/sample.yaml", "src/photo2cartoon/pretrained/full",
    "src/photo2cartoon/pretrained/slim", "src/photo2cartoon/importing/frozen_graph.py",
}  # fmt: skip


@pytest.mark.parametrize("stage", RUNS)
def test_a_stage_depends_on_the_modules_that_it_runs_and_on_no_others(stage):
    entries, elsewhere = RUNS[stage]
    modules = {name for name in reached([f"photo2cartoon.{name}" for name in entries]) if name in MODULES}
    expected = {
        MODULES[name].relative_to(ROOT).as_posix()
        for name in modules
        if room_of(name) not in (*LEAVES, "tracking", *elsewhere) and MODULES[name].name != "__init__.py"
    }
    deps = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"][stage]["deps"])
    assert {dep for dep in deps if dep.startswith("src/")} - DATA == expected


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

    def changed(self):
        """The stages that `dvc status` would run again for a dependency of their own."""
        done = self.dvc("status", "--json")
        return {name for name, changes in json.loads(done.stdout).items() if any("changed deps" in c for c in changes)}

    def dvc(self, *arguments):
        path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"  # noqa: PTH120
        environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.folder}/var/mlflow.db"
        command = [sys.executable, "-m", "dvc", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=600)

    def repro(self, *arguments, code=0):
        """Run `dvc repro`; gives the stages that ran, those that were restored, and what was printed."""
        done = self.dvc("repro", *arguments)
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


def test_code_that_a_stage_does_not_run_leaves_it_alone(workspace):
    """Another promotion rule rescores nothing, another plan or another measure of `p2c measure` retrains nothing."""
    code = workspace.folder / "src/photo2cartoon"
    for names, stages in (
        (("serving/repository.py", "training/plan.py", "scoring/pairs.py", "evaluation/measure.py"), set()),
        (("evaluation/selection.py",), {"select"}),
        (("checkpoint.py",), {"train", "evaluate", "select", "export"}),
    ):
        before = {name: (code / name).read_text() for name in names}
        for name, text in before.items():
            (code / name).write_text(text + "\n# changed\n")
        assert workspace.changed() == stages
        for name, text in before.items():
            (code / name).write_text(text)


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
