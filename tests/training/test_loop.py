"""A run leaves curves, sample grids, checkpoints and an MLflow run, and fails with a one-line error."""

import json
import math
import os
import shutil
import subprocess
import sys
import threading
import time

import cv2
import pytest
from mlflow import MlflowClient

from photo2cartoon.errors import UserError
from photo2cartoon.tracking import runs
from photo2cartoon.tracking.client import connect
from photo2cartoon.training.loop import train
from tests.mlflow_server import mlflow_server


def test_what_a_run_leaves(trained):
    lines = [json.loads(line) for line in (trained / "stats.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    terms = {"adversarial", "adversarial_cam", "cycle", "identity", "cam", "face_id", "total"}
    for line in lines:
        assert terms <= {key.split("/")[1] for key in line if key.startswith("generator/")}
        assert all(math.isfinite(value) for value in line.values())
    assert [path.name for path in sorted((trained / "checkpoints").iterdir())] == ["step-000002", "step-000004"]
    assert [path.name for path in sorted((trained / "samples").iterdir())] == [
        "step-000001.png", "step-000002.png", "step-000004.png",
    ]  # fmt: skip
    assert cv2.imread(str(trained / "samples/step-000004.png")).std() > 20


def test_mlflow_holds_the_run(faces, weights, tiny, tmp_path):
    out = tmp_path / "run"
    train(tiny.model_copy(update={"steps": 2}), faces, weights, out)
    client = connect().MlflowClient()
    run = client.get_run(json.loads((out / "run.json").read_text())["mlflow_run"])
    assert run.info.status == "FINISHED"
    assert run.data.params["train.channels"] == "4" and run.data.params["train.loss.face_id"] == "1.0"
    assert len(run.data.params["data_sha256"]) == 64 and not [key for key in run.data.params if "paired" in key]
    assert run.info.run_name == "unpaired from scratch, 128 px, 4 channels, 2 steps, 3 photos, 5 cartoons"
    note = run.data.tags["mlflow.note.content"].split("\n\n")
    assert note[0] == f"**What:** {run.info.run_name}" and note[2].startswith("**Training:** finished at step 2 of 2")
    stage = client.get_run(json.loads((out / "run.json").read_text())["mlflow_training"])
    assert stage.data.tags["mlflow.parentRunId"] == run.info.run_id and stage.info.run_name == "train"
    assert {point.step for point in client.get_metric_history(stage.info.run_id, "generator/face_id")} == {1, 2}
    images = [item.path for item in client.list_artifacts(stage.info.run_id, "images")]
    assert any("samples" in path and path.endswith(".png") for path in images)
    dataset = stage.inputs.dataset_inputs[0].dataset
    assert json.loads(dataset.profile) == {"num_rows": 8, "split": "train", "photos": 3, "cartoons": 5}
    assert run.data.params["data_sha256"].startswith(dataset.digest)


def test_two_runs_of_one_seed_are_equal(faces, weights, tiny, tmp_path):
    short = tiny.model_copy(update={"steps": 2})
    first, second = (train(short, faces, weights, tmp_path / name) for name in "ab")
    for path in first.glob("gen*.safetensors"):
        assert path.read_bytes() == (second / path.name).read_bytes()


def test_a_folder_that_holds_a_run_is_not_overwritten(trained, faces, weights, tiny):
    with pytest.raises(UserError, match="--resume"):
        train(tiny, faces, weights, trained)


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_checkpoint(faces, weights, tiny, tmp_path):
    good = tiny.model_copy(update={"steps": 1, "checkpoint_every": 1})
    kept = train(good, faces, weights, tmp_path / "run")
    before = {path.name: path.read_bytes() for path in kept.iterdir()}
    wild = good.model_copy(update={"lr": 1e30, "steps": 40})
    reason = rf"is (nan|inf|-inf) at step \d+: try a lower train.lr; the last good checkpoint is {kept.parent}/step-"
    with pytest.raises(UserError, match=reason):
        train(wild, faces, weights, tmp_path / "run", resume=True)
    assert {path.name: path.read_bytes() for path in kept.iterdir()} == before
    client = connect().MlflowClient()
    run = json.loads((tmp_path / "run/run.json").read_text())["mlflow_run"]
    assert client.get_run(run).info.status == "FAILED"


def test_the_face_network_is_the_one_that_was_chosen(faces, weights, tiny, tmp_path):
    with pytest.raises(UserError, match=r"model_mobilefacenet\.pth: missing"):
        train(tiny.model_copy(update={"face_network": "mobilefacenet"}), faces, weights, tmp_path / "run")


def test_bad_input_is_named(p2c, faces, weights, tmp_path):
    (tmp_path / "params.yaml").write_text("train: {size: 128, channels: 4, steps: 2, device: cuda}")
    done = p2c("train", "--data", faces, "--weights", weights, "--out", "out", code=1)
    assert done.stderr == "p2c: train.device: 'cuda', but torch sees no GPU here\n"
    (tmp_path / "params.yaml").write_text("train: {size: 128, channels: 4, steps: 2}")
    done = p2c("train", "--data", "nowhere", "--weights", weights, "--out", "out", code=1)
    assert done.stderr == "p2c: nowhere/trainA: no such folder of faces; `p2c preprocess` makes it\n"
    done = p2c("train", "--data", faces, "--weights", "nowhere", "--out", "out", code=1)
    assert done.stderr.startswith("p2c: nowhere/dlib_face_recognition_resnet_model_v1.dat: missing")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_resumed_with_fewer_steps_keeps_its_state_as_a_checkpoint(
    trained, faces, weights, tiny, tmp_path
):
    """As after Ctrl-C at step 4, between checkpoints, and `steps: 4` to end there."""
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run/state").mkdir()
    (tmp_path / "run/checkpoints/step-000004").rename(tmp_path / "run/state/step-000004")
    last = train(tiny, faces, weights, tmp_path / "run", resume=True)
    assert last == tmp_path / "run/checkpoints/step-000004" and not (tmp_path / "run/state").exists()
    for path in last.glob("*.safetensors"):
        assert path.read_bytes() == (trained / "checkpoints/step-000004" / path.name).read_bytes(), path.name
    with pytest.raises(UserError, match=r"run: is at step 4 already; train\.steps is 3"):
        train(tiny.model_copy(update={"steps": 3}), faces, weights, tmp_path / "run", resume=True)


def test_parameters_that_changed_before_a_run_is_resumed_are_noted(trained, faces, weights, tiny, tmp_path, capfd):
    shutil.copytree(trained, tmp_path / "run")
    longer = tiny.model_copy(update={"steps": 5, "lr": 0.002})
    train(longer, faces, weights, tmp_path / "run", resume=True)
    said = f"train: resumes at step 4 with other parameters than before: steps 4 -> 5, lr {tiny.lr} -> 0.002"
    assert said in capfd.readouterr().err


@pytest.mark.parametrize(
    ("score", "reason"),
    [
        ("worst_identity_sface", "measured by `evaluate` alone, as it needs groups of people"),
        ("cycle", "measured by `evaluate` alone, as it needs both generators"),
        ("l1", "cannot be measured: drawings or cartoons are missing"),
        ("beauty", "there is no metric 'beauty'"),
    ],
)
def test_a_score_that_training_cannot_measure_is_refused_at_its_start(faces, weights, tiny, tmp_path, score, reason):
    with pytest.raises(UserError, match=rf"^train\.score: .*{reason}"):
        train(tiny.model_copy(update={"score": score}), faces, weights, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_mlflow_is_told_of_the_machine(faces, weights, tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.5")
    train(tiny, faces, weights, tmp_path / "run")
    client = connect().MlflowClient()
    run = client.get_run(json.loads((tmp_path / "run/run.json").read_text())["mlflow_training"])
    assert run.data.metrics["system/cpu_utilization_percentage"] > 0
    assert 0 < run.data.metrics["system/system_memory_usage_percentage"] < 100
    assert not [thread for thread in threading.enumerate() if thread.name == "SystemMetricsMonitor"]

    monkeypatch.setenv("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false")
    train(tiny.model_copy(update={"steps": 1}), faces, weights, tmp_path / "quiet")
    run = client.get_run(json.loads((tmp_path / "quiet/run.json").read_text())["mlflow_training"])
    assert not [name for name in run.data.metrics if name.startswith("system/")]


def test_it_logs_into_the_run_that_kubeflow_made(faces, weights, tiny, tmp_path, monkeypatch):
    """A second attempt gets a run of its own, which holds the whole curve all the same."""
    tiny = tiny.model_copy(update={"checkpoint_every": 1, "steps": 2})
    whole = runs.begin("pipeline", None, "kubeflow's").whole.run_id
    ids = [runs.begin(f"kubeflow's {number}", whole, "").run.run_id for number in range(2)]
    for steps, run in ((1, ids[0]), (2, ids[1])):
        monkeypatch.setenv("MLFLOW_RUN_ID", run)
        train(tiny.model_copy(update={"steps": steps}), faces, weights, tmp_path / "run", resume=True)
        info = json.loads((tmp_path / "run/run.json").read_text())
        assert (info["mlflow_training"], info["mlflow_run"]) == (run, whole)
    client = connect().MlflowClient()
    assert [row.step for row in client.get_metric_history(ids[1], "generator/total")] == [1, 2]
    assert client.get_run(ids[1]).info.status == "FINISHED"
    assert client.get_run(whole).info.status == "RUNNING"  # Kubeflow ends its own


@pytest.mark.slow
def test_training_goes_on_while_mlflow_is_away(faces, weights, tmp_path):
    """The server is killed in the middle and comes back at the end: every point of the curves and every image arrives."""
    small = "size: 128, channels: 4, hourglasses: false, blocks: 1, steps: 12"
    (tmp_path / "params.yaml").write_text(f"train: {{{small}, log_every: 1, sample_every: 6, checkpoint_every: 6}}")
    with mlflow_server(tmp_path) as uri:
        environment = {**os.environ, "MLFLOW_TRACKING_URI": uri, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
        command = [
            sys.executable,
            "-m",
            "photo2cartoon",
            "train",
            "--data",
            faces,
            "--weights",
            weights,
            "--out",
            "run",
        ]
        with (tmp_path / "log").open("w") as log:
            process = subprocess.Popen([*map(str, command)], cwd=tmp_path, env=environment, stderr=log, stdout=log)
        stats = tmp_path / "run/stats.jsonl"
        while not stats.exists() or len(stats.read_text().splitlines()) < 3:
            assert process.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.05)
    while len(stats.read_text().splitlines()) < 12:  # without a server
        assert process.poll() is None, (tmp_path / "log").read_text()
        time.sleep(0.05)
    with mlflow_server(tmp_path, int(uri.rsplit(":", 1)[1])):
        assert process.wait(90) == 0, (tmp_path / "log").read_text()
        client = MlflowClient(uri)
        info = json.loads((tmp_path / "run/run.json").read_text())
        points = client.get_metric_history(info["mlflow_training"], "generator/total")
        assert [point.step for point in points] == list(range(1, 13))
        images = {item.path.split("+")[2] for item in client.list_artifacts(info["mlflow_training"], "images")}
        assert images == {"1", "6", "12"}
        assert client.get_run(info["mlflow_run"]).info.status == "FINISHED"
    told = (tmp_path / "log").read_text()
    assert "Traceback" not in told and "does not answer: records wait" in told and "answers again" in told
