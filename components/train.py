"""`train`: all networks, on the GPUs of one pod."""

from kfp.dsl import Dataset, Input, Model, Output

from components import component


@component()
def train(
    params: str, faces: Input[Dataset], weights: Input[Model], checkpoints: str, mlflow_uri: str, run: Output[Model]
):
    """Train, or go on with the same training where an earlier try left it.

    Args:
        params: the section `train`.
        faces: the dataset.
        weights: the weights folder.
        checkpoints: folder on a volume that outlives the pod; empty for none.
        mlflow_uri: where the run is tracked; empty for the environment's.
        run: checkpoints, samples, curves.
    """
    import hashlib
    import shutil
    from pathlib import Path

    from photo2cartoon.dataset.faces import faces_fingerprint
    from photo2cartoon.errors import in_a_line
    from photo2cartoon.files import read_json
    from photo2cartoon.params import Train
    from photo2cartoon.tracking import track_at
    from photo2cartoon.training.loop import train as stage

    with in_a_line("train"):
        track_at(mlflow_uri)
        data, out = Path(faces.path), Path(run.path)
        # The same parameters and pictures are the same training, in whatever pod it goes on.
        name = hashlib.sha256(f"{params} {faces_fingerprint(data)}".encode()).hexdigest()[:16]
        place = Path(checkpoints) / name if checkpoints else out
        last = stage(Train.model_validate_json(params), data, Path(weights.path), place, resume=True)
        if place != out:
            shutil.copytree(place, out, dirs_exist_ok=True)
        run.metadata |= {"last_checkpoint": last.name, **read_json(out / "run.json")}
