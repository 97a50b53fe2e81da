"""`evaluate`: a score for every checkpoint."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def evaluate(
    params: Input[Artifact],
    run: Input[Model],
    faces: Input[Dataset],
    weights: Input[Model],
    mlflow_uri: str,
    scores: Output[Artifact],
    metrics: Output[Metrics],
):
    """Score every checkpoint; lower is better.

    Args:
        params: resolved parameters.
        run: what training wrote.
        faces: the dataset.
        weights: the weights folder.
        mlflow_uri: where the run is tracked; empty for the environment's.
        scores: scores.json, scores.csv, drawings.png.
        metrics: the last checkpoint's scores, for Kubeflow's page.
    """
    import os
    from pathlib import Path

    from photo2cartoon.evaluation.evaluate import evaluate as stage
    from photo2cartoon.params import load

    if mlflow_uri:
        os.environ["MLFLOW_TRACKING_URI"] = mlflow_uri
    folders = (Path(artifact.path) for artifact in (run, faces, weights, scores))
    result = stage(load(params.path).evaluate, *folders)
    for name, value in list(result["scores"].values())[-1].items():
        metrics.log_metric(name, value)
