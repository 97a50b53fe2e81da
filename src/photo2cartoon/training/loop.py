"""The `train` stage: the loop over steps, with loss curves, sample grids, checkpoints, early stopping and resuming."""

from __future__ import annotations

import json
import math
import signal
import tempfile
import threading
from pathlib import Path
from typing import Any

import torch

from photo2cartoon.checkpoint import list_checkpoints, read_card, step_of
from photo2cartoon.cores import usable_cores
from photo2cartoon.dataset.faces import faces_fingerprint
from photo2cartoon.errors import UserError, first_line
from photo2cartoon.layout import CHECKPOINTS, STATE
from photo2cartoon.params import Train
from photo2cartoon.progress import bar, note
from photo2cartoon.scoring.names import check_training_score
from photo2cartoon.scoring.scorer import Scorer
from photo2cartoon.tracking.runs import flatten
from photo2cartoon.training import checkpoint
from photo2cartoon.training.checkpoint_manager import CheckpointManager
from photo2cartoon.training.distributed import RETRY, ProcessGroup, in_group, init, launch, local_size
from photo2cartoon.training.recipes import RECIPES
from photo2cartoon.training.run_logger import RunLogger
from photo2cartoon.training.run_storage import RunStorage
from photo2cartoon.training.state import State
from photo2cartoon.training.state_saver import StateSaver


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
            if group.is_main:
                storage.must_be_writable()
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


def _train(
    params: Train,
    data: Path,
    weights: Path,
    out: Path,
    resume: bool,
    group: ProcessGroup,
    shutdown: GracefulShutdown,
    place: RunStorage | None,
) -> Path:
    torch.set_num_threads(params.threads or max(1, usable_cores() // local_size()))
    torch.manual_seed(params.seed)
    fingerprint = faces_fingerprint(data)
    trainer = RECIPES[params.recipe](params, data, weights, group)
    state = trainer.state
    scorer = _make_scorer(params, data, weights, group)
    manager = CheckpointManager(out / CHECKPOINTS, params)
    done = _resume(state, out, resume)
    if group.average(torch.tensor([float(done)], device=group.device)).item() != done:
        raise UserError(
            f"train: this process resumes at step {done}, another one at another step: a state cannot be read", RETRY
        )
    if done > params.steps:
        raise UserError(f"{out}: is at step {done} already; train.steps is {params.steps}")
    if group.any(group.is_main and manager.should_stop()):
        note(f"train: already stopped early: {params.score} did not improve in {params.patience} checkpoints")
        return manager.last() or out / CHECKPOINTS
    logger = RunLogger(params, out, trainer, done, resume, data, fingerprint) if group.is_main else None
    saver = StateSaver(out, params.save_minutes, place) if group.is_main else None
    steps = bar(
        range(done, params.steps),
        initial=done,
        total=params.steps,
        desc="train",
        unit="step",
        disable=not group.is_main,
    )

    def keep_checkpoint(after: int) -> None:
        if logger and saver:
            scores = scorer.of(state.ema["genA2B"], draws=False).scores if scorer else {}
            logger.scores(scores, after)
            manager.add(state, after, scores)
            saver.keep_results()

    try:
        if done == params.steps and not any(step_of(path) == done for path in list_checkpoints(out / CHECKPOINTS)):
            keep_checkpoint(done)  # resumed from a state, with fewer steps than before
        for step in steps:
            losses = trainer.step(step)
            after = step + 1
            stopping = group.any(shutdown.requested) and after < params.steps
            keep = not stopping and (after % params.checkpoint_every == 0 or after == params.steps)
            save = saver is not None and (stopping or saver.due() or (place is not None and after == params.steps))
            # Losses are checked before everything that is saved, so that nothing is saved after a NaN.
            if keep or group.any(save) or after % params.log_every == 0 or after == 1:
                values = _checked(losses, group, after, manager)
                if logger:
                    steps.set_postfix_str(logger.losses(values, after), refresh=False)
            if logger and (after % params.sample_every == 0 or after in (1, params.steps)):
                logger.samples(trainer.grid(), after)
            if keep:
                keep_checkpoint(after)
            if saver and save:
                saver.save(state, after)
            if keep and params.patience and group.any(group.is_main and manager.should_stop()) and after < params.steps:
                if logger:
                    note(f"train: no better {params.score} for {params.patience} checkpoints: ended at step {after}")
                break
            if stopping:
                if saver:
                    saver.wait()
                raise UserError(f"train: asked to stop; step {after} is saved, --resume continues from it", RETRY)
        if saver:
            saver.keep_results()
            saver.finish()
    except BaseException as error:
        if logger:
            stopped = isinstance(error, KeyboardInterrupt) or getattr(error, "exit_code", 0) == RETRY
            logger.close("KILLED" if stopped else "FAILED")
        raise
    if logger:
        logger.close("FINISHED")
    return manager.last() or out / CHECKPOINTS


def _restore(place: RunStorage, out: Path, group: ProcessGroup) -> None:
    """Download what the place holds, once per machine, before any process reads it."""
    if group.is_first_here:
        place.restore(out, results=group.is_main)
    group.any(False)


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


class GracefulShutdown:
    """Records SIGTERM, which orchestrators send before they remove a machine, and Ctrl-C, so that the current step can
    finish; a second Ctrl-C interrupts it."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> GracefulShutdown:
        if threading.current_thread() is threading.main_thread():
            handlers = {signal.SIGTERM: self._request, signal.SIGINT: self._interrupt}
            self._before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        return self

    def _request(self, *_: object) -> None:
        self.requested = True

    def _interrupt(self, *_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.requested = True
        note("train: stops after this step and saves it; Ctrl-C again stops now")

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


def pick_device(name: str) -> torch.device:
    """The device that `train.device` selects; `auto` selects the GPU if there is one.

    Raises:
        UserError: a GPU is requested and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("train.device: 'cuda', but torch sees no GPU here")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def count_processes(params: Train, device: torch.device) -> int:
    """The number of processes that `train.processes` selects on this machine; 0 means one per GPU.

    Raises:
        UserError: there are fewer GPUs than processes.
    """
    gpus = torch.cuda.device_count() if device.type == "cuda" else None
    if gpus is not None and params.processes > gpus:
        raise UserError(f"train.processes: {params.processes}, but torch sees {gpus} GPUs here; 0 means one for each")
    return params.processes or max(1, gpus or 1)


def _resume(state: State, out: Path, resume: bool) -> int:
    """Load the newest intact state or checkpoint in `out`; return its step, or 0 for a new run."""
    saved = [*list_checkpoints(out / CHECKPOINTS), *list_checkpoints(out / STATE)]
    if saved and not resume:
        raise UserError(f"{out}: holds a run already; --resume continues it, another --out starts a new one")
    damaged: dict[Path, UserError] = {}
    for path in sorted(saved, key=step_of, reverse=True):
        try:
            if not checkpoint.can_resume(path):
                continue
            done = checkpoint.load(path, state)
        except UserError as error:
            damaged[path] = error
            continue
        if state.group.is_main:
            _note_changes(read_card(path).train, state.params, done)
        for other, reason in damaged.items():
            note(f"skipped a damaged checkpoint: {reason}")
            if state.group.is_main:  # later stages take every step-* folder for an intact checkpoint
                other.rename(other.with_name(f"damaged-{other.name}"))
        return done
    if damaged:
        raise next(iter(damaged.values()))
    if state.params.start_from:
        fresh = checkpoint.start_from(Path(state.params.start_from), state)
        missing = f"; not in it, so randomly initialised: {', '.join(fresh)}" if fresh else ""
        note(f"starts from {state.params.start_from}{missing}")
    return 0


def _note_changes(before: Train, now: Train, step: int) -> None:
    """Note which parameters a run continues with that are not those of its checkpoint."""
    old, new = (flatten(params.model_dump(mode="json", exclude=params.unused)) for params in (before, now))
    changed = [f"{key} {old.get(key)} -> {value}" for key, value in new.items() if old.get(key) != value]
    if changed:
        note(f"train: resumes at step {step} with other parameters than before: {', '.join(changed)}")


def _make_scorer(params: Train, data: Path, weights: Path, group: ProcessGroup) -> Scorer | None:
    if not (group.is_main and params.score):
        return None
    check_training_score(params.score)
    fid = params.score == "fid"
    scorer = Scorer(data, params.size, ("test",), weights, fid, device=group.device, only=[params.score])
    scorer.must_have(params.score)
    return scorer


def _checked(
    losses: dict[str, torch.Tensor], group: ProcessGroup, step: int, manager: CheckpointManager
) -> dict[str, float]:
    values = dict(zip(losses, group.average(torch.stack(list(losses.values()))).tolist(), strict=True))
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        last = f"; the last good checkpoint is {manager.last()}" if manager.last() else ""
        raise UserError(f"train: {bad[0]} is {values[bad[0]]} at step {step}: try a lower train.lr{last}")
    return values
