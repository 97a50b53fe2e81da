"""The `select` stage: registers the best checkpoint as a version of the model in MLflow.

The version takes the alias `candidate`, and also `champion` if `select.promote` allows it. People can move the aliases
in MLflow's page; `promote` deploys the version that `champion` points at. For the same version with the same scores and
the same `select.promote`, the alias `champion` is decided once: a later run does not undo what a person did since.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from photo2cartoon import checkpoint
from photo2cartoon.atomic import atomic_dir
from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.bootstrap_draws import read_draws
from photo2cartoon.evaluation.candidates import generator_of, log_candidate, scored_dataset, shown_scores
from photo2cartoon.evaluation.description import describe_version
from photo2cartoon.evaluation.result import Result, read_result
from photo2cartoon.evaluation.rule import BETTER, CHAMPION, PHOTOGRAPHS, Difference, choose, compare
from photo2cartoon.files import read_json, sha256_of, write_json
from photo2cartoon.layout import CARTOON_GENERATOR, CHECKPOINTS, DATA, RUN, SCORED_GRID, SELECTION
from photo2cartoon.params import Select
from photo2cartoon.progress import note
from photo2cartoon.tracking import aliases, logged_models, registry, runs
from photo2cartoon.tracking.lineage import kubeflow_run

FEWEST_PEOPLE = 8  # below, one model in ten looks better than an equal one
DECIDED = "champion_decided_for"  # tag of a version: hash of weights, scores and rule by which `champion` was decided


@dataclass(frozen=True)
class Selection:
    """Selected checkpoint and the reason, as in `selection.json`.

    Args:
        checkpoint: name of the checkpoint.
        metric: first metric of the rule.
        score: the checkpoint's score by that metric.
        photographs_score: score of the photographs themselves.
        version: version of the registered model.
        champion: whether the version has that alias.
        model, mlflow_run, data_sha256: the registered model, the MLflow run and the dataset's hash.
        reasons: for each checkpoint, why it was or was not chosen.
        compared: how it compares with the champion of that time, in words.
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
    reasons: Mapping[str, str]
    compared: str


def select(params: Select, scores_folder: Path, train: Path, out: Path, metrics: Path | None = None) -> Selection:
    """Choose the best checkpoint, copy its generator to `out` and register it.

    Args:
        params: the `select` section.
        scores_folder: output folder of the `evaluate` stage.
        train: output folder of the `train` stage.
        out: receives a checkpoint that holds only the selected generator, with `selection.json`.
        metrics: JSON file for its step and its scores, with half of their 95 % intervals.

    Raises:
        UserError: scores are missing, no checkpoint keeps to the floors, or MLflow cannot be reached.
    """
    choice = _choose(params, scores_folder, train)
    decided = _decided(params, choice)
    with atomic_dir(out, SELECTION) as partial:
        checkpoint.copy_generator(choice.path, partial, which=generator_of(choice.result))
        selection = decided or _register(params, choice, scores_folder, partial)
        write_json(partial / SELECTION, asdict(selection))
    if decided is None:
        if selection.champion:
            aliases.set_champion(params.model_name, selection.version)
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
    """The chosen checkpoint: how it compares, and the hash of what decides about the alias."""

    path: Path
    reasons: Mapping[str, str]
    result: Result
    run_info: dict
    against_champion: Difference | None
    measured: dict[str, str]
    decision: str

    @property
    def scores(self) -> dict[str, float]:
        return self.result["scores"][self.path.name]


def _choose(params: Select, scores_folder: Path, train: Path) -> _Choice:
    result = read_result(scores_folder)
    run_info = read_json(train / RUN, "`p2c train` writes it")
    scores, draws, first = result["scores"], read_draws(scores_folder), params.rank[0]
    verdict = choose(scores, draws, params.rank, params.floors)
    path = train / CHECKPOINTS / verdict.chosen
    tried = len(verdict.reasons)
    against = compare(scores, draws, verdict.chosen, CHAMPION, first, tried) if CHAMPION in scores else None
    measured = {
        "metric": first,
        "data_sha256": result["data_sha256"],
        "splits": "+".join(result["splits"]),
    }
    weights = sha256_of(checkpoint.generator_file(path, which=generator_of(result)))
    if weights != result.get("generators", {}).get(path.name, weights):
        raise UserError(f"{path}: is not the checkpoint that was scored; `p2c evaluate` scores it")
    decision = {
        **measured,
        "score": scores[verdict.chosen][first],
        "promote": params.promote,
        "weights_sha256": weights,
    }
    hashed = hashlib.sha256(json.dumps(decision).encode()).hexdigest()
    return _Choice(path, verdict.reasons, result, run_info, against, measured, hashed)


def _decided(params: Select, choice: _Choice) -> Selection | None:
    found = registry.find_version(params.model_name, DECIDED, choice.decision)
    if found is None:
        return None
    version = int(found.version)
    champion = aliases.champion_version(params.model_name) == version
    return _selection(params, choice, version, champion, found.run_id, found.tags.get("compared", ""))


def _register(params: Select, choice: _Choice, scores_folder: Path, folder: Path) -> Selection:
    """Register the generator in a folder, and find whether it should become the champion."""
    info, name, metric = choice.run_info, choice.path.name, params.rank[0]
    score = choice.scores[metric]
    with runs.stage("select", info["mlflow_run"], info.get("title", choice.path.parents[1].name)) as stage:
        known = registry.find_version(params.model_name, registry.GENERATOR_HASH, sha256_of(folder / CARTOON_GENERATOR))
        promotes, compared = _promotes(params, choice, None if known is None else int(known.version))
        tags = {
            "checkpoint": name,
            registry.GENERATOR_HASH: sha256_of(folder / CARTOON_GENERATOR),
            "compared": compared,
        }
        tags |= {**choice.measured, "score": repr(score), "git_commit": info["git_commit"]}
        dataset = scored_dataset(DATA, choice.result)
        tags |= {"dvc": dataset.digest} if dataset.source_type == "dvc" else {}
        logged = _logged(stage, choice, scores_folder)
        text = describe_version(
            logged, name, info.get("title", "a run"), params.rank, choice.result, choice.reasons, compared
        )
        version = registry.register(params.model_name, logged, stage.whole, {**tags, **kubeflow_run()}, text)
        aliases.set_alias(params.model_name, aliases.CANDIDATE, version)
        stage.whole.tags({"selected": name})
        # The table of runs sorts by them. Always at step 0: it shows the last step's, and an earlier checkpoint may follow.
        stage.whole.metrics(shown_scores(choice.scores), 0)
        for each, reason in choice.reasons.items():
            stage.run.note(each, reason)
        alias = "champion" if promotes else "candidate"
        stage.whole.note(
            "Selection",
            f"{name}, {metric} {score:.4g} (the photographs themselves: {_baseline(params, choice):.4g}); version {version} of"
            f" {params.model_name}, {alias}: {compared}",
        )
        return _selection(params, choice, version, promotes, stage.whole.run_id, compared)


def _promotes(params: Select, choice: _Choice, version: int | None) -> tuple[bool, str]:
    """Return whether the chosen checkpoint becomes champion, and how it compares with the present one.

    Under `better` it must be better by the first metric on the same photographs; if the two cannot be told apart, the
    champion stays. If the champion is not the one that was scored, a person decides.
    """
    current = aliases.champion_version(params.model_name)
    if current is None:
        return params.promote != "ask", "there is no champion"
    if version == current:
        return True, "it is the champion already"
    if choice.against_champion is None or choice.result.get("champion") != current:
        compared = f"not compared with the champion, version {current}, which was not scored on these photographs"
        if params.promote == "better":
            note(f"select: {compared}: a person decides, or `p2c evaluate` again")
        return params.promote == "always", compared
    compared = f"by {params.rank[0]} {choice.against_champion} than the champion, version {current}"
    if (people := choice.result.get("people", FEWEST_PEOPLE)) < FEWEST_PEOPLE:
        compared += f"; {people} people are too few to tell, at least {FEWEST_PEOPLE} are needed"
        return params.promote == "always", compared
    return params.promote == "always" or (
        params.promote == "better" and choice.against_champion.verdict == BETTER
    ), compared


def _logged(stage: runs.Stage, choice: _Choice, scores_folder: Path) -> str:
    """Return the id of the checkpoint's logged model; MLflow may have lost what `evaluate` logged."""
    client = stage.whole.client
    scored = sha256_of(checkpoint.generator_file(choice.path, which=generator_of(choice.result)))
    known = logged_models.find(client, stage.whole.run_id, choice.path.name, scored)
    if known is not None and client.list_logged_model_artifacts(known.model_id):
        return known.model_id
    picture = (scores_folder / SCORED_GRID).read_bytes()
    model = log_candidate(stage.whole, choice.path, choice.result, picture)
    if known is None:
        step = checkpoint.read_card(choice.path).step
        dataset = scored_dataset(DATA, choice.result)
        logged_models.log_scores(stage.run, model, step, shown_scores(choice.scores), dataset)
    return model


def _baseline(params: Select, choice: _Choice) -> float:
    return choice.result["scores"][PHOTOGRAPHS][params.rank[0]]


def _selection(params: Select, choice: _Choice, version: int, champion: bool, run_id: str, compared: str) -> Selection:
    return Selection(
        checkpoint=choice.path.name,
        metric=params.rank[0],
        score=choice.scores[params.rank[0]],
        photographs_score=_baseline(params, choice),
        model=params.model_name,
        version=version,
        champion=champion,
        mlflow_run=run_id,
        data_sha256=choice.measured["data_sha256"],
        reasons=choice.reasons,
        compared=compared,
    )
