"""MLflow is used where MLFLOW_TRACKING_URI points, and an unreachable server is named in one line."""

import json
import os
import subprocess
import sys

import pytest
import requests

from photo2cartoon.errors import UserError
from photo2cartoon.serving.repository import init_repository
from photo2cartoon.tracking import aliases, runs
from photo2cartoon.tracking.client import connect, experiment, link
from tests.conftest import ROOT

NOWHERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def test_an_unreachable_server_is_named(p2c, tmp_path, faces, weights):
    init_repository(tmp_path / "triton_repo", ROOT / "triton_repo")
    (tmp_path / "params.yaml").write_text("train: {size: 128, channels: 4, steps: 1}")
    for arguments in (["promote"], ["train", "--data", faces, "--weights", weights, "--out", "out"]):
        done = p2c(*arguments, code=1, **NOWHERE)
        assert done.stderr.startswith("p2c: MLflow at http://127.0.0.1:9: "), done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_database_by_a_relative_path_keeps_its_files_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here/runs.db")
    run = runs.begin("train", None, "first").run
    (tmp_path / "note.json").write_text(json.dumps("note"))
    run.files(tmp_path / "note.json", "notes")
    run.finish()
    assert list(tmp_path.glob("here/mlartifacts/*/artifacts/notes/note.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "note.json"]


def test_a_run_that_is_gone_is_replaced():
    first = runs.begin("train", None, "first")
    again = runs.begin("evaluate", first.whole.run_id, "again")
    assert again.whole.run_id == first.whole.run_id and again.run.run_id != first.run.run_id
    assert runs.begin("evaluate", "0" * 32, "again").whole.run_id not in ("0" * 32, first.whole.run_id)


def test_no_model_and_no_alias_is_no_version():
    assert aliases.find_alias("nobody", "champion") is None


def test_nested_values_are_flattened():
    assert runs.flatten({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b.c": 2, "b.d.e": 3}


def status(run):
    return connect().MlflowClient().get_run(run.run_id).info.status


def test_a_stage_ends_with_its_block():
    with runs.stage("evaluate", None, "ended") as done:
        assert status(done.run) == status(done.whole) == "RUNNING"
    assert status(done.run) == status(done.whole) == "FINISHED"
    with pytest.raises(KeyError), runs.stage("select", done.whole.run_id, "ended") as failed:
        raise KeyError
    assert (status(failed.run), status(failed.whole), status(done.run)) == ("FAILED", "FAILED", "FINISHED")


def test_a_refused_file_is_named_in_one_line():
    """MLflow's client lets the errors of its uploads through, as when a proxy limits their size."""
    refusal = requests.HTTPError("413 Client Error: Request Entity Too Large")
    with (
        pytest.raises(UserError, match=r"MLflow at .*: 413 Client Error"),
        runs.stage("select", None, "ended") as failed,
    ):
        raise refusal
    assert status(failed.run) == "FAILED"


BEGIN = """
import os, signal
from photo2cartoon.tracking import runs
stage = runs.begin("train", None, "lost")
print(stage.run.run_id, stage.whole.run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_run_whose_process_was_killed_is_ended_by_the_next_stage():
    lost = subprocess.run([sys.executable, "-c", BEGIN], capture_output=True, text=True).stdout.split()
    client = connect().MlflowClient()
    assert [client.get_run(run).info.status for run in lost] == ["RUNNING", "RUNNING"]
    alive = runs.begin("train", None, "alive")
    assert [client.get_run(run).info.status for run in lost] == ["KILLED", "KILLED"]
    runs.begin("train", None, "another")
    assert status(alive.run) == "RUNNING"  # its process, this one, is there
    client.set_tag(alive.run.run_id, "p2c.process", f"another-machine pid:[1] {os.getpid()} 1")
    assert runs.close_lost(client) == []  # it cannot be looked up from here


def test_the_experiment_opens_in_the_view_for_model_training(monkeypatch):
    client = connect().MlflowClient()
    found = client.get_experiment(experiment(client))
    assert found.tags["mlflow.experimentKind"] == "custom_model_development"
    client.set_experiment_tag(found.experiment_id, "mlflow.note.content", "a person's words")
    assert client.get_experiment(experiment(client)).tags["mlflow.note.content"] == "a person's words"
    assert link("models/photo2cartoon") is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000/")
    assert link("models/photo2cartoon") == "http://mlflow:5000/#/models/photo2cartoon?workflowType=machine_learning"
