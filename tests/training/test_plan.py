"""`--dry-run` prints the plan of a run, measured on a few steps, and writes nothing."""

import json
import subprocess
import sys

from photo2cartoon.training.plan import _span


def test_the_plan_of_a_run(p2c, faces, weights, tmp_path):
    section = {"size": 128, "channels": 4, "steps": 1000, "batch": 2, "checkpoint_every": 100, "keep": 3}
    (tmp_path / "params.yaml").write_text(json.dumps({"train": section}))
    before = sorted(tmp_path.iterdir())
    told = p2c("train", "--data", faces, "--weights", weights, "--out", "run", "--dry-run").stdout
    lines = {line.split()[0]: line for line in told.splitlines()}
    photos = len(list((faces / "trainA").iterdir()))
    assert f"{photos} photos ({2000 / photos:.1f} times each)" in lines["pictures"]
    assert "2 photos and 2 cartoons, on 1 process" in lines["steps"]
    assert "2 of 0.06 M weights: 4 channels, light, soft_adalin, hourglasses" in lines["generators"]
    assert "every 100 steps" in lines["checkpoints"] and "the last 3 kept" in lines["checkpoints"]
    assert "GB a process" in lines["memory"] and "s a step" in lines["time"]
    assert sorted(tmp_path.iterdir()) == before


def test_times_are_said_in_two_units():
    assert _span(59.9) == "0 minutes 59 seconds"
    assert _span(3 * 3600 + 125) == "3 hours 2 minutes"
    assert _span(2 * 86400 + 3600 * 5.5) == "2 days 5 hours"


def test_the_defaults_are_announced_before_days_are_spent_on_them(faces, weights, tmp_path):
    """Without a params.yaml a run has 200,000 steps: it says so before the first of them."""
    command = [sys.executable, "-m", "photo2cartoon", "train", "--data", faces, "--weights", weights, "--out", "run"]
    running = subprocess.Popen([str(word) for word in command], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    try:
        first = next(running.stderr)
    finally:
        running.kill()
        running.wait()
    assert first.startswith("No params.yaml here: the defaults, 200000 steps, are used")
    assert not (tmp_path / "run").exists()
