"""`train` components: train all networks, on the GPUs of one pod or on several machines as a TrainJob.

`train` keeps nothing but its outputs; `train_at` keeps its state at a place that outlives the pod, and resumes there.
"""

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
    """Train all networks. A lost pod starts again from nothing; `train_at` resumes.

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
    from photo2cartoon.tracking.runs import track_at
    from photo2cartoon.training.loop import train as stage
    from photo2cartoon.training.outputs import with_gpus, write_outputs

    with exit_on_user_error("train"), tempfile.TemporaryDirectory() as folder:
        track_at(mlflow_uri)
        section, run = with_gpus(train_of(params, steps, batch, lr), gpus), Path(folder) / "train"
        stage(section, Path(faces.path), Path(weights.path), run)
        averages.metadata |= write_outputs(run, Path(averages.path), Path(log.path), Path(state.path))


@component()
def train_at(
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

    from photo2cartoon.dataset.faces import training_name
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params.arguments import train_of
    from photo2cartoon.tracking.runs import track_at
    from photo2cartoon.training.loop import train as stage
    from photo2cartoon.training.outputs import with_gpus, write_outputs
    from photo2cartoon.urls import is_url

    with exit_on_user_error("train"), tempfile.TemporaryDirectory() as folder:
        track_at(mlflow_uri)
        section, data = train_of(params, steps, batch, lr), Path(faces.path)
        name, url = training_name(section.model_dump_json(), data), is_url(place)
        run = Path(folder if url else place) / name
        kept = f"{place.rstrip('/')}/{name}" if url else None
        stage(with_gpus(section, gpus), data, Path(weights.path), run, resume=True, place=kept)
        averages.metadata |= write_outputs(run, Path(averages.path), Path(log.path))


@component()
def train_distributed(
    params: dict,
    steps: int,
    batch: int,
    lr: float,
    faces: Input[Dataset],
    weights: Input[Model],
    place: str,
    pvc: str,
    spec: dict,
    image: str,
    mlflow_uri: str,
    averages: Output[Model],
    log: Output[Artifact],
):
    """Train on several machines: submit a TrainJob of Kubeflow Trainer and wait for it.

    Dataset and weights are copied to the volume. A retry finds the job, or resumes from its checkpoints.

    Args:
        params: section `train`.
        steps, batch, lr: parameters of the pipeline.
        faces: the dataset.
        weights: output `training` of `assets`.
        place: where this pod mounts the volume.
        pvc: persistent volume claim (PVC) of that volume, writable by all machines.
        spec: section `train_job` of the cluster file.
        image: the project's image.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        averages: receives the averaged generator of every checkpoint.
        log: receives curves, sample grids and run.json.
    """
    import os
    import shutil
    from pathlib import Path

    from components.train_job import TrainJob, submit_or_resume, train_section
    from photo2cartoon.dataset.faces import training_name
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.files import atomic_dir
    from photo2cartoon.params.arguments import train_of
    from photo2cartoon.tracking.runs import URI_VARIABLE
    from photo2cartoon.training.outputs import write_outputs

    with exit_on_user_error("train"):
        section = train_of(params, steps, batch, lr)
        name = training_name(section.model_dump_json(), Path(faces.path))
        base = Path(place) / name
        for what, source in (("faces", faces.path), ("weights", weights.path)):
            if not (base / what).exists():
                with atomic_dir(base / what, what) as partial:
                    shutil.copytree(source, partial, dirs_exist_ok=True)
        job = TrainJob(
            image=image,
            volume=pvc,
            params=train_section(section),
            folder=name,
            name=f"photo2cartoon-{name}",
            mlflow_uri=mlflow_uri or os.environ.get(URI_VARIABLE, ""),
            **spec,
        )
        submit_or_resume(job)
        averages.metadata |= write_outputs(base / "run", Path(averages.path), Path(log.path))
