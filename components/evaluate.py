"""`evaluate` component: scores every checkpoint and shows what each draws."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components import component


@component()
def evaluate(
    params: dict,
    score_on: str,
    averages: Input[Model],
    scored: Input[Dataset],
    weights: Input[Model],
    mlflow_uri: str,
    scores: Output[Artifact],
    finalists: Output[Model],
    metrics: Output[Metrics],
    drawings: Output[HTML],
):
    """Score every checkpoint, and the photographs themselves as a baseline; lower is better.

    Args:
        params: section `evaluate`.
        score_on: parameter of the pipeline.
        averages: output of `train`.
        scored: output of `preprocess`.
        weights: output `scoring` of `assets`.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        scores: receives scores.json, scores.csv and drawings.png.
        finalists: receives the checkpoints that are the best by at least one metric.
        metrics: scores of the last checkpoint, for Kubeflow's page.
        drawings: scores and sample cartoons of each checkpoint, for Kubeflow's page.
    """
    from pathlib import Path

    from photo2cartoon.checkpoint import copy_averages
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.evaluate import evaluate as stage
    from photo2cartoon.evaluation.page import write_page
    from photo2cartoon.evaluation.rule import finalists as finalists_of
    from photo2cartoon.params.arguments import evaluate_of
    from photo2cartoon.tracking.client import track_at

    with exit_on_user_error("evaluate"):
        track_at(mlflow_uri)
        run, out = Path(averages.path), Path(scores.path)
        result = stage(evaluate_of(params, score_on), run, Path(scored.path), Path(weights.path), out)
        copy_averages(run, Path(finalists.path), finalists_of(result["scores"]))
        for name, value in list(result["scores"].values())[-1].items():
            metrics.log_metric(name, value)
        write_page(out, Path(drawings.path))
