"""The compiled pipeline is the pipeline, its stages are dvc.yaml's, and it runs without a cluster."""

import shutil
import subprocess
import sys

import pytest
import yaml

from pipelines.photo2cartoon import COMPILED, compile_to
from tests.conftest import ROOT


def test_the_committed_yaml_is_not_stale(tmp_path):
    compile_to(tmp_path / "pipeline.yaml")
    assert (tmp_path / "pipeline.yaml").read_text() == COMPILED.read_text(), "run `make pipeline`"


def test_its_steps_are_the_stages_of_dvc():
    stages = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"])
    tasks = set(yaml.safe_load(COMPILED.read_text())["root"]["dag"]["tasks"])
    assert tasks == stages - {"params"} | {"resolve", "promote"}


@pytest.mark.long
def test_it_runs_here_from_pictures_to_a_promoted_version(tiny_params, tmp_path):
    params = {**tiny_params, "select": {"model_name": "kubeflow"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    shutil.copytree(ROOT / "triton_repo", tmp_path / "triton_repo", ignore=shutil.ignore_patterns(".retired"))
    shutil.rmtree(tmp_path / "triton_repo/generator/1", ignore_errors=True)
    command = [sys.executable, "-m", "pipelines.run_local", "--params", tmp_path / "params.yaml"]
    command += ["--repository", tmp_path / "triton_repo"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert (tmp_path / "triton_repo/generator/1/model.onnx").exists()

    params["train"] = {**params["train"], "lr": "much"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1 and done.stderr.startswith("pipeline: ") and "train.lr" in done.stderr
