"""`select`: the best checkpoint, registered in MLflow."""

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
    """Choose and register.

    Args:
        params: the section `select`.
        run: what training wrote.
        scores: what evaluation wrote.
        mlflow_uri: where the registry is; empty for the environment's.
        selected: the chosen generator, as a checkpoint.
        summary: the choice and its place in MLflow, for Kubeflow's page.
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
