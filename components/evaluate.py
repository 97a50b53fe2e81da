"""`evaluate` component: scores every checkpoint and shows what each draws."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components import component


@component()
def evaluate(
    params: dict,
    select: dict,
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
    """Score every checkpoint, the champion, and the photographs themselves as a baseline.

    Args:
        params: section `evaluate`.
        select: section `select`: the model whose champion is scored too, and the rule.
        score_on: parameter of the pipeline.
        averages: output of `train`.
        scored: output of `preprocess`.
        weights: output `scoring` of `assets`.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        scores: receives scores.json, scores.csv, draws.npz and drawings.png.
        finalists: receives the checkpoint that the rule chooses, and those that are the best by at least one metric.
        metrics: scores of the last checkpoint, for Kubeflow's page.
        drawings: scores and sample cartoons of each checkpoint, for Kubeflow's page.
    """
    import math
    from pathlib import Path

    from photo2cartoon.checkpoint import AVERAGES, copy_averages
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.evaluate import evaluate as stage
    from photo2cartoon.evaluation.report import write_report
    from photo2cartoon.evaluation.rule import passed_on
    from photo2cartoon.params import Select
    from photo2cartoon.params.arguments import evaluate_of, section_of
    from photo2cartoon.tracking.client import track_at

    with exit_on_user_error("evaluate"):
        track_at(mlflow_uri)
        run, out = Path(averages.path), Path(scores.path)
        choosing = section_of(Select, select)
        result = stage(evaluate_of(params, score_on), run, Path(scored.path), Path(weights.path), out, choosing)
        names = passed_on(result["scores"], out, choosing)
        copy_averages(run, Path(finalists.path), names, AVERAGES[:1])
        for name, value in list(result["scores"].values())[-1].items():
            if math.isfinite(value):  # JSON has no other numbers
                metrics.log_metric(name, value)
        write_report(out, Path(drawings.path))
