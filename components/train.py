"""`train`: all networks."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def train(params: Input[Artifact], faces: Input[Dataset], weights: Input[Model], mlflow_uri: str, run: Output[Model]):
    """Train.

    Args:
        params: resolved parameters.
        faces: the dataset.
        weights: the weights folder.
        mlflow_uri: where the run is tracked; empty for the environment's.
        run: checkpoints, samples, curves.
    """
    import os
    from pathlib import Path

    from photo2cartoon.params import load
    from photo2cartoon.training.loop import train as stage

    if mlflow_uri:
        os.environ["MLFLOW_TRACKING_URI"] = mlflow_uri
    last = stage(load(params.path).train, Path(faces.path), Path(weights.path), Path(run.path), resume=True)
    run.metadata["last_checkpoint"] = last.name
