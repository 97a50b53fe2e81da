"""Trained generators and the checkpoints that hold them. Loading never runs pickled code.

    step-000300/
        checkpoint.json             format, step, the train section, which networks are inside
        genA2B.safetensors …        each network; genA2B.average.safetensors: its average
        optimizers.safetensors      moments of both optimizers                        } only what training
        random.safetensors          torch's generators of random numbers              } saved has these

A checkpoint with `genA2B` or `genA2B.average` alone is enough to make cartoons. `training.checkpoint` saves and resumes runs.
torch is imported when a network is loaded or written, because that takes seconds.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from photo2cartoon import pretrained
from photo2cartoon.atomic import atomic_dir, make_folder
from photo2cartoon.errors import UserError
from photo2cartoon.files import read_json, write_json
from photo2cartoon.layout import CARD, CHECKPOINTS, RUN
from photo2cartoon.params import Train, renamed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from photo2cartoon.networks.generator import Generator

FORMAT = 1


@dataclass(frozen=True)
class Card:
    """The contents of `checkpoint.json`.

    Args:
        path: the folder.
        step: optimisation steps done.
        train: the section it was trained with.
        networks: names of the networks inside.
        scores: of its averaged generator, if it was scored during training.
    """

    path: Path
    step: int
    train: Train
    networks: tuple[str, ...]
    scores: Mapping[str, float]


def step_of(path: Path) -> int:
    """The step in the name of a checkpoint's folder, `step-NNNNNN`."""
    return int(path.name.removeprefix("step-"))


def list_checkpoints(folder: Path) -> list[Path]:
    """Every checkpoint below a folder, earliest first."""
    found = (path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdecimal())
    return sorted((path for path in found if (path / CARD).is_file()), key=step_of)


def read_card(path: Path) -> Card:
    """Read the card of a checkpoint.

    Args:
        path: its folder, or the name of one that comes with the project.

    Raises:
        UserError: the folder is not a checkpoint, or its format is unknown to this version.
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
            Train.model_validate(renamed({"train": values["train"]})[0]["train"]),
            tuple(values["networks"]),
            values.get("scores", {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path / CARD}: not a checkpoint's card: {error}") from None


def build_generator(params: Train) -> Generator:
    """A randomly initialised generator as the `train` section describes it."""
    from photo2cartoon.networks.generator import Generator

    generator = Generator(params.channels, params.size, params.light, params.norm, params.hourglasses, params.blocks)
    generator.recompute = params.recompute
    return generator


def load_generator(path: Path, name: str = "genA2B", which: str = "ema") -> Generator:
    """Load a generator of a checkpoint for inference.

    Args:
        path: the checkpoint's folder, or the name of one that comes with the project.
        name: genA2B makes cartoons, genB2A photographs.
        which: `ema`, which also takes a generator without an average, or `raw` for the last step's.

    Raises:
        UserError: the checkpoint is missing, damaged, or has no such generator.
    """
    file = generator_file(path, name, which)
    generator = build_generator(read_card(path).train)
    load_into(generator, file)
    return generator.eval().requires_grad_(False)


def generator_file(path: Path, name: str = "genA2B", which: str = "ema") -> Path:
    """Return the file that `load_generator` loads, with the same arguments.

    Raises:
        UserError: the checkpoint is missing, or has no such generator.
    """
    card = read_card(path)
    names = [f"{name}.average", name] if which == "ema" else [name]
    inside = next((candidate for candidate in names if candidate in card.networks), None)
    if inside is None and f"{name}.average" in card.networks:
        raise UserError(f"{path}: holds the averaged {name} alone, not that of the last step: use the averaged one")
    if inside is None:
        raise UserError(f"{path}: holds no {name}; it holds {', '.join(card.networks)}")
    return card.path / f"{inside}.safetensors"


def copy_generator(source: Path, target: Path, name: str = "genA2B", which: str = "ema") -> None:
    """Write a checkpoint of one generator alone: enough to make cartoons, a tenth of the size."""
    card = read_card(source)
    generator = load_generator(source, name, which)
    make_folder(target)
    write_networks(target, card.train, {name: generator}, card.step)


AVERAGES = ("genA2B.average", "genB2A.average")  # the second is for the cycle error


def copy_averages(
    run: Path, out: Path, names: Collection[str] | None = None, networks: Sequence[str] = AVERAGES
) -> None:
    """Copy what makes cartoons of a run: each checkpoint's averaged generators, and `run.json`.

    The copy is a run that can be evaluated and selected from, at a fifteenth of the size.

    Args:
        run: output folder of the `train` stage.
        out: receives `checkpoints/` and `run.json`.
        names: the checkpoints to copy; all by default.
        networks: the averaged generators to copy, as far as a checkpoint has them.
    """
    with atomic_dir(out, RUN) as partial:
        for path in list_checkpoints(run / CHECKPOINTS):
            if names is None or path.name in names:
                card, target = read_card(path), partial / CHECKPOINTS / path.name
                target.mkdir(parents=True)
                there = [name for name in networks if (path / f"{name}.safetensors").is_file()]
                for name in there:
                    shutil.copyfile(path / f"{name}.safetensors", target / f"{name}.safetensors")
                write_card(target, card.step, card.train, there, card.scores)
        shutil.copyfile(run / RUN, partial / RUN)


def write_networks(folder: Path, train: Train, networks: Mapping[str, torch.nn.Module], step: int = 0) -> None:
    """Write a checkpoint of networks alone, from which training cannot resume.

    Args:
        folder: exists; receives one file per network, and the card.
        train: the section that describes the networks.
        networks: by name.
        step: optimisation steps done.
    """
    for name, network in networks.items():
        save_network(folder / f"{name}.safetensors", network.state_dict())
    write_card(folder, step, train, list(networks))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors of a safetensors file.

    Raises:
        UserError: it is missing or damaged.
    """
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError:
        raise UserError(f"{path}: missing from the checkpoint") from None
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{path}: damaged: {error}") from None


def save_network(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a state dict, from whatever device, as safetensors."""
    write_tensors(path, {key: value.detach().cpu().contiguous() for key, value in tensors.items()})


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write contiguous CPU tensors as safetensors.

    Raises:
        OSError: the file cannot be written, mostly because the disk is full.
    """
    from safetensors.torch import save_file

    try:
        save_file(tensors, path)
    except SafetensorError as error:
        raise OSError(str(error)) from None


def load_into(network: torch.nn.Module, path: Path) -> None:
    """Load the weights of a file into a network of the same shapes.

    Raises:
        UserError: the file is missing, damaged, or of another network.
    """
    try:
        network.load_state_dict(read_tensors(path))
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise UserError(f"{path}: of another network: {first}") from None


def write_card(
    folder: Path, step: int, train: Train, networks: list[str], scores: Mapping[str, float] | None = None
) -> None:
    """Write `checkpoint.json`: the last file of a checkpoint, by which a folder is recognised as one."""
    card: dict[str, Any] = {
        "format": FORMAT,
        "step": step,
        "networks": networks,
        "train": train.model_dump(mode="json"),
    }
    if scores:
        card["scores"] = dict(scores)
    write_json(folder / CARD, card)
