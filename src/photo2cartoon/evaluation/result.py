"""Contents of `scores.json`, which `evaluate` writes and the later stages read."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, TypedDict, cast

from photo2cartoon.files import read_json
from photo2cartoon.layout import SCORES


class Result(TypedDict):
    """Scores of an evaluation, and what they were measured on.

    Models are the checkpoints (`step-000050`), the `champion` of that time, and `photographs`, which is what a model that
    changes nothing would score. Beside a score `metric` there is `metric_interval`, half of its 95 % interval.
    """

    photographs: int  # number of photographs
    people: NotRequired[int]  # of whom they are; not in evaluations of an earlier release
    splits: list[str]  # of the photographs: test, or train and test
    cartoons: int  # number of cartoons of the style
    generator: NotRequired[str]  # ema or raw; see `candidates.generator_of`
    weights: NotRequired[str]  # the same in evaluations of an earlier release
    generators: NotRequired[dict[str, str]]  # sha256 of each one's file, by checkpoint; not in an earlier release
    data_sha256: str  # of the dataset that the run was trained on
    scored_sha256: NotRequired[str]  # of the images that it was scored on; not in evaluations of an earlier release
    champion: int | None  # version of the registered model that was scored as `champion`
    trained_on: list[str]  # metrics that training itself minimised
    floors: dict[str, float]  # the kernel distances that equals score, by metric
    groups: dict[str, int]  # number of photographs, by group
    scores: dict[str, dict[str, float]]  # by model and metric
    by_group: dict[str, dict[str, dict[str, float]]]  # by model, group and metric


def read_result(folder: Path) -> Result:
    """Read the scores of an evaluation.

    Args:
        folder: output folder of the `evaluate` stage.

    Raises:
        UserError: there are none.
    """
    return cast(Result, read_json(folder / SCORES, "`p2c evaluate` writes it"))
