"""`train` components: train all networks, on the GPUs of one pod or on several machines as a TrainJob."""

from kfp.dsl import Dataset, Input, Model, Output

from components import component


@component()
def train(
    params: str,
    faces: Input[Dataset],
    weights: Input[Model],
    checkpoints: str,
    gpus: int,
    mlflow_uri: str,
    run: Output[Model],
):
    """Train all networks, or resume the same training where an earlier attempt stopped.

    Args:
        params: section `train`, as JSON.
        faces: the dataset.
        weights: output of `assets`.
        checkpoints: folder on a volume that outlives the pod; empty for none.
        gpus: GPUs of the pod. One process per GPU is started, unless `train.processes` names another number.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        run: receives checkpoints, samples and curves.
    """
    import shutil
    from pathlib import Path

    from photo2cartoon.dataset.faces import training_name
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.files import read_json
    from photo2cartoon.layout import RUN
    from photo2cartoon.params import Train
    from photo2cartoon.tracking.runs import track_at
    from photo2cartoon.training.loop import train as stage

    with exit_on_user_error("train"):
        track_at(mlflow_uri)
        data, out = Path(faces.path), Path(run.path)
        place = Path(checkpoints) / training_name(params, data) if checkpoints else out
        section = Train.model_validate_json(params)
        if section.processes == 1 and gpus > 1:
            section = section.model_copy(update={"processes": gpus})
        last = stage(section, data, Path(weights.path), place, resume=True)
        if place != out:
            shutil.copytree(place, out, dirs_exist_ok=True)
        run.metadata |= {"last_checkpoint": last.name, **read_json(out / RUN)}


@component()
def train_distributed(
    params: str,
    faces: Input[Dataset],
    weights: Input[Model],
    checkpoints: str,
    pvc: str,
    spec: str,
    image: str,
    mlflow_uri: str,
    run: Output[Model],
):
    """Train on several machines: submit a TrainJob of Kubeflow Trainer and wait for it.

    Dataset and weights are copied to the volume. A retry finds the job, or resumes from its checkpoints.

    Args:
        params: section `train`, as JSON.
        faces: the dataset.
        weights: output of `assets`.
        checkpoints: where this pod mounts the volume.
        pvc: persistent volume claim (PVC) of that volume, writable by all machines.
        spec: section `train_job` of the cluster file, as JSON.
        image: the project's image.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        run: receives checkpoints, samples and curves.
    """
    import json
    import os
    import shutil
    from pathlib import Path

    from components.train_job import TrainJob, submit_or_resume, train_section
    from photo2cartoon.checkpoint import list_checkpoints
    from photo2cartoon.dataset.faces import training_name
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.files import atomic_dir, read_json
    from photo2cartoon.layout import CHECKPOINTS, RUN
    from photo2cartoon.params import Train
    from photo2cartoon.tracking.runs import URI_VARIABLE

    with exit_on_user_error("train"):
        name = training_name(params, Path(faces.path))
        place = Path(checkpoints) / name
        for what, source in (("faces", faces.path), ("weights", weights.path)):
            if not (place / what).exists():
                with atomic_dir(place / what, what) as partial:
                    shutil.copytree(source, partial, dirs_exist_ok=True)
        job = TrainJob(
            image=image,
            volume=pvc,
            params=train_section(Train.model_validate_json(params)),
            folder=name,
            name=f"photo2cartoon-{name}",
            mlflow_uri=mlflow_uri or os.environ.get(URI_VARIABLE, ""),
            **json.loads(spec),
        )
        submit_or_resume(job)
        shutil.copytree(place / "run", run.path, dirs_exist_ok=True)
        last = list_checkpoints(Path(run.path) / CHECKPOINTS)[-1]
        run.metadata |= {"last_checkpoint": last.name, **read_json(Path(run.path) / RUN)}
