"""Training that survives a kill: a run is kept in a folder of its own until it is finished, and found again there.

    var/training/3f9c…/     named after what decides the result: parameters, images, weights, code
        identity.json       those four
        train/              the run, as `train` writes it
        finished            written last

DVC deletes a stage's outputs before it runs the stage, so a run that is to be resumed cannot be one.
"""

from __future__ import annotations

import ast
import contextlib
import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import photo2cartoon
from photo2cartoon import pretrained
from photo2cartoon.atomic import atomic_dir, make_folder
from photo2cartoon.checkpoint import list_checkpoints, step_of
from photo2cartoon.dataset.faces import faces_fingerprint
from photo2cartoon.errors import UserError
from photo2cartoon.files import folder_hash, link_folder, read_json, sha256_of, write_json
from photo2cartoon.layout import CHECKPOINTS, RUN, STATE
from photo2cartoon.params import Train
from photo2cartoon.progress import note
from photo2cartoon.tracking.runs import flatten
from photo2cartoon.training.loop import train

IDENTITY, RUN_FOLDER, FINISHED, LOCK = "identity.json", "train", "finished", ".lock"
# Rooms and modules whose code decides what is trained.
_CODE = ("checkpoint.", "dataset.faces.", "networks.", "training.")


def train_or_resume(params: Train, data: Path, weights: Path, out: Path, runs: Path) -> Path:
    """Resume the unfinished run of the same parameters, images, weights and code; without one, start a new run.

    Args:
        params, data, weights: as for `train`.
        out: receives the finished run. Its files are hard links where the file system has them.
        runs: folder that keeps unfinished runs, and the last finished one until another run starts.

    Returns:
        The last checkpoint.

    Raises:
        UserError: as for `train`, or another process is training this run.
    """
    identity = _identity(params, data, weights)
    folder = runs / _name(identity)
    run = folder / RUN_FOLDER
    with _held(folder):
        _leave_others(runs, folder, identity)
        write_json(folder / IDENTITY, identity)
        if (folder / FINISHED).exists():
            note(f"train: this run is finished already; it is trained again once {folder} is deleted")
        else:
            step = _last_step(run)
            where = f"resumes at step {step}, in {run}" if step else f"until the run is finished, it is in {run}"
            note(f"train: {where}")
            try:
                train(params, data, weights, run, resume=True)
            except BaseException:
                if not _last_step(run):
                    shutil.rmtree(folder)  # there is nothing to resume
                raise
        with atomic_dir(out, RUN) as partial:
            link_folder(run, partial)
        (folder / FINISHED).touch()
    return list_checkpoints(out / CHECKPOINTS)[-1]


def training_name(params: Train, data: Path, weights: Path) -> str:
    """Return the name of a run, the same in whichever pod it resumes: a hash of its parameters, images, weights and code."""
    return _name(_identity(params, data, weights))


def _name(identity: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def _identity(params: Train, data: Path, weights: Path) -> dict[str, Any]:
    start = pretrained.resolve(Path(params.start_from)) if params.start_from else None
    return {
        "params": params.model_dump(mode="json"),
        "data": faces_fingerprint(data),
        "weights": folder_hash(weights),
        "start_from": folder_hash(start) if start and start.is_dir() else None,
        "code": _code(),
    }


def _code() -> str:
    """Hash the modules that the training loop imports, directly or indirectly, in the rooms that decide its result."""
    package, files, waiting = Path(photo2cartoon.__file__).parent, {}, ["training.loop"]
    while waiting:
        name = waiting.pop()
        file = package / f"{name.replace('.', '/')}.py"
        if name in files or not file.is_file() or not f"{name}.".startswith(_CODE):
            continue
        files[name] = sha256_of(file)
        for node in ast.walk(ast.parse(file.read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("photo2cartoon"):
                module = node.module.removeprefix("photo2cartoon").lstrip(".")
                waiting += [module, *(f"{module}.{imported.name}".lstrip(".") for imported in node.names)]
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _last_step(run: Path) -> int:
    return max((step_of(path) for folder in (CHECKPOINTS, STATE) for path in list_checkpoints(run / folder)), default=0)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the folder for this process. The system lets go of it when the process ends, however it ends."""
    make_folder(folder)
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{folder}: another process is training this run: wait for it, or stop it") from None
        yield


def _leave_others(runs: Path, folder: Path, identity: dict[str, Any]) -> None:
    """Print why unfinished runs are not resumed, and delete a finished one."""
    others = sorted((path for path in runs.iterdir() if path != folder and path.is_dir()), key=_age, reverse=True)
    unfinished = []
    for other in others:
        with contextlib.suppress(UserError), _held(other):
            if (other / FINISHED).exists():
                shutil.rmtree(other)
                continue
            if any(_last_step(run) for run in other.iterdir()):
                unfinished.append(other)
    if unfinished and not (folder / IDENTITY).exists():
        newest = unfinished[0]
        changed = ", ".join(_changed(read_json(newest / IDENTITY), identity))
        note(
            f"train: starts a new run; {newest} holds an unfinished one with other {changed}: delete it if it is not needed"
        )


def _age(folder: Path) -> float:
    return folder.stat().st_mtime


def _changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    old, new = flatten(before), flatten(now)
    return [key.replace("params.", "train.") for key in new if old.get(key) != new[key]]
