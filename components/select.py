"""`select` component: registers the best checkpoint in MLflow."""

from kfp.dsl import Artifact, Input, Markdown, Model, Output

from components import component


@component()
def select(
    params: str,
    run: Input[Model],
    scores: Input[Artifact],
    mlflow_uri: str,
    selected: Output[Model],
    summary: Output[Markdown],
):
    """Select the best checkpoint and register its generator in MLflow.

    Args:
        params: section `select`, as JSON.
        run: output of `train`.
        scores: output of `collect_scores`.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        selected: receives the selected generator, as a checkpoint.
        summary: the selection, with its version and run in MLflow, for Kubeflow's page.
    """
    from dataclasses import asdict
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.page import write_summary
    from photo2cartoon.evaluation.selection import select as stage
    from photo2cartoon.params import Select
    from photo2cartoon.tracking.runs import track_at

    with exit_on_user_error("select"):
        track_at(mlflow_uri)
        chosen = stage(Select.model_validate_json(params), *(Path(each.path) for each in (scores, run, selected)))
        selected.metadata |= asdict(chosen)
        write_summary(chosen, Path(summary.path))
