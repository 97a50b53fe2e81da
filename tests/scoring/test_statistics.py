"""Distances agree with independent references, with and without weights."""

import numpy as np
import pytest
from scipy import linalg
from sklearn.metrics.pairwise import polynomial_kernel

from photo2cartoon.scoring.features import prepare_torchvision
from photo2cartoon.scoring.statistics import (
    Coverage,
    FrechetDistance,
    KernelDistance,
    Mean,
    floor_of_kernel,
    half_interval,
    resamples,
)


@pytest.fixture(scope="module")
def sets():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 8)), rng.normal(0.3, 1.2, size=(60, 8))


def value(statistic, weights=None, count=None):
    weights = np.ones(count) if weights is None else weights
    return statistic(np.asarray(weights, float)[None])[0]


def by_pytorch_fid(a, b):
    prepare_torchvision()
    from pytorch_fid.fid_score import calculate_frechet_distance

    return calculate_frechet_distance(a.mean(0), np.cov(a.T), b.mean(0), np.cov(b.T))


def test_frechet_is_the_formula(sets):
    a, b = sets
    ca, cb = np.cov(a.T), np.cov(b.T)
    # For two positive definite matrices, the trace of the product's square root sums the roots of its eigenvalues.
    root = np.sqrt(linalg.eigvals(ca @ cb).real).sum()
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca) + np.trace(cb) - 2 * root
    assert value(FrechetDistance(a, b), count=40) == pytest.approx(expected, rel=1e-10)
    assert value(FrechetDistance(a, a), count=40) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "features"), [(40, 60, 8), (300, 250, 100), (30, 50, 64)])
def test_frechet_is_pytorch_fids_to_the_fourth_decimal(n, m, features):
    """Also with fewer images than features, where pytorch-fid takes the root of a singular matrix."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(n, features)), rng.normal(0.2, 1.1, size=(m, features))
    assert value(FrechetDistance(a, b), count=n) == pytest.approx(by_pytorch_fid(a, b), abs=1e-4)


def test_kernel_is_kids_unbiased_estimate(sets):
    a, b = sets
    kernels = [polynomial_kernel(x, y, degree=3, gamma=1 / 8, coef0=1) for x, y in ((a, a), (b, b), (a, b))]
    aa, bb = ((k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels[:2])
    assert value(KernelDistance(a, b), count=40) == pytest.approx(aa + bb - 2 * kernels[2].mean(), rel=1e-9)


@pytest.mark.parametrize("kind", [KernelDistance, FrechetDistance])
def test_weights_of_one_and_zero_are_the_statistic_of_a_group(sets, kind):
    a, b = sets
    members = np.arange(40) % 3 == 0
    assert value(kind(a, b), members) == pytest.approx(value(kind(a[members], b), count=members.sum()), rel=1e-9)


def test_weights_of_a_frechet_distance_are_repetitions(sets):
    a, b = sets
    times = np.random.default_rng(2).integers(0, 4, 40)
    repeated = np.repeat(a, times, axis=0)
    assert value(FrechetDistance(a, b), times) == pytest.approx(by_pytorch_fid(repeated, b), rel=1e-6)


def test_resampling_does_not_bias_the_kernel_distance(sets):
    """A plain bootstrap compares a photograph that was drawn twice with itself, and comes out too high."""
    a, b = sets
    drawn = KernelDistance(a, b)(resamples(range(40), 4000))
    assert drawn.mean() == pytest.approx(value(KernelDistance(a, b), count=40), abs=3 * drawn.std() / np.sqrt(4000))


def test_intervals_hold_the_truth_in_95_of_100():
    rng = np.random.default_rng(3)
    inside = 0
    for number in range(200):
        drawn = rng.normal(size=40)
        half = half_interval(Mean(drawn)(resamples(range(40), 400, seed=number)))
        inside += abs(drawn.mean()) <= half
    assert 180 <= inside <= 198


def test_photographs_of_one_person_are_no_more_evidence_than_one():
    """Ten people with four equal photographs each are known as well as ten, not as forty."""
    rng, inside = np.random.default_rng(4), 0
    people = [person for person in range(40) for _ in range(4)]
    for number in range(200):
        drawn = np.repeat(rng.normal(size=40), 4)
        inside += abs(drawn.mean()) <= half_interval(Mean(drawn)(resamples(people, 400, seed=number)))
    assert 180 <= inside <= 198


def test_a_photograph_without_a_value_does_not_count():
    mean = Mean(np.array([1.0, np.nan, 3.0]))
    assert value(mean, count=3) == 2 and value(mean, [2, 5, 0]) == 1 and np.isnan(value(mean, [0, 1, 0]))


def test_coverage_counts_what_has_a_neighbour():
    near = Coverage(np.array([[True, False, False], [True, True, False]]))
    assert value(near, count=2) == pytest.approx(2 / 3) and value(near, [3, 0]) == pytest.approx(1 / 3)


def test_the_floor_is_what_equals_score():
    rng = np.random.default_rng(4)
    style = rng.normal(size=(200, 8))
    floors = {}
    for count in (15, 30, 100, 300):
        floor = floors[count] = floor_of_kernel(style, count)
        equals = [value(KernelDistance(rng.normal(size=(count, 8)), style), count=count) for _ in range(100)]
        others = [value(KernelDistance(rng.normal(1.0, 1, size=(count, 8)), style), count=count) for _ in range(20)]
        assert 0 < floor < min(others) and np.mean(np.array(equals) < floor) > 0.9, count
    assert floors[15] > 2 * floors[100] == 2 * floors[300]
    assert np.isnan(floor_of_kernel(style[:3], 9))
