"""Loss curves, sample grids and scores of a run, written to its folder and logged to MLflow."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from photo2cartoon.files import atomic_write, write_json
from photo2cartoon.layout import CURVES, RUN, SAMPLES, STATS
from photo2cartoon.params import Train
from photo2cartoon.pictures import encode_png
from photo2cartoon.tracking import runs
from photo2cartoon.tracking.curves import write_curves
from photo2cartoon.tracking.lineage import lineage
from photo2cartoon.training.state import State, learning_rate
from photo2cartoon.training.trainer import Trainer
from photo2cartoon.training.trainjob_status import TrainJobStatus

_SPEED = "pictures_per_second"
# Labels of the losses in the progress bar.
_SHOWN = {
    "cycle": "generator/cycle",
    "l1": "generator/l1",
    "face": "generator/face_id",
    "D": "discriminator/total",
}


class RunLogger:
    """The logger of one run; only the main process has one.

    Args:
        params: the `train` section.
        out: the run's folder; gets `stats.jsonl`, `samples/` and `run.json`, which names the MLflow run.
        trainer: whose parameters and images are counted.
        done: steps before this run resumed; rows of later steps in `stats.jsonl` are dropped, they will run again.
        resume: continue the MLflow run that `run.json` names.
        fingerprint: hash of the dataset.
    """

    def __init__(self, params: Train, out: Path, trainer: Trainer, done: int, resume: bool, fingerprint: str) -> None:
        self.params, self.out, self.done = params, out, done
        self.pictures = sum(trainer.per_step.values())
        self.run = _tracked(params, out, trainer.state, resume, trainer.counts, fingerprint)
        self.run.watch_machine()
        _forget_after(out / STATS, done)
        if self.run.run_id == runs.given_run():
            self._replay()
        self._stats = (out / STATS).open("a", encoding="utf-8")
        self._started = time.monotonic()
        self._status = TrainJobStatus()

    def losses(self, values: dict[str, float], step: int) -> str:
        """Log the losses of a step; return the text for the progress bar."""
        speed = (step - self.done) * self.pictures / (time.monotonic() - self._started)
        values = values | {_SPEED: speed, "learning_rate": learning_rate(step - 1, self.params)}
        self._write(values, step)
        self._status.report(step, self.params.steps, (self.params.steps - step) * self.pictures / speed, values)
        shown = [f"{label} {values[name]:.2f}" for label, name in _SHOWN.items() if name in values]
        return " ".join(shown) + f", {speed:.1f} pictures/s"

    def scores(self, values: Mapping[str, float], step: int) -> None:
        """Log the scores of a checkpoint, if it has any."""
        if values:
            values = {f"score/{name}": value for name, value in values.items()}
            self._write(values, step)

    def samples(self, picture: np.ndarray, step: int) -> None:
        """Save and log a grid of samples, uint8 RGB `[H, W, 3]`."""
        with atomic_write(self.out / SAMPLES / f"step-{step:06d}.png") as partial:
            partial.write_bytes(encode_png(picture))
        self.run.image(picture, "samples", step)

    def _replay(self) -> None:
        """Log the curves so far to a run that Kubeflow made for this attempt, so that it holds all of them."""
        if (self.out / STATS).exists():
            for line in (self.out / STATS).read_text(encoding="utf-8").splitlines():
                values = json.loads(line)
                self.run.metrics(values, values.pop("step"))

    def _write(self, values: Mapping[str, float], step: int) -> None:
        self._stats.write(json.dumps({"step": step, **values}) + "\n")
        self._stats.flush()
        self.run.metrics(values, step)

    def close(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED; a finished one gets `curves.csv`."""
        self._stats.close()
        if status == "FINISHED":
            write_curves(self.out / CURVES, _points(self.out / STATS))
        self._status.close()
        self.run.finish(status)


def _tracked(
    params: Train, out: Path, state: State, resume: bool, counts: dict[str, int], fingerprint: str
) -> runs.Run:
    name = out.resolve().name
    before = json.loads((out / RUN).read_text())["mlflow_run"] if resume and (out / RUN).exists() else None
    run = runs.find_run(runs.given_run() or before, name)
    if run.run_id != before:
        sizes = {
            f"weights_{name}": sum(p.numel() for p in network.parameters()) for name, network in state.networks.items()
        }
        run.params({"train": params.model_dump(mode="json"), "data_sha256": fingerprint, **counts, **sizes})
        run.tags(lineage())
        write_json(out / RUN, {"mlflow_run": run.run_id, "data_sha256": fingerprint, **lineage()})
    elif run.run_id != runs.given_run():
        run.resume()
    return run


def _points(stats: Path) -> Iterator[tuple[str, int, float, float, float]]:
    """Read the points of all curves but the speed, which is no result of the training."""
    for line in stats.read_text(encoding="utf-8").splitlines():
        values = json.loads(line)
        step = values.pop("step")
        values.pop(_SPEED, None)
        for name, value in values.items():
            yield name, step, value, value, value


def _forget_after(stats: Path, done: int) -> None:
    """Drop the rows of steps that will run again, and a row that was cut off when the run was killed."""
    if not stats.exists():
        return
    kept = []
    for line in stats.read_text(encoding="utf-8").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if row["step"] <= done:
            kept.append(line)
    with atomic_write(stats) as partial:
        partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
