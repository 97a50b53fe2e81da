"""Checkpoints: a folder of safetensors and a JSON that says what it is. Loading never runs pickled code.

    step-000300/
        checkpoint.json             format, step, the train section, which networks are inside
        genA2B.safetensors …        each network; genA2B.average.safetensors: its average
        optimizers.safetensors      moments of both optimizers
        random.safetensors          torch's generators of random numbers

A checkpoint with `genA2B.average` alone is enough to draw with; one with everything is enough to go on from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from photo2cartoon import pretrained
from photo2cartoon.errors import UserError
from photo2cartoon.files import read_json, whole_folder, write_json
from photo2cartoon.layout import CARD, OPTIMIZERS, RANDOM
from photo2cartoon.networks.generator import Generator
from photo2cartoon.params import Train
from photo2cartoon.training.state import State, build_generator

FORMAT = 1


@dataclass(frozen=True)
class Card:
    """What `checkpoint.json` says.

    Args:
        path: the folder.
        step: optimisation steps done.
        train: the section it was trained with.
        networks: names of the networks inside.
        scores: of its averaged generator, where it was scored while training.
    """

    path: Path
    step: int
    train: Train
    networks: tuple[str, ...]
    scores: Mapping[str, float]


def save(folder: Path, state: State, step: int, scores: Mapping[str, float] | None = None) -> Path:
    """Write `folder/step-NNNNNN`, whole or not at all, with the scores its generator got while training.

    Returns:
        The checkpoint's folder.
    """
    target = folder / f"step-{step:06d}"
    with whole_folder(target, CARD) as partial:
        for name, network in state.networks.items():
            _save_network(partial / f"{name}.safetensors", network.state_dict())
        for name, network in state.averages.items():
            _save_network(partial / f"{name}.average.safetensors", network.state_dict())
        _write_tensors(partial / OPTIMIZERS, _optimizers(state))
        _write_tensors(partial / RANDOM, _random())
        _write_card(
            partial, step, state.params, [*state.networks, *(f"{name}.average" for name in state.averages)], scores
        )
    return target


def load(path: Path, state: State) -> int:
    """Bring a state to where a checkpoint left it; returns the step it had reached.

    Raises:
        UserError: the checkpoint is missing, damaged, or of other networks.
    """
    card = read_card(path)
    device = next(state.networks.parameters()).device
    for name, network in state.networks.items():
        _load_into(network, path / f"{name}.safetensors")
    for name, network in state.averages.items():
        _load_into(network, path / f"{name}.average.safetensors")
    _restore_optimizers(state, read_tensors(path / OPTIMIZERS))
    random = read_tensors(path / RANDOM)
    torch.set_rng_state(random["cpu"])
    if device.type == "cuda" and "cuda" in random:
        torch.cuda.set_rng_state(random["cuda"], device)
    return card.step


def start_from(path: Path, state: State) -> list[str]:
    """Begin a run with another checkpoint's networks: of a run, or of `p2c import-weights`. Optimizers start afresh.

    Args:
        path: the checkpoint, or the name of one that comes with the project; a generator that is only there as an
            average is taken from that.
        state: gets the networks, and their averages.

    Returns:
        Names of the networks that the checkpoint does not hold, which begin with fresh weights.

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
        _load_into(network, card.path / f"{inside}.safetensors")
        if name in state.averages:
            inside = f"{name}.average" if f"{name}.average" in card.networks else inside
            _load_into(state.averages[name], card.path / f"{inside}.safetensors")
    return [name for name in state.networks if not {name, f"{name}.average"} & set(card.networks)]


def list_checkpoints(folder: Path) -> list[Path]:
    """Every checkpoint below a folder, earliest first."""
    return sorted(path for path in folder.glob("step-*") if (path / CARD).is_file())


def read_card(path: Path) -> Card:
    """What a checkpoint is.

    Args:
        path: its folder, or the name of one that comes with the project.

    Raises:
        UserError: the folder is no checkpoint, or of a format this version does not know.
    """
    path = pretrained.resolve(path)
    if not path.is_dir():
        raise UserError(f"{path}: no such checkpoint folder")
    values = read_json(path / CARD, "this folder is not a checkpoint")
    try:
        if values["format"] != FORMAT:
            raise UserError(f"{path / CARD}: format {values['format']}, this version reads {FORMAT}")
        return Card(
            path,
            values["step"],
            Train.model_validate(values["train"]),
            tuple(values["networks"]),
            values.get("scores", {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / CARD}: not a checkpoint's card: {error}") from None


def load_generator(path: Path, name: str = "genA2B", weights: str = "average") -> Generator:
    """The generator of a checkpoint, ready to draw.

    Args:
        path: the checkpoint's folder, or the name of one that comes with the project.
        name: genA2B draws cartoons, genB2A photographs.
        weights: `average`, or `raw` for the last step's; the other is used where the wanted one is not inside.

    Raises:
        UserError: the checkpoint is missing, damaged, or has no such generator.
    """
    card = read_card(path)
    names = [f"{name}.average", name] if weights == "average" else [name, f"{name}.average"]
    inside = next((candidate for candidate in names if candidate in card.networks), None)
    if inside is None:
        raise UserError(f"{path}: holds no {name}; it holds {', '.join(card.networks)}")
    generator = build_generator(card.train)
    _load_into(generator, card.path / f"{inside}.safetensors")
    return generator.eval().requires_grad_(False)


def copy_generator(source: Path, target: Path, name: str = "genA2B", weights: str = "average") -> None:
    """A checkpoint of one generator alone: what is needed to draw, a tenth of the size."""
    card = read_card(source)
    generator = load_generator(source, name, weights)
    target.mkdir(parents=True, exist_ok=True)
    write_networks(target, card.train, {name: generator}, card.step)


def write_networks(folder: Path, train: Train, networks: Mapping[str, torch.nn.Module], step: int = 0) -> None:
    """A checkpoint of networks alone, without what training would go on from.

    Args:
        folder: exists; gets a file a network, and the card.
        train: the section that describes the networks.
        networks: by name.
        step: optimisation steps done.
    """
    for name, network in networks.items():
        _save_network(folder / f"{name}.safetensors", network.state_dict())
    _write_card(folder, step, train, list(networks))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing from the checkpoint") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path}: damaged: {error}") from None


def _save_network(path: Path, tensors: dict[str, Tensor]) -> None:
    _write_tensors(path, {key: value.detach().cpu().contiguous() for key, value in tensors.items()})


def _write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # a full disk, mostly
        raise OSError(str(error)) from None


def _load_into(network: torch.nn.Module, path: Path) -> None:
    try:
        network.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{path}: of another network: {first}") from None


def _write_card(
    folder: Path, step: int, train: Train, networks: list[str], scores: Mapping[str, float] | None = None
) -> None:
    card: dict[str, Any] = {
        "format": FORMAT,
        "step": step,
        "networks": networks,
        "train": train.model_dump(mode="json"),
    }
    if scores:
        card["scores"] = dict(scores)
    write_json(folder / CARD, card)


def _optimizers(state: State) -> dict[str, Tensor]:
    return {
        f"{which}.{index}.{moment}": value.detach().cpu().contiguous()
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
