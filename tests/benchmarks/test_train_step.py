"""The benchmark times every variant, and all variants start from the same loss."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.long
def test_both_ways_are_timed(weights, tmp_path):
    arguments = ["--size", "128", "--channels", "4", "--batch", "2", "--steps", "1", "--weights", weights]
    command = [sys.executable, "-m", "benchmarks.train_step", *arguments, "--out", tmp_path / "bench.json"]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True, timeout=300, capture_output=True)
    rows = json.loads((tmp_path / "bench.json").read_text())["rows"]
    ways = ["plain", "plain-kept", "ours", "returned", "bf16", "channels-last", "recompute", "accumulate"]
    assert [row["way"] for row in rows] == ways
    assert all(row["seconds"] > 0 and row["memory_mb"] > 100 for row in rows)
    losses = {row["way"]: row["generator_loss"] for row in rows}
    for way, loss in losses.items():
        assert loss == pytest.approx(losses["plain"], rel=0.15 if way == "bf16" else 0.05), way
