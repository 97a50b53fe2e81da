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
    """Train as a TrainJob of Kubeflow Trainer, on one machine or several: submit it and wait for it.

    Dataset and weights are copied to the place. A retry finds the job, or resumes from its state.

    Args:
        params: section `train`.
        steps, batch, lr: parameters of the pipeline.
        faces: the dataset.
        weights: output `training` of `assets`.
        place: object storage URL, or where this pod mounts the volume; each training has a folder of its own.
        pvc: persistent volume claim (PVC) of that volume, writable by all machines; empty for object storage.
        spec: section `train_job` of the cluster file, with the environment, secrets and labels of its pods.
        image: the project's image.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        averages: receives the averaged generator of every checkpoint.
        log: receives curves, sample grids and run.json.
    """
    import shutil
    import tempfile
    from pathlib import Path

    from components.train_job import TrainJob, environment, train_section
    from components.train_job_submit import submit_or_resume
    from photo2cartoon.dataset.faces import training_name
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.files import atomic_dir
    from photo2cartoon.params.arguments import train_of, whole_numbers
    from photo2cartoon.training.outputs import write_outputs
    from photo2cartoon.training.place import Place
    from photo2cartoon.urls import is_url, upload_folder

    with exit_on_user_error("train"), tempfile.TemporaryDirectory() as folder:
        section = train_of(params, steps, batch, lr)
        name = training_name(section.model_dump_json(), Path(faces.path))
        base = f"{place.rstrip('/')}/{name}"
        for what, source in (("faces", faces.path), ("weights", weights.path)):
            if is_url(place):
                upload_folder(Path(source), f"{base}/{what}")
            elif not Path(base, what).exists():
                with atomic_dir(Path(base, what), what) as partial:
                    shutil.copytree(source, partial, dirs_exist_ok=True)
        submit_or_resume(
            TrainJob(
                image=image,
                params=train_section(section),
                place=base if is_url(place) else name,
                volume=pvc,
                name=f"photo2cartoon-{name}",
                **whole_numbers({**spec, "env": environment(spec.get("env", {}), mlflow_uri)}),
            )
        )
        run = Path(base, "run")
        if is_url(place):
            run = Path(folder) / name
            Place(base).restore(run, states=False)
        averages.metadata |= write_outputs(run, Path(averages.path), Path(log.path))
