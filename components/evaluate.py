"""`evaluate`: a score for every checkpoint, each on a machine of its own, then collected."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Metrics, Model, Output

from components import component


@component()
def candidates(params: str, run: Input[Model]) -> list[str]:
    """A work item for the photographs themselves and for every checkpoint.

    Args:
        params: the section `evaluate`.
        run: what training wrote.

    Returns:
        Work items as JSON. They hold all parameters of `evaluate`: inside a loop, kfp's local runner takes parameters from
        nowhere else.
    """
    import json
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.evaluate import candidates as listed

    with exit_on_user_error("evaluate"):
        return [json.dumps({"candidate": name, "evaluate": json.loads(params)}) for name in listed(Path(run.path))]


@component()
def evaluate(work_item: str, run: Input[Model], faces: Input[Dataset], weights: Input[Model], part: Output[Artifact]):
    """Score one of them; lower is better.

    Args:
        work_item: from `candidates`.
        run: what training wrote.
        faces: the dataset.
        weights: the weights folder.
        part: its scores and drawings.
    """
    import json
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.evaluate import evaluate_one, prepare
    from photo2cartoon.params import check

    with exit_on_user_error("evaluate"):
        wish, train = json.loads(work_item), Path(run.path)
        section, name = check({"evaluate": wish["evaluate"]}, "work_item").evaluate, wish["candidate"]
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
    """Put the scores together, and into MLflow.

    Args:
        params: the section `evaluate`.
        run: what training wrote.
        parts: what `evaluate` wrote.
        mlflow_uri: where the run is tracked; empty for the environment's.
        scores: scores.json, scores.csv, drawings.png.
        metrics: the last checkpoint's scores, for Kubeflow's page.
        drawings: what each checkpoint drew, beside its scores, for Kubeflow's page.
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
