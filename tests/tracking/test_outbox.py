"""Training goes on while MLflow's server is down, and its records arrive when the server is back."""

import json
import socket
import subprocess
import sys
import threading
import time

import pytest
from mlflow import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from photo2cartoon.tracking import outbox, runs, spool
from photo2cartoon.tracking.client import connect, tracking_uri
from photo2cartoon.tracking.outbox import Outbox
from tests.mlflow_server import mlflow_server


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working directory, whose `var/` keeps records; no long tries of MLflow's own client."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(outbox, "PAUSES", (0.2,))
    return tmp_path


def history(client, run, key):
    return [(point.step, point.value) for point in client.get_metric_history(run, key)]


@pytest.mark.slow
def test_a_server_that_is_down_in_the_middle_loses_nothing(elsewhere, monkeypatch, capsys):
    with mlflow_server(elsewhere) as uri:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        stage = runs.begin("train", None, "interrupted", outbox=True)
        stage.run.metrics({"loss": 1.0}, 1)
        while len(history(stage.run.client, stage.run.run_id, "loss")) < 1:
            time.sleep(0.05)
    began = time.monotonic()
    for step in (2, 3, 4):
        stage.run.metrics({"loss": 1 / step}, step)
    stage.whole.note("Training", "went on")
    assert time.monotonic() - began < 1  # nobody waits for the network
    ended = threading.Thread(target=stage.finish)
    ended.start()
    with mlflow_server(elsewhere, int(uri.rsplit(":", 1)[1])):
        ended.join(60)
        client = connect().MlflowClient()
        assert history(client, stage.run.run_id, "loss") == [(1, 1.0), (2, 1 / 2), (3, 1 / 3), (4, 1 / 4)]
        assert {client.get_run(run.run_id).info.status for run in (stage.run, stage.whole)} == {"FINISHED"}
        assert client.get_run(stage.whole.run_id).data.tags["mlflow.note.content"] == "**Training:** went on"
    printed = capsys.readouterr().err
    assert printed.count("does not answer: records wait") == 1 and printed.count("answers again") == 1


def test_what_is_left_at_the_end_is_sent_by_the_next_stage(elsewhere, capsys):
    stage = runs.begin("train", None, "left")
    broken = connect().MlflowClient("http://127.0.0.1:9")
    waiting = Outbox(broken, stage.run.run_id)
    waiting.put({"kind": "metrics", "run": stage.run.run_id, "time": 1, "values": {"loss": 0.5}, "step": 7})
    waiting.put({"kind": "end", "run": stage.run.run_id, "time": 2, "status": "FINISHED"})
    waiting.close(wait=0.5)
    (kept,) = (elsewhere / "var/outbox").glob(f"{stage.run.run_id}-*.jsonl")
    assert [json.loads(line)["kind"] for line in kept.read_text().splitlines()] == ["metrics", "end"]
    assert f"2 records are kept in {kept.relative_to(elsewhere)}" in capsys.readouterr().err
    runs.begin("evaluate", stage.whole.run_id, "left")
    client = connect().MlflowClient()
    assert history(client, stage.run.run_id, "loss") == [(7, 0.5)]
    assert client.get_run(stage.run.run_id).info.status == "FINISHED"
    assert not list(kept.parent.iterdir())


KILLED = """
import os, signal, sys
from photo2cartoon.tracking.client import connect
from photo2cartoon.tracking.outbox import Outbox

waiting = Outbox(connect().MlflowClient("http://127.0.0.1:9"), sys.argv[1])
for step in (1, 2):
    waiting.put({"kind": "metrics", "run": sys.argv[1], "time": step, "values": {"loss": 0.5}, "step": step})
print("put", flush=True)
sys.stdin.read()
"""


def test_a_process_that_is_killed_while_the_server_is_away_loses_nothing(elsewhere):
    stage = runs.begin("train", None, "killed")
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, stage.run.run_id], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"put\n"
    client = connect().MlflowClient()
    outbox.deliver(client)
    assert history(client, stage.run.run_id, "loss") == []  # its process is alive, and sends them itself
    process.kill()
    process.communicate()
    (kept,) = (elsewhere / "var/outbox").iterdir()
    with kept.open("a") as file:
        file.write('{"kind": "metr')  # killed within a line
    outbox.deliver(client)
    assert history(client, stage.run.run_id, "loss") == [(1, 0.5), (2, 0.5)] and not kept.exists()


def test_a_server_that_never_answers_holds_nobody_up(elsewhere, capsys):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        waiting = Outbox(connect().MlflowClient(f"http://127.0.0.1:{silent.getsockname()[1]}"), "silent")
        waiting.put({"kind": "end", "run": "x", "time": 1, "status": "FINISHED"})
        began = time.monotonic()
        waiting.close(wait=1)
        assert time.monotonic() - began < 10
    assert "1 records are kept in" in capsys.readouterr().err
    assert len(list((elsewhere / "var/outbox").iterdir())) == 1


def test_a_full_disk_ends_no_training(elsewhere, capsys):
    (elsewhere / "var").mkdir()
    (elsewhere / "var/outbox").write_text("a file in the folder's place")
    stage = runs.begin("train", None, "no folder", outbox=True)
    stage.run.metrics({"loss": 2.0}, 1)
    stage.finish()
    assert history(stage.run.client, stage.run.run_id, "loss") == [(1, 2.0)]
    assert capsys.readouterr().err.count("kept in memory only") == 1


def test_a_record_that_mlflow_refuses_holds_up_no_other(capsys):
    stage = runs.begin("train", None, "refused", outbox=True)
    stage.run.metrics({"a name?with:signs": 1.0}, 1)
    stage.run.metrics({"loss": 2.0}, 2)
    stage.finish()
    assert history(stage.run.client, stage.run.run_id, "loss") == [(2, 2.0)]
    assert "refuses a record" in capsys.readouterr().err


def test_what_was_sent_is_dropped_without_writing_the_rest_again(tmp_path):
    """On a full disk, or killed in the middle, the records that are not sent are still there."""
    path = tmp_path / "run.jsonl"
    lines = [json.dumps({"kind": "tags", "number": number}) for number in range(4)]
    path.write_text("\n".join([*lines, '{"kind": "ta']))
    before = path.read_bytes()
    with path.open("r+") as file:
        spool.drop(path, 1)
        spool.drop(path, 2)  # of the three that are left
        assert [record["number"] for record in spool.records(file)] == [3]
        after = path.read_bytes()
        assert len(after) == len(before) and after.endswith(before[before.index(lines[3].encode()) :])
        spool.drop(path, 1)
    assert not path.exists()


def test_a_disk_that_is_full_for_a_record_keeps_the_others(tmp_path):
    """And says what it has lost."""
    program = """
import resource
from photo2cartoon.tracking.spool import Spool, left_behind, records
resource.setrlimit(resource.RLIMIT_FSIZE, (200, 200))
large, first, second = {"text": "x" * 300}, {"number": 1}, {"number": 2}
for order, sent in (([large, first], 1), ([first, large, second], 0), ([first, second], 1), ([large], 0), ([first], 1)):
    made = Spool("run", "server")
    for record in order:
        made.append(record)
    for _ in range(sent):
        made.sent()
    left = made.close()
    found = [record for path, file in left_behind("server") for record in records(file) if not path.unlink(True)]
    print(tuple(left), [record["number"] for record in found])
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines() == ["(1, 0) [1]", "(2, 1) [1, 2]", "(1, 0) [2]", "(0, 1) []", "(0, 0) []"]
    assert run.stderr.count("kept in memory only: No space left on device") == 3


def test_records_for_another_server_are_left_to_it(elsewhere, monkeypatch):
    """Sent to this one, they would be refused, and lost."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:secret@127.0.0.1:9")
    waiting = Outbox(connect().MlflowClient(), "away")
    waiting.put({"kind": "tags", "run": "of-the-team", "values": {"a": "b"}})
    waiting.close(wait=0.1)
    (kept,) = (elsewhere / "var/outbox").iterdir()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}/own.db")
    outbox.deliver(connect().MlflowClient())
    assert kept.exists()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://team:changed@127.0.0.1:9")
    assert [path.name for path, _ in spool.left_behind(tracking_uri())] == [kept.name]


@pytest.mark.parametrize(
    ("code", "status", "final"),
    [
        ("RESOURCE_DOES_NOT_EXIST", 404, True),
        ("INVALID_PARAMETER_VALUE", 400, True),
        ("ENDPOINT_NOT_FOUND", 404, False),  # a proxy without MLflow behind it
        ("UNAUTHENTICATED", 401, False),
        ("PERMISSION_DENIED", 403, False),
        ("REQUEST_LIMIT_EXCEEDED", 429, False),
        ("INTERNAL_ERROR", 500, False),
    ],
)
def test_what_is_worth_another_try(code, status, final):
    error = MlflowException("said so", error_code=ErrorCode.Value(code))
    assert error.get_http_status_code() == status
    assert outbox.is_refusal(error) == final
