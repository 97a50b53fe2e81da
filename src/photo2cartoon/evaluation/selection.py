"""The `select` stage: registers the best checkpoint as a version of the model in MLflow.

The version takes the alias `candidate`, and also `champion` if `select.champion` allows it. People can move the aliases
in MLflow's page; `promote` deploys the version that `champion` points at. For the same version with the same scores and
the same `select.champion`, the alias `champion` is decided once: a later run does not undo what a person did since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from photo2cartoon import checkpoint
from photo2cartoon.evaluation.candidates import generator_of, log_candidate, scored_dataset, shown_scores
from photo2cartoon.evaluation.description import describe_version
from photo2cartoon.evaluation.rule import best
from photo2cartoon.files import atomic_dir, read_json, sha256_of, write_json
from photo2cartoon.layout import CARTOON_GENERATOR, CHECKPOINTS, DATA, RUN, SCORED_GRID, SCORES, SELECTION
from photo2cartoon.params import Select
from photo2cartoon.progress import note
from photo2cartoon.tracking import logged_models, registry, runs
from photo2cartoon.tracking.lineage import kubeflow_run

DECIDED = "champion_decided_for"  # tag of a version: hash of weights, scores and rule by which `champion` was decided


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
        selection = decided or _register_in_stage(params, choice, partial)
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
class Choice:
    """Best checkpoint, how it was measured, all scores, and the hash of what decides about the alias."""

    path: Path
    which: str
    scores_folder: Path
    result: dict
    score: float
    photographs_score: float
    measured: dict[str, str]
    run_info: dict
    scores: dict[str, float]
    decision: str


def _choose(params: Select, scores_folder: Path, train: Path) -> Choice:
    result = read_json(scores_folder / SCORES, "`p2c evaluate` writes it")
    run_info = read_json(train / RUN, "`p2c train` writes it")
    name = best(result["scores"], params.metric)
    path, which = train / CHECKPOINTS / name, generator_of(result)
    score = result["scores"][name][params.metric]
    # Scores can be compared only if all of these are the same.
    measured = {
        "metric": params.metric,
        "data_sha256": result["data_sha256"],
        "splits": "+".join(result["splits"]),
    }
    weights = sha256_of(checkpoint.generator_file(path, which=which))
    decision = {**measured, "score": score, "champion": params.champion, "weights_sha256": weights}
    hashed = hashlib.sha256(json.dumps(decision).encode()).hexdigest()
    scores, photographs = result["scores"][name], result["scores"]["photographs"][params.metric]
    return Choice(path, which, scores_folder, result, score, photographs, measured, run_info, scores, hashed)


def _decided(params: Select, choice: Choice) -> Selection | None:
    found = registry.find_version(params.model_name, DECIDED, choice.decision)
    if found is None:
        return None
    version = int(found.version)
    return _selection(params, choice, version, registry.is_champion(params.model_name, version), found.run_id)


def _register_in_stage(params: Select, choice: Choice, folder: Path) -> Selection:
    info = choice.run_info
    with runs.stage("select", info["mlflow_run"], info.get("title", choice.path.parents[1].name)) as stage:
        return _register(params, choice, stage, folder)


def _register(params: Select, choice: Choice, stage: runs.Stage, folder: Path) -> Selection:
    """Register the generator in a folder, and find whether it should become the champion."""
    tags = {"checkpoint": choice.path.name, registry.GENERATOR_HASH: sha256_of(folder / CARTOON_GENERATOR)}
    tags |= {**choice.measured, "score": repr(choice.score), "git_commit": choice.run_info["git_commit"]}
    tags |= {"dvc": dataset.digest} if (dataset := scored_dataset(DATA, choice.result)).source_type == "dvc" else {}
    logged = _logged(stage, choice)
    title, scores = choice.run_info.get("title", "a run"), choice.result["scores"]
    text = describe_version(logged, choice.path.name, title, params.metric, scores)
    version = registry.register(params.model_name, logged, stage.whole, {**tags, **kubeflow_run()}, text)
    registry.set_alias(params.model_name, registry.CANDIDATE, version)
    champion = _becomes_champion(params, version, choice.score, choice.measured)
    stage.whole.tags({"selected": choice.path.name})
    step = checkpoint.read_card(choice.path).step
    stage.whole.metrics(shown_scores(choice.scores), step)  # the table of runs sorts by them
    stage.whole.note(
        "Selection",
        f"{choice.path.name} by {params.metric}, {choice.score:.4g} (the photographs themselves:"
        f" {choice.photographs_score:.4g}); {params.model_name} version {version},"
        f" {'champion' if champion else 'candidate'}",
    )
    return _selection(params, choice, version, champion, stage.whole.run_id)


def _logged(stage: runs.Stage, choice: Choice) -> str:
    """Return the id of the checkpoint's logged model; MLflow may have lost what `evaluate` logged."""
    client = stage.whole.client
    known = logged_models.find(client, stage.whole.run_id, choice.path.name)
    if known is not None and client.list_logged_model_artifacts(known.model_id):
        return known.model_id
    picture = (choice.scores_folder / SCORED_GRID).read_bytes()
    model = log_candidate(stage.whole, choice.path, choice.result, picture)
    if known is None:
        step = checkpoint.read_card(choice.path).step
        logged_models.log_scores(
            stage.run, model, step, shown_scores(choice.scores), scored_dataset(DATA, choice.result)
        )
    return model


def _selection(params: Select, choice: Choice, version: int, champion: bool, run_id: str) -> Selection:
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
