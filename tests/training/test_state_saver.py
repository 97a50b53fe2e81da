"""The state is saved by time beside the steps; a run that is lost resumes from it with the same result."""

import json
import shutil
from types import SimpleNamespace

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.training import state_saver
from photo2cartoon.training.loop import train
from photo2cartoon.training.run_logger import RunLogger
from photo2cartoon.training.run_storage import RunStorage
from photo2cartoon.training.state_saver import StateSaver


def test_it_is_due_when_the_minutes_have_passed(tmp_path):
    now = SimpleNamespace(seconds=0.0)
    saver = StateSaver(tmp_path, 10, clock=lambda: now.seconds)
    assert not saver.due()
    now.seconds = 600
    assert saver.due()
    assert not StateSaver(tmp_path, 0, clock=lambda: now.seconds + 10**9).due()


class LostError(Exception):
    """The machine is gone."""


@pytest.fixture
def lost_after(monkeypatch):
    """Function that saves after every step and loses the machine after one of them, when that step has been saved."""

    def lose(step):
        monkeypatch.setattr(StateSaver, "due", lambda _: True)
        log, savers, begin = RunLogger.losses, [], StateSaver.__init__

        def losing(self, values, at):
            if at == step + 1:
                savers[-1]._thread.shutdown()
                raise LostError
            return log(self, values, at)

        def begins(self, *given, **more):
            savers.append(self)
            begin(self, *given, **more)

        monkeypatch.setattr(StateSaver, "__init__", begins)
        monkeypatch.setattr(RunLogger, "losses", losing)

    yield lose
    monkeypatch.undo()


def networks(run):
    return {path.name: path.read_bytes() for path in sorted((run / "checkpoints/step-000004").glob("*.safetensors"))}


def test_a_lost_run_resumes_from_its_state(faces, weights, tiny, trained, tmp_path, lost_after, monkeypatch):
    lost_after(3)
    with pytest.raises(LostError):
        train(tiny, faces, weights, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run/state").iterdir()) == ["step-000002", "step-000003"]
    with pytest.raises(UserError, match="holds a run already"):
        train(tiny, faces, weights, tmp_path / "run")
    monkeypatch.undo()
    (tmp_path / "run/state/step-000003/disGA.safetensors").write_bytes(b"cut")  # the one before it is used
    train(tiny, faces, weights, tmp_path / "run", resume=True)
    assert networks(tmp_path / "run") == networks(trained)
    assert not (tmp_path / "run/state").exists()


def test_another_machine_resumes_from_object_storage(
    storage, faces, weights, tiny, trained, tmp_path, lost_after, monkeypatch
):
    place = f"s3://{storage.bucket}/run"
    lost_after(3)
    with pytest.raises(LostError):
        train(tiny, faces, weights, tmp_path / "lost", place=place)
    monkeypatch.undo()
    shutil.rmtree(tmp_path / "lost")
    found = storage.keys("run")
    assert {key.split("/")[2] for key in found if "/state/" in key} == {"step-000002", "step-000003"}
    storage.client.delete_object(Bucket=storage.bucket, Key="run/state/step-000003/checkpoint.json")  # half uploaded
    train(tiny, faces, weights, tmp_path / "next", place=place)
    assert networks(tmp_path / "next") == networks(trained)
    steps = [line.split(",")[0] for line in (tmp_path / "next/stats.jsonl").read_text().splitlines()]
    assert len(steps) == len((trained / "stats.jsonl").read_text().splitlines())
    RunStorage(place).restore(tmp_path / "again")
    assert {path.name for path in (tmp_path / "again/checkpoints/step-000004").iterdir()} == {
        "checkpoint.json", "genA2B.average.safetensors", "genB2A.average.safetensors"
    }  # fmt: skip
    train(tiny, faces, weights, tmp_path / "third", place=place)  # complete: nothing is trained again
    assert (tmp_path / "third/stats.jsonl").read_text() == (tmp_path / "next/stats.jsonl").read_text()


def test_a_run_lost_before_its_first_checkpoint_stays_one_run_in_mlflow(
    storage, faces, weights, tiny, tmp_path, lost_after, monkeypatch
):
    place = f"s3://{storage.bucket}/early"
    lost_after(1)
    with pytest.raises(LostError):
        train(tiny, faces, weights, tmp_path / "lost", place=place)
    monkeypatch.undo()
    begun = (tmp_path / "lost/run.json").read_bytes()
    shutil.rmtree(tmp_path / "lost")
    train(tiny, faces, weights, tmp_path / "next", place=place)
    assert (tmp_path / "next/run.json").read_bytes() == begun
    rows = (tmp_path / "next/stats.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3, 4]


def test_storage_that_cannot_be_written_is_refused_before_training(faces, weights, tiny, tmp_path):
    place = f"file://{tmp_path}/nowhere/run"
    with pytest.raises(UserError, match="nowhere/run: cannot be written"):
        train(tiny, faces, weights, tmp_path / "run", place=place)
    assert not (tmp_path / "run").exists()


def test_storage_that_is_away_stops_no_training(storage, faces, weights, tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(StateSaver, "due", lambda _: True)
    kept = RunStorage.keep_state
    calls = []

    def away(self, *paths):
        calls.append(paths)
        if len(calls) == 1:
            raise UserError("s3://x: cannot be written")
        kept(self, *paths)

    monkeypatch.setattr(state_saver.RunStorage, "keep_state", away)
    train(tiny, faces, weights, tmp_path / "run", place=f"s3://{storage.bucket}/away")
    assert "not saved this time: s3://x: cannot be written" in capsys.readouterr().err and len(calls) == 4
