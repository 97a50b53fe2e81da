"""`evaluate` components: score every checkpoint in its own pod, then collect the scores."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components import component


@component()
def candidates(params: str, run: Input[Model]) -> list[str]:
    """List the work items: one for the photographs themselves, as a baseline, and one for every checkpoint.

    Args:
        params: section `evaluate`, as JSON.
        run: output of `train`.

    Returns:
        Work items as JSON. They carry all parameters of `evaluate`, because inside a loop kfp's local runner
        passes on no parameters but the loop item.
    """
    import json
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.evaluate import candidates as listed

    with exit_on_user_error("evaluate"):
        return [json.dumps({"candidate": name, "evaluate": json.loads(params)}) for name in listed(Path(run.path))]


@component()
def evaluate(work_item: str, run: Input[Model], faces: Input[Dataset], weights: Input[Model], part: Output[Artifact]):
    """Score one checkpoint, or the photographs; lower is better.

    Args:
        work_item: one item from `candidates`.
        run: output of `train`.
        faces: the dataset.
        weights: output of `assets`.
        part: receives the scores and sample images.
    """
    import json
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.evaluate import evaluate_one, prepare
    from photo2cartoon.params import check

    with exit_on_user_error("evaluate"):
        item, train = json.loads(work_item), Path(run.path)
        section, name = check({"evaluate": item["evaluate"]}, "work_item").evaluate, item["candidate"]
        scorer = prepare(section, train, Path(faces.path), Path(weights.path))
        part.metadata |= evaluate_one(scorer, section, train, name, Path(part.path)) | {"candidate": name}


@component()
def collect_scores(
    params: str,
    run: Input[Model],
    parts: Input[list[Artifact]],
    mlflow_uri: str,
    scores: Output[Artifact],
    metrics: Output[Metrics],
    drawings: Output[HTML],
):
    """Collect the scores of all checkpoints and log them to MLflow.

    Args:
        params: section `evaluate`, as JSON.
        run: output of `train`.
        parts: outputs of `evaluate`, one per work item.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        scores: receives scores.json, scores.csv and drawings.png.
        metrics: scores of the last checkpoint, for Kubeflow's page.
        drawings: scores and sample cartoons of each checkpoint, for Kubeflow's page.
    """
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.evaluate import collect
    from photo2cartoon.evaluation.page import write_page
    from photo2cartoon.params import Evaluate
    from photo2cartoon.tracking.runs import track_at

    with exit_on_user_error("evaluate"):
        track_at(mlflow_uri)
        out = Path(scores.path)
        result = collect(Evaluate.model_validate_json(params), Path(run.path), [Path(part.path) for part in parts], out)
        for name, value in list(result["scores"].values())[-1].items():
            metrics.log_metric(name, value)
        write_page(out, Path(drawings.path))
