"""The decision about a canary: which numbers let it through, and which send it back."""

from dataclasses import replace

import pytest

from photo2cartoon.params import Rollout
from photo2cartoon.rollout.numbers import Numbers
from photo2cartoon.rollout.verdict import decide, early

NAN = float("nan")
TRAINING = {"brightness": (45.0, 80.0), "width": (120.0, 600.0)}
GOOD = Numbers(400, 0, 0.20, 400, 0.02, {"brightness": 62.0, "width": 240.0}, TRAINING)
STABLE = replace(GOOD, calls=3600, photographs=3600)


def test_a_canary_like_the_stable_version_holds():
    verdict = decide(GOOD, STABLE, Rollout())
    assert verdict.holds
    assert verdict.words == (
        "400 calls, 0 failed, 95 percent within 0.20 s (stable: 3600, 0, 0.20 s), 2.0% of the photographs not drawn"
        " (stable: 2.0%)"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"calls": 49}, "only 49 calls, at least 50 are needed"),
        ({"failures": 5}, "5 calls failed (1.2%), 1.0% may"),
        ({"p95": 0.31}, "95 percent of the calls take up to 0.31 s, stable 0.20 s"),
        ({"refused": 0.08}, "8.0% of the photographs are not drawn, stable 2.0%"),
        ({"training": {"brightness": (70.0, 90.0)}}, "the median of brightness is 62, the training's are 70 to 90"),
    ],
)
def test_a_canary_is_rolled_back(change, said):
    verdict = decide(replace(GOOD, **change), STABLE, Rollout())
    assert not verdict.holds and said in verdict.words and "stable: 3600" in verdict.words


@pytest.mark.parametrize("change", [{"failures": 4}, {"p95": 0.30}, {"refused": 0.07}])
def test_the_limits_themselves_are_allowed(change):
    assert decide(replace(GOOD, **change), STABLE, Rollout()).holds


def test_photographs_that_changed_for_both_are_not_the_canarys_fault():
    dark = {"medians": {"brightness": 20.0, "width": 240.0}}
    assert decide(replace(GOOD, **dark), replace(STABLE, **dark), Rollout()).holds


def test_numbers_that_are_missing_decide_nothing():
    nothing = Numbers(0, 0, NAN, 0, NAN)
    assert decide(GOOD, nothing, Rollout()).holds
    verdict = decide(nothing, STABLE, Rollout())
    assert not verdict.holds and "only 0 calls" in verdict.words and "within -" in verdict.words


def test_a_canary_that_fails_goes_early_but_not_for_one_call():
    assert early(replace(GOOD, calls=3, failures=1.4), Rollout()) == []  # one, as Prometheus extrapolates it
    assert early(replace(GOOD, calls=3, failures=3), Rollout()) == ["3 calls failed (100.0%), 1.0% may"]
