"""The `train` stage: the loop over steps, with loss curves, sample grids, checkpoints, early stopping and resuming."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import torch

from photo2cartoon.checkpoint import list_checkpoints, step_of
from photo2cartoon.cores import usable_cores
from photo2cartoon.dataset.faces import faces_fingerprint
from photo2cartoon.errors import UserError, first_line
from photo2cartoon.layout import CHECKPOINTS
from photo2cartoon.params import Train
from photo2cartoon.progress import bar, note
from photo2cartoon.scoring.names import check_training_score
from photo2cartoon.scoring.scorer import Scorer
from photo2cartoon.training.checkpoint_manager import CheckpointManager
from photo2cartoon.training.distributed import (
    RETRY,
    ProcessGroup,
    count_processes,
    in_group,
    init,
    launch,
    local_size,
    pick_device,
)
from photo2cartoon.training.graceful_shutdown import GracefulShutdown
from photo2cartoon.training.recipes import RECIPES
from photo2cartoon.training.recorder import Recorder
from photo2cartoon.training.resume import start_or_resume
from photo2cartoon.training.run_logger import RunLogger
from photo2cartoon.training.run_storage import RunStorage
from photo2cartoon.training.state_saver import StateSaver
from photo2cartoon.training.trainer import Trainer


def train(params: Train, data: Path, weights: Path, out: Path, resume: bool = False, place: str | None = None) -> Path:
    """Train all networks on a dataset.

    The state is saved every `save_minutes` beside the steps, so a process that is killed loses at most that. On SIGTERM
    and Ctrl-C the current step finishes, the state is saved, and the process exits with status `RETRY`.

    Args:
        params: the `train` section; if `processes` is more than one, this function starts them.
        data: dataset with trainA, trainB, testA and testB.
        weights: folder that the `assets` stage filled.
        out: gets `checkpoints/`, `samples/`, `stats.jsonl` and `run.json`, which names the MLflow run; until the run
            ends, also `state/`.
        resume: resume from the newest intact state or checkpoint in `out`; without it, a folder with some is refused.
        place: object storage URL that keeps the run for other machines; the run resumes from what it holds.

    Returns:
        The last checkpoint.

    Raises:
        UserError: the dataset or weights are missing, `out` holds another run, a loss is NaN or infinite, the disk is
            full, the place cannot be read, or the run was asked to stop.
    """
    storage, resume = RunStorage(place) if place else None, resume or bool(place)
    device = pick_device(params.device)
    processes = count_processes(params, device)
    if processes > 1 and not in_group():
        return _launch(params, data, weights, out, resume, processes, place)
    group = init(device)
    try:
        if storage:
            _restore(storage, out, group)
        with GracefulShutdown() as shutdown:
            return _train(params, data, weights, out, resume, group, shutdown, storage)
    except torch.cuda.OutOfMemoryError as error:
        raise UserError(
            f"train: the GPU's memory is full: raise train.accumulate, set train.recompute, or lower train.batch"
            f" ({first_line(error)[:120]})"
        ) from None
    except OSError as error:
        raise UserError(f"{error.filename or out}: {error.strerror or error}") from None
    finally:
        group.destroy()


def _launch(
    params: Train, data: Path, weights: Path, out: Path, resume: bool, processes: int, place: str | None
) -> Path:
    """Run the same stage in several processes, with the same parameters and paths."""
    with tempfile.TemporaryDirectory() as folder:
        section = Path(folder) / "params.yaml"
        section.write_text(json.dumps({"train": params.model_dump(mode="json")}), encoding="utf-8")
        arguments = ["train", "--params", section, "--data", data, "--weights", weights, "--out", out]
        more = [*(["--resume"] if resume else []), *(["--place", place] if place else [])]
        launch(processes, [*map(str, arguments), *more])
    return CheckpointManager(out / CHECKPOINTS, params).last() or out / CHECKPOINTS


def _restore(storage: RunStorage, out: Path, group: ProcessGroup) -> None:
    """Download what the place holds, once per machine, before any process reads it."""
    if group.is_first_here:
        storage.restore(out, results=group.is_main)
    group.wait_for_all()
    if group.is_main:
        storage.must_be_writable()


def _train(
    params: Train,
    data: Path,
    weights: Path,
    out: Path,
    resume: bool,
    group: ProcessGroup,
    shutdown: GracefulShutdown,
    storage: RunStorage | None,
) -> Path:
    """Run this process's part of the training; return the last checkpoint."""
    torch.set_num_threads(params.threads or max(1, usable_cores() // local_size()))
    torch.manual_seed(params.seed)
    fingerprint = faces_fingerprint(data)
    trainer = RECIPES[params.recipe](params, data, weights, group)
    scorer = _make_scorer(params, data, weights, group)
    manager = CheckpointManager(out / CHECKPOINTS, params)
    done = start_or_resume(trainer.state, out, resume)
    group.wait_for_all()
    if not group.agree(done):
        raise UserError(
            f"train: this process resumes at step {done}, another one at another step: a state cannot be read", RETRY
        )
    if group.any(group.is_main and manager.should_stop()):
        note(f"train: already stopped early: {params.score} did not improve in {params.patience} checkpoints")
        return manager.last() or out / CHECKPOINTS
    recorder = None
    if group.is_main:
        logger = RunLogger(params, out, trainer, done, resume, data, fingerprint)
        recorder = Recorder(logger, manager, StateSaver(out, params.save_minutes, storage), scorer)
    try:
        _Loop(params, trainer, group, shutdown, manager, recorder).run(done)
    except BaseException as error:
        if recorder:
            stopped = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 0) == RETRY
            recorder.close("KILLED" if stopped else "FAILED")
        raise
    if recorder:
        recorder.close("FINISHED")
    return manager.last() or out / CHECKPOINTS


class _Loop:
    """The steps of one process, and what is due after each. Only the main process has a recorder."""

    def __init__(
        self,
        params: Train,
        trainer: Trainer,
        group: ProcessGroup,
        shutdown: GracefulShutdown,
        manager: CheckpointManager,
        recorder: Recorder | None,
    ) -> None:
        self.params, self.trainer, self.group = params, trainer, group
        self.shutdown, self.manager, self.recorder = shutdown, manager, recorder

    def run(self, done: int) -> None:
        """Run the steps after `done`, until the last one, early stopping, or a signal."""
        total = self.params.steps
        if done == total and not any(step_of(path) == done for path in list_checkpoints(self.manager.folder)):
            self._keep_checkpoint(done)  # resumed from a state, with fewer steps than before
        with bar(
            range(done, total), initial=done, total=total, desc="train", unit="step", disable=not self.recorder
        ) as steps:
            for before in steps:
                losses = self.trainer.step(before)
                stopping = self.group.any(self.shutdown.requested) and before + 1 < total
                text = self._record(before + 1, losses, stopping)
                if text:
                    steps.set_postfix_str(text, refresh=False)
                if stopping:
                    raise UserError(
                        f"train: asked to stop; step {before + 1} is saved, --resume continues from it", RETRY
                    )
                if self._stops_early(before + 1):
                    break
        if self.recorder:
            self.recorder.finish()

    def _record(self, step: int, losses: dict[str, torch.Tensor], stopping: bool) -> str:
        """Log and save what is due after a step; return the text for the progress bar, empty between the logged steps."""
        params, recorder, text = self.params, self.recorder, ""
        keep = not stopping and self._is_checkpoint(step)
        save = recorder is not None and (stopping or recorder.state_is_due(last=step == params.steps))
        # Losses are checked before everything that is saved, so that nothing is saved after a NaN.
        if keep or self.group.any(save) or step % params.log_every == 0 or step == 1:
            values = self._checked(losses, step)
            if recorder:
                text = recorder.losses(values, step)
        if recorder and (step % params.sample_every == 0 or step in (1, params.steps)):
            recorder.samples(self.trainer.grid(), step)
        if keep:
            self._keep_checkpoint(step)
        if recorder and save:
            recorder.save_state(self.trainer.state, step, wait=stopping)
        return text

    def _is_checkpoint(self, step: int) -> bool:
        return step % self.params.checkpoint_every == 0 or step == self.params.steps

    def _keep_checkpoint(self, step: int) -> None:
        if self.recorder:
            self.recorder.checkpoint(self.trainer.state, step)
        self.group.wait_for_all()

    def _stops_early(self, step: int) -> bool:
        params = self.params
        if not params.patience or not self._is_checkpoint(step) or step == params.steps:
            return False
        stops = self.group.any(self.group.is_main and self.manager.should_stop())
        if stops and self.recorder:
            note(f"train: no better {params.score} for {params.patience} checkpoints: ended at step {step}")
        return stops

    def _checked(self, losses: dict[str, torch.Tensor], step: int) -> dict[str, float]:
        """Average the losses over the processes.

        Raises:
            UserError: one of them is NaN or infinite.
        """
        averages = self.group.average(torch.stack(list(losses.values()))).tolist()
        values = dict(zip(losses, averages, strict=True))
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            last = f"; the last good checkpoint is {self.manager.last()}" if self.manager.last() else ""
            raise UserError(f"train: {bad[0]} is {values[bad[0]]} at step {step}: try a lower train.lr{last}")
        return values


def _make_scorer(params: Train, data: Path, weights: Path, group: ProcessGroup) -> Scorer | None:
    if not (group.is_main and params.score):
        return None
    check_training_score(params.score)
    fid = params.score == "fid"
    scorer = Scorer(data, params.size, ("test",), weights, fid, device=group.device, only=[params.score])
    scorer.must_have(params.score)
    return scorer
