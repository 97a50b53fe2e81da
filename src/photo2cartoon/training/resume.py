"""Where a training starts: at the newest intact state or checkpoint of its folder, at other weights, or from scratch."""

from __future__ import annotations

from pathlib import Path

from photo2cartoon.checkpoint import list_checkpoints, read_card, step_of
from photo2cartoon.errors import UserError
from photo2cartoon.layout import CHECKPOINTS, STATE
from photo2cartoon.params import Train
from photo2cartoon.progress import note
from photo2cartoon.tracking.runs import flatten
from photo2cartoon.training import checkpoint
from photo2cartoon.training.state import State


def start_or_resume(state: State, out: Path, resume: bool) -> int:
    """Load the newest intact state or checkpoint of a run; without one, what `train.start_from` names, if it is set.

    Args:
        state: gets networks, EMA, optimizers and random state.
        out: the run's folder. Damaged checkpoints in it are renamed `damaged-*`: later stages read every `step-*`.
        resume: whether `out` may hold a run.

    Returns:
        The step that the run had reached; 0 for a new run.

    Raises:
        UserError: `out` holds a run and `resume` is not set, the run is beyond `train.steps`, all its checkpoints are
            damaged, or the weights to start from are missing, damaged or of other networks.
    """
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
            if state.group.is_main:
                other.rename(other.with_name(f"damaged-{other.name}"))
        if done > state.params.steps:
            raise UserError(f"{out}: is at step {done} already; train.steps is {state.params.steps}")
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
