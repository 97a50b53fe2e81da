"""After a training pod is lost, the next one resumes from the volume and ends with the same bytes."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT

# Runs the component's own function in a process that can be killed.
POD = """
import json
import sys
from types import SimpleNamespace as Artifact
from components.train import train_at
section, steps, faces, weights, place, out = sys.argv[1:]
run, log = (Artifact(path=f"{out}/{name}", metadata={}) for name in ("averages", "log"))
inputs = Artifact(path=faces), Artifact(path=weights)
train_at.python_func(json.loads(section), int(steps), 1, 1e-4, *inputs, 0, place, "", run, log)
print(run.metadata["last_checkpoint"])
"""


def pod(faces, weights, checkpoints, out, steps):
    section = {"size": 128, "channels": 4, "checkpoint_every": 1, "sample_every": 100}
    words = [json.dumps(section), steps, faces, weights, checkpoints, out]
    return subprocess.Popen(
        [sys.executable, "-c", POD, *map(str, words)],
        cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


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
