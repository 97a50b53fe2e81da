"""Logged models: every scored checkpoint as MLflow's table of models shows it, with its scores on a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from photo2cartoon.tracking.runs import Run

WHOLE_TAG = "whole"  # id of the parent run
GENERATOR_TAG = "scored_generator_sha256"
MODEL_TYPE = "photograph to cartoon"


class Checkpoint(NamedTuple):
    """A checkpoint to log.

    Args:
        name: name of the model.
        step: training step.
        params: parameters to show.
        files: folder with its files, or None.
        generator: sha256 of the generator that was scored; empty for what has none. A checkpoint has two, raw and averaged.
    """

    name: str
    step: int
    params: Mapping[str, Any]
    files: Path | None = None
    generator: str = ""


def log_checkpoint(whole: Run, made: Checkpoint) -> str:
    """Log a checkpoint as a model of a parent run, unless it is logged already.

    Args:
        whole: the parent run, which MLflow's table shows as the model's source.
        made: the checkpoint; files that are logged already stay.

    Returns:
        The model's id.
    """
    from mlflow.entities import LoggedModelOutput

    client, run_id = whole.client, whole.run_id
    known = find(client, run_id, made.name, made.generator)
    if known is None:
        number = client.get_run(run_id).info.experiment_id
        known = client.create_logged_model(
            number,
            made.name,
            run_id,
            tags={WHOLE_TAG: run_id, GENERATOR_TAG: made.generator},
            params={key: str(value) for key, value in made.params.items()},
            model_type=MODEL_TYPE,
        )
        client.log_outputs(run_id, [LoggedModelOutput(known.model_id, made.step)])
    if made.files is not None and not client.list_logged_model_artifacts(known.model_id):
        client.log_model_artifacts(known.model_id, str(made.files))
    client.finalize_logged_model(known.model_id, "READY")
    return known.model_id


def find(client: Any, whole: str, name: str, generator: str) -> Any | None:
    """Return the model of this name and generator that was logged for a parent run, or None."""
    number = client.get_run(whole).info.experiment_id
    found = client.search_logged_models([number], filter_string=f"tags.{WHOLE_TAG} = '{whole}' AND name = '{name}'")
    return next((model for model in found if model.tags.get(GENERATOR_TAG, "") == generator), None)


def log_scores(run: Run, model_id: str, step: int, scores: Mapping[str, float], dataset: Any) -> None:
    """Log a model's scores on a dataset, as metrics of the run at the checkpoint's step and of the model.

    Args:
        run: the run that scored it.
        model_id: the model.
        step: the checkpoint's step.
        scores: finite numbers, by metric.
        dataset: `mlflow.entities.Dataset`.
    """
    from mlflow.entities import LoggedModelInput, Metric
    from mlflow.utils.time import get_current_time_millis

    now = get_current_time_millis()
    metrics = [
        Metric(key, float(value), now, step, model_id, dataset.name, dataset.digest, run.run_id)
        for key, value in scores.items()
    ]
    run.client.log_inputs(run.run_id, models=[LoggedModelInput(model_id)])
    run.client.log_batch(run.run_id, metrics=metrics, synchronous=True)
