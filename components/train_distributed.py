"""`train` component that trains as a TrainJob of Kubeflow Trainer, on one machine or several."""

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
    import os
    import shutil
    import tempfile
    from pathlib import Path

    from components.train_job import TrainJob, environment, train_section
    from components.train_job_submit import submit_or_resume
    from photo2cartoon.atomic import atomic_dir
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params.arguments import train_of, whole_numbers
    from photo2cartoon.training.auto_resume import training_name
    from photo2cartoon.training.outputs import write_outputs
    from photo2cartoon.training.run_storage import RunStorage
    from photo2cartoon.urls import is_url, upload_folder

    with exit_on_user_error("train"), tempfile.TemporaryDirectory() as folder:
        section = train_of(params, steps, batch, lr)
        name = training_name(section, Path(faces.path), Path(weights.path))
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
                **whole_numbers({**spec, "env": environment(spec.get("env", {}), mlflow_uri, os.environ)}),
            )
        )
        run = Path(base, "run")
        if is_url(place):
            run = Path(folder) / name
            RunStorage(base).restore(run, states=False)
        averages.metadata |= write_outputs(run, Path(averages.path), Path(log.path))
