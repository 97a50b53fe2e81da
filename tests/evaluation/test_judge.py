"""People choose between two drawings; sides are fair, votes are kept, and the interval is the binomial's."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest
from gradio_client import Client

from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.judge import Session, preference
from photo2cartoon.ports import free_ports
from photo2cartoon.tracking.client import connect
from tests.browser import chromium

PHOTOS = [f"photo-{n}" for n in range(10)]


def test_the_interval_is_clopper_and_pearsons():
    """Of 10 votes 9: the textbook's interval is 55.5 % to 99.7 %."""
    found = preference("a", "b", 9, 10)
    assert (found.share, found.low, found.high) == pytest.approx((0.9, 0.5550, 0.9975), abs=1e-4)
    assert str(found) == "a: 9 of 10 (90%, 95 % 55% to 100%): a is preferred"
    assert "cannot be told from chance" in str(preference("a", "b", 6, 10))
    assert "b is preferred" in str(preference("a", "b", 0, 10)) and str(preference("a", "b", 0, 0)) == "no votes yet"


def test_sides_are_fair_and_every_photograph_is_asked_about(tmp_path):
    session = Session(("a", "b"), PHOTOS, tmp_path / "votes.jsonl")
    rounds = [[session.trial(10 * around + n) for n in range(10)] for around in range(2)]
    assert all({trial.photo for trial in trials} == set(PHOTOS) for trials in rounds)
    sides = [{trial.photo: trial.left for trial in trials} for trials in rounds]
    assert all(sides[0][photo] != sides[1][photo] for photo in PHOTOS)  # changed in the second round
    assert 2 <= sum(side == "a" for side in sides[0].values()) <= 8


def test_votes_are_kept_and_a_double_click_counts_once(tmp_path):
    session = Session(("a", "b"), PHOTOS, tmp_path / "votes.jsonl")
    for _ in range(4):
        trial = session.next()
        session.vote(trial, trial.left == "a")
        session.vote(trial, trial.left == "a")
    again = Session(("a", "b"), PHOTOS, tmp_path / "votes.jsonl")
    assert again.result().wins == again.result().votes == 4 and again.next() == session.next()
    with pytest.raises(UserError, match="holds votes about a, b; name another --votes file"):
        Session(("a", "c"), PHOTOS, tmp_path / "votes.jsonl")
    for line in ('{"better": "a", "wor', '{"metric": 1}', "[]"):
        (tmp_path / "other.jsonl").write_text('{"better": "a", "worse": "b"}\n' + line)
        with pytest.raises(UserError, match=r"other\.jsonl: line 2 is no vote: remove it"):
            Session(("a", "b"), PHOTOS, tmp_path / "other.jsonl")


@pytest.mark.slow
def test_the_page_asks_and_mlflow_gets_the_votes(trained, faces, tmp_path):
    port = free_ports(1)[0]
    steps = [trained / f"checkpoints/step-00000{n}" for n in (2, 4)]
    command = [sys.executable, "-m", "photo2cartoon", "judge", *steps, "--data", faces, "--port", port]
    process = subprocess.Popen(
        [str(word) for word in command], cwd=tmp_path, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        address = re.search(r"http://\S+", process.stdout.readline())[0]
        client = Client(address, verbose=False, download_files=tmp_path / "got")
        *_, number = client.predict(api_name="/show")
        *_, number = client.predict(number, api_name="/left")
        with chromium(tmp_path / "profile") as page:
            page.open(address)
            page.wait_for("Which drawing is better?")
            page.wait_for("1 votes so far")
            page.click("button", "Right is better")
            page.wait_for("2 votes so far")
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 0 and re.search(r"step-000002: \d of 2 \(", printed)
    finally:
        process.kill()  # also where the browser is missing, and the test is skipped
    votes = [json.loads(line) for line in (tmp_path / "votes.jsonl").read_text().splitlines()]
    assert [vote["number"] for vote in votes] == [0, 1]
    mlflow = connect().MlflowClient()
    experiment = mlflow.get_experiment_by_name("photo2cartoon").experiment_id
    found = mlflow.search_runs([experiment], "metrics.votes = 2")
    assert found[0].info.run_name == "judged by people: step-000002 against step-000004"
    assert found[0].data.metrics["preferred_low"] < found[0].data.metrics["preferred_high"]
