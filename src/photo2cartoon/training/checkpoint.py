"""Saves and restores the state of training: networks, their EMA, optimizers and the state of the random number generators.

`photo2cartoon.checkpoint` describes the folder, and reads a generator from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.checkpoint import load_into, read_card, read_tensors, write_card, write_tensors
from photo2cartoon.errors import UserError
from photo2cartoon.layout import CARD, OPTIMIZERS, RANDOM
from photo2cartoon.params import Train
from photo2cartoon.training.state import State


@dataclass(frozen=True)
class Snapshot:
    """The contents of a checkpoint, in memory.

    Args:
        step: optimisation steps done.
        train: the `train` section.
        networks: tensors of each network and each average, by name.
        others: tensors of the other files, by file name.
    """

    step: int
    train: Train
    networks: Mapping[str, Mapping[str, Tensor]]
    others: Mapping[str, dict[str, Tensor]]


def snapshot(state: State, step: int, copy: bool = True) -> Snapshot:
    """Collect what a checkpoint holds, on the CPU.

    Args:
        state: the state of training.
        step: optimisation steps done.
        copy: copy tensors that are on the CPU already, so that training can continue while they are written.
    """

    def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {key: _on_cpu(value, copy) for key, value in tensors.items()}

    networks = {name: on_cpu(network.state_dict()) for name, network in state.networks.items()}
    networks |= {f"{name}.average": on_cpu(network.state_dict()) for name, network in state.ema.items()}
    return Snapshot(step, state.params, networks, {OPTIMIZERS: on_cpu(_optimizers(state)), RANDOM: _random()})


def _on_cpu(value: Tensor, copy: bool) -> Tensor:
    there = value.detach().cpu().contiguous()
    return there.clone() if copy and there.data_ptr() == value.data_ptr() else there


def write(folder: Path, taken: Snapshot, scores: Mapping[str, float] | None = None) -> Path:
    """Write `folder/step-NNNNNN` atomically; return it."""
    target = folder / f"step-{taken.step:06d}"
    with atomic_dir(target, CARD) as partial:
        for name, tensors in taken.networks.items():
            write_tensors(partial / f"{name}.safetensors", dict(tensors))
        for name, tensors in taken.others.items():
            write_tensors(partial / name, tensors)
        write_card(partial, taken.step, taken.train, list(taken.networks), scores)
    return target


def save(folder: Path, state: State, step: int, scores: Mapping[str, float] | None = None) -> Path:
    """Write `folder/step-NNNNNN` atomically, with the scores that its averaged generator got during training.

    Returns:
        The checkpoint's folder.
    """
    return write(folder, snapshot(state, step, copy=False), scores)


def can_resume(path: Path) -> bool:
    """Return whether training saved the checkpoint; one with averages alone only makes cartoons.

    Raises:
        UserError: its card is damaged.
    """
    return any(not name.endswith(".average") for name in read_card(path).networks)


def load(path: Path, state: State) -> int:
    """Restore a state from a checkpoint; return the step that it had reached.

    Raises:
        UserError: the checkpoint is missing, damaged, or of other networks.
    """
    card = read_card(path)
    device = next(state.networks.parameters()).device
    for name, network in state.networks.items():
        load_into(network, path / f"{name}.safetensors")
    for name, network in state.ema.items():
        load_into(network, path / f"{name}.average.safetensors")
    _restore_optimizers(state, read_tensors(path / OPTIMIZERS))
    random = read_tensors(path / RANDOM)
    torch.set_rng_state(random["cpu"])
    if device.type == "cuda" and "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"], device)
    return card.step


def start_from(path: Path, state: State) -> list[str]:
    """Initialise the networks from another checkpoint, of a run or of `p2c import-weights`; the optimizers start empty.

    Args:
        path: the checkpoint, or the name of one that comes with the project; a generator of which it has only the
            average is initialised from that.
        state: gets the networks and their EMA.

    Returns:
        Names of the networks that are not in the checkpoint and stay randomly initialised.

    Raises:
        UserError: the checkpoint is missing or damaged, or of networks of other sizes.
    """
    card = read_card(path)
    for key in ("channels", "light", "norm", "hourglasses", "blocks", *(() if card.train.light else ("size",))):
        theirs, ours = getattr(card.train, key), getattr(state.params, key)
        if theirs != ours:
            raise UserError(f"{path}: has {key} {theirs}, train.{key} is {ours}")
    for name, network in state.networks.items():
        inside = next((option for option in (name, f"{name}.average") if option in card.networks), None)
        if inside is None:
            continue
        load_into(network, card.path / f"{inside}.safetensors")
        if name in state.ema:
            inside = f"{name}.average" if f"{name}.average" in card.networks else inside
            load_into(state.ema[name], card.path / f"{inside}.safetensors")
    return [name for name in state.networks if not {name, f"{name}.average"} & set(card.networks)]


def _optimizers(state: State) -> dict[str, Tensor]:
    return {
        f"{which}.{index}.{moment}": value
        for which, optimizer in state.optimizers.items()
        for index, moments in optimizer.state_dict()["state"].items()
        for moment, value in moments.items()
    }


def _restore_optimizers(state: State, tensors: dict[str, Tensor]) -> None:
    for which, optimizer in state.optimizers.items():
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            owner, index, moment = key.split(".")
            if owner == which:
                moments.setdefault(int(index), {})[moment] = value
        optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})


def _random() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states
