"""The whole chain on MLflow's server with a real PostgreSQL and an artifact store in object storage."""

import contextlib
import functools
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import mlflow
import numpy as np
import pytest

from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.selection import select
from photo2cartoon.export.export import export
from photo2cartoon.params import Evaluate, Export, Select
from photo2cartoon.pictures import decode_png
from photo2cartoon.ports import free_ports
from photo2cartoon.serving.repository import init_repository, list_versions, promote
from photo2cartoon.tracking import registry
from photo2cartoon.tracking.client import connect
from photo2cartoon.training.loop import train
from photo2cartoon.urls import file_system
from tests.conftest import ROOT
from tests.mlflow_server import mlflow_server

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@contextlib.contextmanager
def postgresql():
    """Run Debian's PostgreSQL on loopback; yield the address of a new database, and a function that restarts it."""
    if not PROGRAMS:
        pytest.skip("Debian's package postgresql is not installed")
    programs, (port,) = PROGRAMS[-1], free_ports(1)
    # Not in pytest's folder, which another pytest closes to everybody else when it starts.
    folder = Path(tempfile.mkdtemp())
    user, who = {}, "mlflow"
    if os.geteuid() == 0:  # it refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}

    def run(program, *arguments):
        subprocess.run([programs / program, *arguments], check=True, capture_output=True, cwd=folder, **user)

    run("initdb", "--auth=trust", f"--username={who}", "--encoding=UTF8", "-D", folder / "data")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run("pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")
    try:
        run("createdb", "-h", "127.0.0.1", "-p", str(port), "-U", who, "mlflow")
        restart = functools.partial(
            run, "pg_ctl", "-D", folder / "data", "-m", "immediate", "-w", "-l", folder / "log", "restart"
        )
        yield f"postgresql+psycopg2://{who}@127.0.0.1:{port}/mlflow", restart
    finally:
        run("pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.mark.slow
def test_from_training_to_a_promoted_version(storage, tiny, faces, weights, astronaut, tmp_path, monkeypatch):
    system, _ = file_system("s3://mlflow")
    for bucket in ("mlflow", "models"):
        with contextlib.suppress(FileExistsError):
            system.mkdir(bucket)
    repository = "s3://models/triton"
    with (
        postgresql() as (store, restart),
        mlflow_server(tmp_path, store=store, artifacts="s3://mlflow/artifacts", **storage.environment) as uri,
    ):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        train(tiny.model_copy(update={"steps": 2}), faces, weights, tmp_path / "train")
        restart()  # the server's connections are gone, and nobody tells it
        evaluate(Evaluate(photos="all"), tmp_path / "train", faces, weights, tmp_path / "scores")
        chosen = select(Select(), tmp_path / "scores", tmp_path / "train", tmp_path / "selected")
        restart()
        export(Export(), tmp_path / "selected", faces, tmp_path / "generator.onnx", weights=weights)
        assert chosen.champion
        client = connect().MlflowClient()
        run = client.get_run(json.loads((tmp_path / "train/run.json").read_text())["mlflow_run"])
        assert run.info.status == "FINISHED" and "**Export:** fp32" in run.data.tags["mlflow.note.content"]
        version = registry.get_version("photo2cartoon", 1)
        assert int(version.run_id == run.info.run_id) and version.tags["checkpoint"] == chosen.checkpoint
        init_repository(repository, ROOT / "triton_repo")
        assert promote(repository, Select()) == 1 and list_versions(repository) == [1]
        assert registry.get_version("photo2cartoon", 1).tags["served_in"] == repository
        model = mlflow.pyfunc.load_model("models:/photo2cartoon@champion")
        cartoon = decode_png(model.predict({"photo": [astronaut.read_bytes()]})["cartoon"][0])
        assert cartoon.shape == (256, 256, 3) and np.ptp(cartoon) > 50
    stored = system.find("mlflow/artifacts")
    assert any(path.endswith("data/model/generator.onnx") for path in stored)
    assert any("/images/samples" in path for path in stored)
