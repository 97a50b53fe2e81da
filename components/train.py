"""`train` component: trains all networks on the GPUs of one pod, and keeps nothing but its outputs."""

from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components import component


@component()
def train(
    params: dict,
    steps: int,
    batch: int,
    lr: float,
    faces: Input[Dataset],
    weights: Input[Model],
    gpus: int,
    mlflow_uri: str,
    averages: Output[Model],
    log: Output[Artifact],
    state: Output[Model],
):
    """Train all networks. A lost pod starts again from nothing; `train_at.train` resumes.

    Args:
        params: section `train`.
        steps, batch, lr: parameters of the pipeline.
        faces: the dataset.
        weights: output `training` of `assets`.
        gpus: GPUs of the pod. One process per GPU is started, unless `train.processes` names another number.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        averages: receives the averaged generator of every checkpoint.
        log: receives curves, sample grids and run.json.
        state: receives the last checkpoint, from which training can be resumed.
    """
    import tempfile
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params.arguments import train_of
    from photo2cartoon.tracking.client import track_at
    from photo2cartoon.training.loop import train as stage
    from photo2cartoon.training.outputs import with_gpus, write_outputs

    with exit_on_user_error("train"), tempfile.TemporaryDirectory() as folder:
        track_at(mlflow_uri)
        section, run = with_gpus(train_of(params, steps, batch, lr), gpus), Path(folder) / "train"
        stage(section, Path(faces.path), Path(weights.path), run)
        averages.metadata |= write_outputs(run, Path(averages.path), Path(log.path), Path(state.path))
