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

DECIDED = "champion_decided_for"  # tag of a version: the scores and the rule by which `champion` was decided


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


def select(params: Select, scores_folder: Path, train: Path, out: Path) -> Selection:
    """Choose the best checkpoint, copy its generator to `out` and register it.

    Args:
        params: the `select` section.
        scores_folder: output folder of the `evaluate` stage.
        train: output folder of the `train` stage.
        out: receives a checkpoint that holds only the selected generator, with `selection.json`.

    Raises:
        UserError: scores are missing, or MLflow cannot be reached.
    """
    result = read_json(scores_folder / SCORES, "`p2c evaluate` writes it")
    run_info = read_json(train / RUN, "`p2c train` writes it")
    name = best(result["scores"], params.metric)
    score = result["scores"][name][params.metric]
    # Scores can be compared only if all of these are the same.
    measured = {
        "metric": params.metric,
        "data_sha256": result["data_sha256"],
        "splits": "+".join(result["splits"]),
    }
    decision = json.dumps({**measured, "score": score, "champion": params.champion})
    with atomic_dir(out, SELECTION) as partial:
        checkpoint.copy_generator(train / CHECKPOINTS / name, partial, which=_which(result))
        generator = sha256_of(partial / CARTOON_GENERATOR)
        found = registry.find_generator(params.model_name, generator)
        decided = found is not None and found.tags.get(DECIDED) == decision
        if decided:
            version, run_id = int(found.version), found.run_id
            champion = registry.is_champion(params.model_name, version)
        else:
            run = runs.find_run(run_info["mlflow_run"], train.name)
            tags = {"checkpoint": name, "generator_sha256": generator, **measured, "score": repr(score)}
            tags |= {"git_commit": run_info["git_commit"], **kubeflow_run()}
            version, run_id = registry.register(params.model_name, partial, run, f"models/{name}", tags), run.run_id
            registry.set_alias(params.model_name, registry.CANDIDATE, version)
            champion = _becomes_champion(params, version, score, measured)
            run.tags({"selected": name})
            run.finish()
        selection = Selection(
            checkpoint=name,
            metric=params.metric,
            score=score,
            photographs_score=result["scores"]["photographs"][params.metric],
            model=params.model_name,
            version=version,
            champion=champion,
            mlflow_run=run_id,
            data_sha256=result["data_sha256"],
        )
        write_json(partial / SELECTION, asdict(selection))
    if not decided:
        if champion:
            registry.set_champion(params.model_name, version)
        registry.set_tags(params.model_name, version, {DECIDED: decision})
    return selection


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
