"""`select`: the best checkpoint, registered in MLflow."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def select(
    params: Input[Artifact], run: Input[Model], scores: Input[Artifact], mlflow_uri: str, selected: Output[Model]
):
    """Choose and register.

    Args:
        params: resolved parameters.
        run: what training wrote.
        scores: what evaluation wrote.
        mlflow_uri: where the registry is; empty for the environment's.
        selected: the chosen generator, as a checkpoint.
    """
    import os
    from dataclasses import asdict
    from pathlib import Path

    from photo2cartoon.evaluation.selection import select as stage
    from photo2cartoon.params import load

    if mlflow_uri:
        os.environ["MLFLOW_TRACKING_URI"] = mlflow_uri
    folders = (Path(artifact.path) for artifact in (scores, run, selected))
    selected.metadata.update(asdict(stage(load(params.path).select, *folders)))
