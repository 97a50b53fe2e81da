"""The `select` stage: registers the best checkpoint as a version of the model in MLflow.

The version takes the alias `candidate`, and also `champion` if `select.champion` allows it. People can move the aliases
in MLflow's page; `promote` deploys the version that `champion` points at. For the same version with the same scores and
the same `select.champion`, the alias `champion` is decided once: a later run does not undo what a person did since.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from photo2cartoon import checkpoint
from photo2cartoon.errors import UserError
from photo2cartoon.files import atomic_dir, read_json, sha256_of, write_json
from photo2cartoon.layout import CARTOON_GENERATOR, CHECKPOINTS, RUN, SCORES, SELECTION
from photo2cartoon.params import Select
from photo2cartoon.progress import note
from photo2cartoon.tracking import registry, runs
from photo2cartoon.tracking.lineage import kubeflow_run

DECIDED = "champion_decided_for"  # tag of a version: weights, scores and rule by which `champion` was decided


@dataclass(frozen=True)
class Selection:
    """Selected checkpoint and the reason, as in `selection.json`.

    Args:
        checkpoint: name of the checkpoint.
        metric: metric that decided; lower is better.
        score: the checkpoint's score by that metric.
        photographs_score: score of the photographs themselves.
        version: version of the registered model.
        champion: whether the version has that alias.
        model, mlflow_run, data_sha256: the registered model, the MLflow run and the dataset's hash.
    """

    checkpoint: str
    metric: str
    score: float
    photographs_score: float
    model: str
    version: int
    champion: bool
    mlflow_run: str
    data_sha256: str


def best(scores: dict[str, dict[str, float]], metric: str) -> str:
    """Return the checkpoint with the lowest score, or an equivalent one that keeps the person more recognisable.

    If the metric has an interval, every checkpoint within the best one's interval counts as equivalent (the
    one-standard-error rule of Breiman et al., 1984, with 95 %); of those, the one with the lowest face distance wins.
    A tie goes to the earliest.

    Raises:
        UserError: no checkpoint has a score by this metric.
    """
    candidates = {
        name: values[metric]
        for name, values in sorted(scores.items())
        if name.startswith("step-") and math.isfinite(values.get(metric, math.nan))
    }
    if not candidates:
        known = sorted({key for values in scores.values() for key in values if not key.endswith("_interval")})
        hint = " (true FID needs Inception's weights in the weights folder)" if metric == "fid" else ""
        raise UserError(f"select.metric: no checkpoint has a '{metric}' score{hint}; there are {', '.join(known)}")
    lowest = min(candidates, key=candidates.__getitem__)
    limit = candidates[lowest] + scores[lowest].get(f"{metric}_interval", 0.0)
    alike = [name for name, score in candidates.items() if score <= limit]
    return min(alike, key=lambda name: (scores[name].get("face_distance", 0.0), candidates[name]))


def finalists(scores: dict[str, dict[str, float]]) -> set[str]:
    """Return the checkpoints that `best` returns for one metric or another."""
    metrics = {key for values in scores.values() for key in values if not key.endswith("_interval")}
    found = set()
    for metric in metrics:
        with contextlib.suppress(UserError):  # not a single checkpoint has a finite score by it
            found.add(best(scores, metric))
    return found


def select(params: Select, scores_folder: Path, train: Path, out: Path, metrics: Path | None = None) -> Selection:
    """Choose the best checkpoint, copy its generator to `out` and register it.

    Args:
        params: the `select` section.
        scores_folder: output folder of the `evaluate` stage.
        train: output folder of the `train` stage.
        out: receives a checkpoint that holds only the selected generator, with `selection.json`.
        metrics: JSON file for its step and its scores, with half of their 95 % intervals.

    Raises:
        UserError: scores are missing, or MLflow cannot be reached.
    """
    choice = _choose(params, scores_folder, train)
    decided = _decided(params, choice)
    with atomic_dir(out, SELECTION) as partial:
        checkpoint.copy_generator(choice.path, partial, which=choice.which)
        selection = decided or _register(params, choice, train.name, partial)
        write_json(partial / SELECTION, asdict(selection))
    if decided is None:
        if selection.champion:
            registry.set_champion(params.model_name, selection.version)
        registry.set_tags(params.model_name, selection.version, {DECIDED: choice.decision})
    if metrics is not None:
        write_json(metrics, {"step": checkpoint.read_card(choice.path).step, **choice.scores})
    return selection


def find_selection(params: Select, scores_folder: Path, train: Path) -> Selection | None:
    """Return the selection of an earlier run with the same checkpoint, scores and rule, or None.

    Args:
        params, scores_folder, train: as for `select`.

    Raises:
        UserError: as for `select`.
    """
    return _decided(params, _choose(params, scores_folder, train))


@dataclass(frozen=True)
class _Choice:
    """Best checkpoint, how it was measured, all scores, and what decides about the alias, as one text."""

    path: Path
    which: str
    score: float
    photographs_score: float
    measured: dict[str, str]
    run_info: dict
    scores: dict[str, float]
    decision: str


def _choose(params: Select, scores_folder: Path, train: Path) -> _Choice:
    result = read_json(scores_folder / SCORES, "`p2c evaluate` writes it")
    run_info = read_json(train / RUN, "`p2c train` writes it")
    name = best(result["scores"], params.metric)
    path, which = train / CHECKPOINTS / name, _which(result)
    score = result["scores"][name][params.metric]
    # Scores can be compared only if all of these are the same.
    measured = {
        "metric": params.metric,
        "data_sha256": result["data_sha256"],
        "splits": "+".join(result["splits"]),
    }
    weights = sha256_of(checkpoint.generator_file(path, which=which))
    decision = json.dumps({**measured, "score": score, "champion": params.champion, "weights_sha256": weights})
    scores, photographs = result["scores"][name], result["scores"]["photographs"][params.metric]
    return _Choice(path, which, score, photographs, measured, run_info, scores, decision)


def _decided(params: Select, choice: _Choice) -> Selection | None:
    found = registry.find_version(params.model_name, DECIDED, choice.decision)
    if found is None:
        return None
    version = int(found.version)
    return _selection(params, choice, version, registry.is_champion(params.model_name, version), found.run_id)


def _register(params: Select, choice: _Choice, run_name: str, folder: Path) -> Selection:
    """Register the generator in a folder, and find whether it should become the champion."""
    run = runs.find_run(choice.run_info["mlflow_run"], run_name)
    tags = {"checkpoint": choice.path.name, "generator_sha256": sha256_of(folder / CARTOON_GENERATOR)}
    tags |= {**choice.measured, "score": repr(choice.score), "git_commit": choice.run_info["git_commit"]}
    version = registry.register(
        params.model_name, folder, run, f"models/{choice.path.name}", {**tags, **kubeflow_run()}
    )
    registry.set_alias(params.model_name, registry.CANDIDATE, version)
    champion = _becomes_champion(params, version, choice.score, choice.measured)
    run.tags({"selected": choice.path.name})
    run.finish()
    return _selection(params, choice, version, champion, run.run_id)


def _selection(params: Select, choice: _Choice, version: int, champion: bool, run_id: str) -> Selection:
    return Selection(
        checkpoint=choice.path.name,
        metric=params.metric,
        score=choice.score,
        photographs_score=choice.photographs_score,
        model=params.model_name,
        version=version,
        champion=champion,
        mlflow_run=run_id,
        data_sha256=choice.measured["data_sha256"],
    )


def _which(result: dict) -> str:
    """Return which generators were scored; the previous release stored this as `weights: average` or `raw`."""
    return result.get("generator") or {"average": "ema", "raw": "raw"}[result["weights"]]


def _becomes_champion(params: Select, version: int, score: float, measured: Mapping[str, str]) -> bool:
    """Return whether the version becomes champion.

    Under `better` it must score at least as well as the champion. If they were measured differently, a person decides.
    """
    if params.champion != "better":
        return params.champion == "always"
    current = registry.find_alias(params.model_name, registry.CHAMPION)
    if current is None or int(current.version) == version:
        return True
    differing = [
        f"{name} {current.tags.get(name, 'unknown')}" for name in measured if current.tags.get(name) != measured[name]
    ]
    if differing:
        note(
            f"select: the champion, version {current.version}, was measured by {', '.join(differing)}: a person decides"
        )
        return False
    return score <= float(current.tags.get("score", "-inf"))
