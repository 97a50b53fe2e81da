"""`train` component for a cluster with a place for training's state: a lost pod's training is resumed there."""

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
    place: str,
    mlflow_uri: str,
    averages: Output[Model],
    log: Output[Artifact],
):
    """Train all networks, or resume the same training where an earlier attempt stopped.

    Args:
        params: section `train`.
        steps, batch, lr: parameters of the pipeline.
        faces: the dataset.
        weights: output `training` of `assets`.
        gpus: GPUs of the pod. One process per GPU is started, unless `train.processes` names another number.
        place: object storage URL, or folder on a volume that outlives the pod; each training has a folder of its own.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        averages: receives the averaged generator of every checkpoint.
        log: receives curves, sample grids and run.json.
    """
    import tempfile
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params.arguments import train_of
    from photo2cartoon.tracking.client import track_at
    from photo2cartoon.training.auto_resume import training_name
    from photo2cartoon.training.loop import train as stage
    from photo2cartoon.training.outputs import with_gpus, write_outputs
    from photo2cartoon.urls import is_url

    with exit_on_user_error("train"), tempfile.TemporaryDirectory() as folder:
        track_at(mlflow_uri)
        section, data = train_of(params, steps, batch, lr), Path(faces.path)
        name, url = training_name(section, data, Path(weights.path)), is_url(place)
        run = Path(folder if url else place) / name
        kept = f"{place.rstrip('/')}/{name}" if url else None
        stage(with_gpus(section, gpus), data, Path(weights.path), run, resume=True, place=kept)
        averages.metadata |= write_outputs(run, Path(averages.path), Path(log.path))
