"""The rule: floors, then metrics in order, each among the checkpoints that the one before cannot tell apart."""

import numpy as np
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.rule import ALIKE, BETTER, WORSE, choose, compare, finalists

NOISE = np.random.default_rng(0).normal(size=1000)  # of the photographs: the same for every model


def drawn(scores, own=0.01):
    """Bootstrap draws around scores: common noise of the photographs, and a little of each model's own."""
    rng = np.random.default_rng(1)
    return {
        name: {m: v + NOISE + own * rng.normal(size=1000) for m, v in values.items()} for name, values in scores.items()
    }


def pick(scores, rank, **floors):
    return choose(scores, drawn(scores), rank, floors)


def test_a_difference_is_judged_on_the_same_photographs():
    """Each score alone has an interval of two; their difference has one of a hundredth."""
    scores = {"a": {"kernel_face": 1.0}, "b": {"kernel_face": 1.1}, "c": {"kernel_face": 1.001}}
    draws = drawn(scores)
    found = compare(scores, draws, "a", "b", "kernel_face")
    assert found.verdict == BETTER and found.value == pytest.approx(-0.1) and -0.14 < found.low < found.high < -0.06
    assert compare(scores, draws, "b", "a", "kernel_face").verdict == WORSE
    assert compare(scores, draws, "a", "c", "kernel_face").verdict == ALIKE
    assert compare(scores, {}, "a", "b", "kernel_face").verdict == ALIKE  # an evaluation of an earlier release
    assert compare({"a": {}, "b": scores["b"]}, draws, "a", "b", "kernel_face").verdict == ALIKE
    higher = {name: {"identity_dlib": values["kernel_face"]} for name, values in scores.items()}
    assert compare(higher, drawn(higher), "b", "a", "identity_dlib").verdict == BETTER
    assert (
        compare(
            scores, {"a": {"kernel_face": NOISE * np.nan}, "b": {"kernel_face": NOISE}}, "a", "b", "kernel_face"
        ).verdict
        == ALIKE
    )


def test_a_worse_value_is_never_better_however_its_draws_lie():
    """A resample leaves out a third of the photographs, so it covers less of the style, of one model more than of another."""
    scores = {"champion": {"recall": 0.80}, "step-000001": {"recall": 0.75}}
    noise = 0.02 * np.random.default_rng(2).normal(size=(2, 1000))
    draws = {"champion": {"recall": 0.45 + noise[0]}, "step-000001": {"recall": 0.70 + noise[1]}}
    found = compare(scores, draws, "step-000001", "champion", "recall")
    assert found.verdict == ALIKE and found.low < found.value < found.high
    scores["step-000001"]["recall"] = 0.95
    assert compare(scores, draws, "step-000001", "champion", "recall").verdict == BETTER


def test_a_hundred_draws_do_for_the_best_of_many():
    """False verdicts stay as rare as the interval says, where the outermost draw would be taken for a thousandth part."""
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(1000):
        values, spread = rng.normal(size=2), rng.normal(size=(2, 100))
        scores = {name: {"fid": float(value)} for name, value in zip("ab", values, strict=True)}
        draws = {name: {"fid": value + each} for name, value, each in zip("ab", values, spread, strict=True)}
        wrong += compare(scores, draws, "a", "b", "fid", among=20).verdict != ALIKE
    assert wrong <= 10


def test_the_best_by_the_first_metric_is_chosen_in_its_own_direction():
    scores = {
        "photographs": {"kernel_face": 0.0, "identity_dlib": 1.0},
        "step-000001": {"kernel_face": 3.0, "identity_dlib": 0.9},
        "step-000002": {"kernel_face": 1.0, "identity_dlib": 0.5},
    }
    assert pick(scores, ["kernel_face"]).chosen == "step-000002"
    assert pick(scores, ["identity_dlib"]).chosen == "step-000001"


def test_of_those_that_cannot_be_told_apart_the_next_metric_decides():
    scores = {
        "step-000001": {"kernel_face": 1.00, "identity_dlib": 0.3},
        "step-000002": {"kernel_face": 1.01, "identity_dlib": 0.6},
        "step-000003": {"kernel_face": 1.50, "identity_dlib": 0.9},
    }
    verdict = pick(scores, ["kernel_face", "identity_dlib"])
    assert verdict.chosen == "step-000002"
    assert verdict.reasons["step-000003"].startswith("kernel_face: worse (+0.5, 95 % ")
    assert verdict.reasons["step-000001"].startswith("identity_dlib: worse (-0.3")
    assert verdict.reasons["step-000002"] == "chosen: the best by kernel_face then identity_dlib"


def test_a_floor_excludes_and_says_so():
    scores = {
        "step-000001": {"kernel_face": 1.0, "worst_identity_dlib": 0.2},
        "step-000002": {"kernel_face": 2.0, "worst_identity_dlib": 0.4},
        "step-000003": {"kernel_face": 0.5, "worst_identity_dlib": float("nan")},
    }
    verdict = pick(scores, ["kernel_face"], worst_identity_dlib=0.3)
    assert verdict.chosen == "step-000002"
    assert verdict.reasons["step-000001"] == "worst_identity_dlib 0.2 is below the limit 0.3"
    assert verdict.reasons["step-000003"] == "has no score by worst_identity_dlib"
    assert "of those that keep to worst_identity_dlib 0.3" in verdict.reasons["step-000002"]
    assert pick(scores, ["kernel_face"], kernel_face=1.5).chosen == "step-000003"  # where lower is better, a maximum
    with pytest.raises(UserError, match=r"no checkpoint can be chosen: step-000001: worst_identity_dlib 0\.2 is below"):
        pick(scores, ["kernel_face"], worst_identity_dlib=0.5)


def test_the_earliest_of_equals_wins_and_numbers_that_are_none_never_do():
    scores = {f"step-00000{n}": {"kernel_face": value} for n, value in ((3, 1.0), (2, 1.0), (1, float("nan")))}
    assert (
        choose(scores, {name: {"kernel_face": NOISE} for name in scores}, ["kernel_face"], {}).chosen == "step-000002"
    )
    with pytest.raises(UserError, match=r"true FID needs Inception's weights.* has no score by fid"):
        pick(scores, ["fid"])


def test_finalists_are_the_best_by_any_metric():
    scores = {
        "photographs": {"kernel_face": 0.0},
        "step-000001": {"kernel_face": 3.0, "identity_dlib": 0.9, "cycle": 5.0},
        "step-000002": {"kernel_face": 1.0, "identity_dlib": 0.5, "cycle": 4.0},
        "step-000003": {"kernel_face": 2.0, "identity_dlib": 0.7, "cycle": float("nan")},
    }
    assert finalists(scores) == {"step-000001", "step-000002"}
