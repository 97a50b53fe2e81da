"""Landmarks are smoothed without lag and interpolated between detections."""

import numpy as np

from photo2cartoon.cartoonize import track
from photo2cartoon.cartoonize.track import between, smooth


def test_smoothing():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.06, 100))
    line = np.stack([3 * times, 5 - times], axis=1)
    np.testing.assert_allclose(list(smooth(times, line)), line, atol=1e-9)  # no lag, not even at the ends
    noisy = rng.normal(0, 1, (100, 68, 2))
    smoothed = np.array(list(smooth(times, noisy)))
    assert smoothed[10:-10].std() < 0.4 and np.diff(smoothed, axis=0).std() < 0.1 * np.diff(noisy, axis=0).std()
    np.testing.assert_allclose(list(smooth(times[:1], noisy[:1])), noisy[:1])
    np.testing.assert_allclose(list(smooth(np.array([0.0, 5.0]), noisy[:2])), noisy[:2])
    known = np.array([1.0, 2.0, 4.0])
    wanted = between(known, known[:, None] * [1, 10], np.array([1.0, 1.5, 3.0, 4.0]))
    np.testing.assert_allclose(wanted, [[1, 10], [1.5, 15], [3, 30], [4, 40]])
    np.testing.assert_allclose(between(known[:1], np.array([[7.0]]), known[:1]), [[7]])
    assert track.GAP > 3 * track.SIGMA
