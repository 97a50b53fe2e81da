"""Checks the names of metrics in parameters, before any work starts."""

from __future__ import annotations

from collections.abc import Iterable

from photo2cartoon.errors import UserError
from photo2cartoon.params import Params
from photo2cartoon.scoring.metrics import METRICS, WORST


def must_be_known(names: Iterable[str], where: str) -> None:
    """Refuse a name that is no metric.

    Raises:
        UserError: names the metrics that there are.
    """
    for name in names:
        if name.removeprefix(WORST) not in METRICS:
            raise UserError(f"{where}: there is no metric '{name}'; there are {', '.join(METRICS)}")
        if name.startswith(WORST) and not METRICS[name.removeprefix(WORST)].group:
            raise UserError(f"{where}: '{name}': {name.removeprefix(WORST)} is not measured by groups of people")


def check_training_score(name: str | None) -> None:
    """Check `train.score`, which ranks checkpoints during training.

    Raises:
        UserError: there is no such metric, or only `evaluate` can measure it.
    """
    if name is None:
        return
    must_be_known([name], "train.score")
    if name.startswith(WORST) or name == "cycle":
        needs = "both generators" if name == "cycle" else "groups of people"
        raise UserError(f"train.score: '{name}' is measured by `evaluate` alone, as it needs {needs}")


def check_choice(rank: Iterable[str], floors: Iterable[str]) -> None:
    """Check `select.metric` and `select.floors`.

    Raises:
        UserError: there is no such metric, or photographs and released models, which choices are compared with, have none.
    """
    must_be_known([*rank, *floors], "select")
    for name in rank:
        if name.removeprefix(WORST) == "cycle":
            raise UserError(
                f"select.metric: '{name}' needs the way back, which neither photographs nor the champion have; it can be a"
                " floor (select.floors)"
            )


def check_names(params: Params) -> None:
    """Check the names of metrics in all parameters.

    Raises:
        UserError: there is no such metric.
    """
    check_choice(params.select.rank, params.select.floors)
    check_training_score(params.train.score)
