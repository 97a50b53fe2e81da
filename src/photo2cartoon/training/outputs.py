"""Splits a run into a part for each later step of the pipeline, because every step downloads its inputs whole."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.checkpoint import copy_averages, list_checkpoints
from photo2cartoon.files import read_json
from photo2cartoon.layout import CARD, CHECKPOINTS, RUN, SAMPLES, STATS
from photo2cartoon.params import Train


def with_gpus(params: Train, gpus: int) -> Train:
    """Return the section with one process per GPU, unless it names another number of processes."""
    return params.model_copy(update={"processes": gpus}) if params.processes == 1 and gpus > 1 else params


def write_outputs(run: Path, averages: Path, log: Path, state: Path | None = None) -> dict[str, Any]:
    """Copy the parts of a run.

    Args:
        run: output folder of the `train` stage.
        averages: receives the averaged generator of every checkpoint, as a run that can be evaluated.
        log: receives curves, sample grids and `run.json`.
        state: receives the last checkpoint, from which training can be resumed; None if it stays where it is.

    Returns:
        Metadata: the last checkpoint's name, and the contents of `run.json`.
    """
    copy_averages(run, averages)
    with atomic_dir(log, RUN) as partial:
        for name in (STATS, RUN):
            shutil.copyfile(run / name, partial / name)
        if (run / SAMPLES).is_dir():
            shutil.copytree(run / SAMPLES, partial / SAMPLES)
    last = list_checkpoints(run / CHECKPOINTS)[-1]
    if state is not None:
        with atomic_dir(state, CARD) as partial:
            shutil.copytree(last, partial, dirs_exist_ok=True)
    return {"last_checkpoint": last.name, **read_json(run / RUN)}
