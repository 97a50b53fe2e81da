"""Loss curves, sample grids and scores of a run, written to its folder and logged to MLflow."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from photo2cartoon.atomic import atomic_write
from photo2cartoon.files import write_json
from photo2cartoon.layout import CURVES, RUN, SAMPLES, STATS
from photo2cartoon.params import Train
from photo2cartoon.pictures import encode_png
from photo2cartoon.tracking import runs
from photo2cartoon.tracking.client import answering
from photo2cartoon.tracking.curves import write_curves
from photo2cartoon.tracking.datasets import portraits
from photo2cartoon.tracking.lineage import lineage
from photo2cartoon.training.state import learning_rate
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
        data: the dataset.
        fingerprint: hash of the dataset.
    """

    def __init__(
        self, params: Train, out: Path, trainer: Trainer, done: int, resume: bool, data: Path, fingerprint: str
    ) -> None:
        self.params, self.out, self.done, self.step = params, out, done, done
        self.pictures = sum(trainer.per_step.values())
        self.stage = _begin(params, out, trainer, resume, data, fingerprint)
        self.run = self.stage.run
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
        png = encode_png(picture)
        with atomic_write(self.out / SAMPLES / f"step-{step:06d}.png") as partial:
            partial.write_bytes(png)
        self.run.image(png, "samples", step)

    def _replay(self) -> None:
        """Log the curves so far to a run that Kubeflow made for this attempt, so that it holds all of them."""
        if (self.out / STATS).exists():
            for line in (self.out / STATS).read_text(encoding="utf-8").splitlines():
                values = json.loads(line)
                self.run.metrics(values, values.pop("step"))

    def _write(self, values: Mapping[str, float], step: int) -> None:
        self._stats.write(json.dumps({"step": step, **values}) + "\n")
        self._stats.flush()
        self.step = step
        self.run.metrics(values, step)

    def close(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED; a finished one gets `curves.csv`."""
        self._stats.close()
        if status == "FINISHED":
            write_curves(self.out / CURVES, _points(self.out / STATS))
        self._status.close()
        took = (time.monotonic() - self._started) / 60
        resumed = f", resumed at step {self.done}" if self.done else ""
        how = {"FINISHED": "finished", "KILLED": "stopped"}.get(status, "failed")
        self.stage.whole.note(
            "Training", f"{how} at step {self.step} of {self.params.steps}, {took:.1f} minutes{resumed}"
        )
        self.stage.finish(status)


def _begin(params: Train, out: Path, trainer: Trainer, resume: bool, data: Path, fingerprint: str) -> runs.Stage:
    """Begin the run in MLflow, or resume the one that `run.json` names."""
    before = json.loads((out / RUN).read_text()) if resume and (out / RUN).exists() else {}
    title = describe(params, trainer.counts)
    stage = runs.begin("train", before.get("mlflow_run"), title, before.get("mlflow_training"), outbox=True)
    if stage.run.run_id == before.get("mlflow_training"):
        return stage
    networks = trainer.state.networks
    sizes = {f"weights_{name}": sum(p.numel() for p in network.parameters()) for name, network in networks.items()}
    used = params.model_dump(mode="json", exclude=params.unused)
    values = {"train": used, "data_sha256": fingerprint, **trainer.counts, **sizes}
    if stage.whole.run_id != before.get("mlflow_run"):
        with answering():
            stage.whole.params(values)
        stage.whole.note("What", title)
    dataset = portraits(data, fingerprint, "train", trainer.counts)
    with answering():
        for run in (stage.run, stage.whole):
            run.inputs({"training": dataset})
    stage.whole.note("Data", f"{', '.join(f'{n} {kind}' for kind, n in trainer.counts.items())}; {dataset.digest}")
    ids = {"mlflow_run": stage.whole.run_id, "mlflow_training": stage.run.run_id}
    write_json(out / RUN, {**ids, "title": title, "data_sha256": fingerprint, **lineage()})
    return stage


def describe(params: Train, counts: Mapping[str, int]) -> str:
    """Describe a training in a line: recipe, where it starts, size, steps and data."""
    start = f" from {Path(params.start_from).name}" if params.start_from else " from scratch"
    numbers = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return f"{params.recipe}{start}, {params.size} px, {params.channels} channels, {params.steps} steps, {numbers}"


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
