"""A server stays as it was for two hours of everything that callers send, with another version every minute."""

import os

import numpy as np
import pytest

from benchmarks.soak import load, slope

HOURS = float(os.environ.get("P2C_HOURS", "2"))


def test_slope_finds_a_leak_and_not_noise():
    noise = np.random.default_rng(0).normal(0, 5, 1440)
    times = [5.0 * number for number in range(1440)]
    flat, half = slope(times, [1000 + each for each in noise])
    assert abs(flat) < half < 3
    leak, half = slope(times, [1000 + 50 * at / 3600 + each for at, each in zip(times, noise, strict=True)])
    assert leak == pytest.approx(50, abs=half) and leak - half > 40


@pytest.mark.hours
@pytest.mark.timeout(HOURS * 3600 + 1800)
def test_nothing_grows(tmp_path, weights):
    samples = load(tmp_path, weights, HOURS * 3600)
    times = [row[0] for row in samples.rows]
    level = np.median([row[1] for row in samples.rows])
    for place, name, allowed in ((1, "memory", 0.03 * level), (2, "open files", 5.0), (3, "shared memory", 5.0)):
        rate, half = slope(times, [row[place] for row in samples.rows])
        assert rate - half < allowed, f"{name}: {rate:+.1f} ± {half:.1f} in an hour"
    plain = [(at, seconds) for at, seconds, said in samples.calls if said.endswith("(plain)")]
    rate, half = slope(*map(list, zip(*plain, strict=True)))
    assert rate - half < 0.05 * np.median([seconds for _, seconds in plain]), "calls become slower"
    assert samples.loads >= HOURS * 50
    assert {said.split(" (")[0] for _, _, said in samples.calls} == {"drawn", "unreadable", "no_face", "too_small"}
