"""MLflow's database of the version before moves to this one with its versions, aliases, runs and pictures.

`data/mlflow-3.16.1` was written by `tracking` with that version: a run with a picture, and two registered versions.
"""

import shutil
import sqlite3
from pathlib import Path

import cv2
import pytest

from photo2cartoon.tracking import aliases, client, registry, runs
from tests.registered import register

KEPT = Path(__file__).parent / "data/mlflow-3.16.1"


@pytest.fixture
def upgraded(tmp_path, monkeypatch):
    """Project whose `var/` is of MLflow 3.16.1; yields its client of MLflow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(KEPT / "mlartifacts", tmp_path / "var/mlartifacts")
    script = (KEPT / "mlflow.sql").read_text().replace("/PROJECT", str(tmp_path))
    database = sqlite3.connect(tmp_path / "var/mlflow.db")
    database.executescript(script)
    database.close()
    return client.connect().MlflowClient()


def test_versions_aliases_runs_and_pictures_are_there(upgraded, tmp_path, p2c):
    found = registry.list_versions("photo2cartoon")
    assert [(int(version.version), version.aliases) for version in found] == [(2, ["champion"]), (1, ["previous"])]
    assert found[0].tags["generator_sha256"] == "2" * 64
    files = upgraded.download_artifacts(found[1].run_id, "images", str(tmp_path))
    (png,) = Path(files).glob("*.png")
    assert cv2.imread(str(png)).shape == (8, 8, 3)
    assert {run.info.status for run in upgraded.search_runs(["1"])} == {"FINISHED"}
    assert [point.value for point in upgraded.get_metric_history(found[0].run_id, "loss")] == [0.5]
    assert p2c("versions").stdout.count("(not exported)") == 2


def test_a_new_version_is_added_and_rolled_back(upgraded, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/card.txt").write_text("3")
    run = runs.begin("train", None, "a run").whole
    assert register("photo2cartoon", tmp_path / "model", run, generator_sha256="3" * 64) == 3
    aliases.set_champion("photo2cartoon", 3)
    assert aliases.champion_version("photo2cartoon") == 3
    aliases.mark_served("photo2cartoon", 3, "here", before=2)
    assert aliases.begin_rollback("photo2cartoon", "here") == 2
    aliases.mark_served("photo2cartoon", 2, "here")
    assert int(upgraded.get_model_version_by_alias("photo2cartoon", "previous").version) == 3
