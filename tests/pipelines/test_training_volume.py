"""After a training pod is lost, the next one resumes from volume or storage and ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time
from random import Random

import pytest

from tests.conftest import ROOT

# Runs the component's own function in a process that can be killed.
POD = """
import json
import sys
from types import SimpleNamespace as Artifact
from components.train_at import train
section, steps, faces, weights, place, out = sys.argv[1:]
run, log = (Artifact(path=f"{out}/{name}", metadata={}) for name in ("averages", "log"))
inputs = Artifact(path=faces), Artifact(path=weights)
train.python_func(json.loads(section), int(steps), 1, 1e-4, *inputs, 0, place, "", run, log)
print(run.metadata["last_checkpoint"])
"""


def pod(faces, weights, checkpoints, out, steps, **section):
    section = {"size": 128, "channels": 4, "checkpoint_every": 1, "sample_every": 100} | section
    words = [json.dumps(section), steps, faces, weights, checkpoints, out]
    return subprocess.Popen(
        [sys.executable, "-c", POD, *map(str, words)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def saved(storage, prefix):
    """Steps of the complete states in object storage."""
    cards = [key for key in storage.keys(prefix) if "/state/" in key and key.endswith("/checkpoint.json")]
    return [int(key.split("/step-")[1][:6]) for key in cards]


@pytest.mark.long
def test_a_pod_killed_twenty_times_loses_nothing_that_it_had_saved(storage, faces, weights, tmp_path):
    """Every pod has a disk of its own and is killed without notice; what it saved to object storage is there."""
    moments, steps, place = Random(0), 60, f"s3://{storage.bucket}/killed"
    resumed = []
    for number in range(20):
        there = max(saved(storage, "killed"), default=0)
        lost = pod(faces, weights, place, tmp_path / str(number), steps, save_minutes=0.01)
        told = ""
        for line in lost.stderr:
            told += line
            if f"/{steps} " in line:  # the progress bar: training has begun
                break
        wanted = there + moments.choice((0, 1, 2))
        while max(saved(storage, "killed"), default=0) < wanted and lost.poll() is None:
            time.sleep(0.1)
        time.sleep(moments.uniform(0, 2))
        lost.kill()
        lost.wait()
        told += lost.stderr.read()
        resumed.append(there)
        assert f"holds step-{there:06}" in told or not there, told
    assert resumed == sorted(resumed) and len(set(resumed)) > 5
    there = pod(faces, weights, place, tmp_path / "last", steps, save_minutes=0.01)
    alone = pod(faces, weights, tmp_path / "volume", tmp_path / "alone", steps, save_minutes=0)
    for each in (there, alone):
        each.communicate(timeout=900)
        assert each.returncode == 0
    last = f"averages/checkpoints/step-{steps:06}/genA2B.average.safetensors"
    assert (tmp_path / "last" / last).read_bytes() == (tmp_path / "alone" / last).read_bytes()
    assert len(saved(storage, "killed")) == 2


def tracked(run):
    return json.loads((run / "run.json").read_text())["mlflow_run"]


@pytest.mark.long
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_the_next_pod_goes_on(faces, weights, tmp_path, sent):
    steps = 12
    lost = pod(faces, weights, tmp_path / "volume", tmp_path / "lost", steps)
    while not list((tmp_path / "volume").glob("*/checkpoints/step-000002")):
        assert lost.poll() is None
        time.sleep(0.05)
    lost.send_signal(sent)
    # Exit code 75 makes Kubernetes retry.
    assert lost.wait(60) == (75 if sent is signal.SIGTERM else -signal.SIGKILL)
    assert not (tmp_path / "lost").exists()
    begun_as = tracked(next((tmp_path / "volume").iterdir()))
    for place, out in (("volume", "next"), ("elsewhere", "alone")):
        there = pod(faces, weights, tmp_path / place, tmp_path / out, steps)
        assert there.communicate(timeout=300)[0].strip() == f"step-{steps:06}" and there.returncode == 0
    assert tracked(tmp_path / "next/log") == begun_as != tracked(tmp_path / "alone/log")  # resumed, not restarted
    begun = [json.loads(line)["step"] for line in (tmp_path / "next/log/stats.jsonl").read_text().splitlines()]
    assert begun == sorted(set(begun))
    volume, elsewhere = (next((tmp_path / name).iterdir()) / "checkpoints" for name in ("volume", "elsewhere"))
    for path in sorted((elsewhere / f"step-{steps:06}").glob("*.safetensors")):
        assert path.read_bytes() == (volume / path.parent.name / path.name).read_bytes(), path.name
