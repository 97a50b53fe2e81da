"""Converts photo2cartoon's trained weights to a checkpoint: `.pt`, `.onnx`, and the Paddle port's `.pdparams`.

The file's content determines its kind, the variant and its sizes. No pickled code is run.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from photo2cartoon import checkpoint
from photo2cartoon.atomic import atomic_dir
from photo2cartoon.errors import UserError, first_line
from photo2cartoon.importing.graph import INPUT, OUTPUT, read_graph
from photo2cartoon.importing.names import NETWORKS, UNUSED, discriminator_names, generator_names
from photo2cartoon.importing.pickles import read_arrays
from photo2cartoon.layout import CARD
from photo2cartoon.networks.discriminator import GLOBAL_LAYERS, LOCAL_LAYERS, build_discriminator
from photo2cartoon.params import Train

DEFAULT_SIZE = 256
# Largest difference allowed between the outputs of the imported weights and of an executable file (ONNX), in -1..1.
TOLERANCE = 1e-3
_PADDLE_TABLE = "StructuredToParameterName@@"
# Biases that a kind of file lacks: the port's linear layers have none, and no output depends on the attention's.
_NOTHING = re.compile("(?!)")
_LEFT_OUT = {
    "paddle": re.compile(r"(g[am]p_fc|FC\.\d|DecodeBlock\d\.norm\d\.[cs]_\w+(\.\d)?)\.bias$"),
    "onnx": re.compile(r"g[am]p_fc\.bias$"),
}


@dataclass(frozen=True)
class Imported:
    """Contents of an imported file.

    Args:
        kind: kind of the file.
        train: the variant and its sizes, as in the `train` section.
        networks: names of the networks in the file.
    """

    kind: str
    train: Train
    networks: tuple[str, ...]

    @property
    def absent(self) -> tuple[str, ...]:
        """Names of the six networks that the file lacks; training would initialise them randomly."""
        return tuple(name for name in NETWORKS if name not in self.networks)


def import_weights(source: Path, out: Path, size: int | None = None) -> Imported:
    """Write the networks of a file as a checkpoint for inference, export and further training.

    Args:
        source: `.pt`, `.pdparams` or `.onnx`.
        out: the checkpoint's folder; written whole or not at all.
        size: image side that a light generator was trained at, which its weights do not reveal; 256 in the original.

    Returns:
        The contents of the file.

    Raises:
        UserError: the file is of another kind or damaged, or tensors are missing, left over or of the wrong shape.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out}: already exists; choose a new folder")
    kind, states, side = read_states(source)
    train = infer(source, states, size or side)
    networks = {
        name: checkpoint.build_generator(train) if name.startswith("gen") else build_discriminator(name, train.channels)
        for name in states
    }
    for name, tensors in states.items():
        if name.startswith("gen"):
            names = generator_names(paddle=kind == "paddle")
        else:
            names = discriminator_names(GLOBAL_LAYERS if name.startswith("disG") else LOCAL_LAYERS)
        _fill(networks[name], tensors, names, kind, f"{source}: {name}")
    if kind == "onnx":
        _must_draw_the_same(source, networks["genA2B"], train.size)
    with atomic_dir(out, CARD) as partial:
        checkpoint.write_networks(partial, train, {name: networks[name] for name in states})
    return Imported(kind, train, tuple(states))


def read_states(source: Path) -> tuple[str, dict[str, dict[str, Tensor]], int | None]:
    """Return the file's kind, each network's tensors by their original names, and the image side if the file has it.

    Raises:
        UserError: the file is of no known kind, is damaged, or holds none of the networks.
    """
    if not source.is_file():
        raise UserError(f"{source}: no such file")
    try:
        with source.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}") from None
    side = None
    if head[:2] == b"PK" or head.startswith(b"\x80\x02\x8a\x0a"):
        kind, found = "torch", _read_torch(source)
    elif head[:1] == b"\x80":
        kind, found = "paddle", read_arrays(source)
    elif source.suffix.lower() == ".onnx" or head[:1] == b"\x08":
        tensors, side = read_graph(source)
        kind, found = "onnx", {"genA2B": tensors}
    else:
        raise UserError(f"{source}: is neither a .pt, a .pdparams nor an .onnx file of photo2cartoon")
    if not isinstance(found, Mapping):
        raise UserError(f"{source}: holds a {type(found).__name__}, not weights by their names")
    found = {str(name): value for name, value in found.items()}
    if not any(name in found for name in NETWORKS) and any(name.startswith("EncodeBlock") for name in found):
        found = {"genA2B": found}  # the bare state dict of a generator
    if not any(name in found for name in NETWORKS):
        raise UserError(f"{source}: holds none of {', '.join(NETWORKS)}, but {', '.join(list(found)[:3]) or 'nothing'}")
    surplus = [name for name in found if name not in NETWORKS]
    if surplus:
        raise UserError(f"{source}: '{surplus[0]}' is none of photo2cartoon's networks")
    states = {name: _tensors(found[name], f"{source}: {name}") for name in NETWORKS if name in found}
    if kind == "paddle":
        states = {
            name: {key: _from_paddle(key, value) for key, value in state.items()} for name, state in states.items()
        }
    return kind, states, side


def infer(source: Path, states: Mapping[str, Mapping[str, Tensor]], size: int | None = None) -> Train:
    """Infer channels, size and variant from the tensors' shapes.

    Raises:
        UserError: the networks disagree with one another, or `size` disagrees with a full generator.
    """
    channels: dict[str, int] = {}
    sizes: dict[str, int | None] = {}
    for name, state in states.items():
        first = next(
            (key for key in ("ConvBlock1.1.weight", "DownBlock.1.weight", "model.1.weight_orig") if key in state), None
        )
        if first is None:
            wanted = "model.1.weight_orig" if name.startswith("dis") else "ConvBlock1.1.weight"
            raise UserError(f"{source}: {name}: '{wanted}' is missing")
        if state[first].dim() != 4 or not state[first].numel():
            raise UserError(
                f"{source}: {name}: '{first}' has shape {tuple(state[first].shape)}, which is no convolution"
            )
        channels[name] = state[first].shape[0]
        if name.startswith("gen"):
            sizes[name] = _full_size(state, channels[name], f"{source}: {name}")
    for kind, values in (("channels", channels), ("size", sizes)):
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{name} {value}" for name, value in values.items())
            raise UserError(f"{source}: the networks differ in {kind}: {listed}")
    full = next(iter(sizes.values()), None)
    if full and size and full != size:
        raise UserError(f"{source}: a full generator for {full} px; --size {size} does not fit")
    try:
        return Train(channels=next(iter(channels.values())), size=full or size or DEFAULT_SIZE, light=full is None)
    except ValueError as error:
        raise UserError(f"{source}: {str(error).splitlines()[2].strip()}") from None


def _full_size(state: Mapping[str, Tensor], channels: int, where: str) -> int | None:
    """Return the image side of a full generator, or None for a light one."""
    if "FC.0.weight" not in state or state["FC.0.weight"].dim() != 2:
        raise UserError(f"{where}: 'FC.0.weight' is missing, or no linear layer")
    inputs, wide = state["FC.0.weight"].shape[-1], channels * 4
    if inputs == wide:
        return None
    side = round((inputs / wide) ** 0.5)
    if side * side * wide != inputs:
        raise UserError(f"{where}: 'FC.0.weight' has {inputs} inputs, which fit no size at {channels} channels")
    return side * 4


def _fill(
    network: torch.nn.Module, tensors: Mapping[str, Tensor], names: Mapping[str, str], kind: str, where: str
) -> None:
    """Load a network's weights by their original names; an error names the tensor that does not fit."""
    own = network.state_dict()
    filled = {}
    for theirs, ours in names.items():
        if theirs not in tensors:
            if not _LEFT_OUT.get(kind, _NOTHING).match(theirs):
                raise UserError(f"{where}: '{theirs}' is missing")
            filled[ours] = torch.zeros_like(own[ours])
            continue
        if tensors[theirs].shape != own[ours].shape:
            got, wanted = tuple(tensors[theirs].shape), tuple(own[ours].shape)
            raise UserError(f"{where}: '{theirs}' has shape {got}, not {wanted}")
        if not bool(torch.isfinite(tensors[theirs]).all()):
            raise UserError(f"{where}: '{theirs}' holds numbers that are not finite")
        filled[ours] = tensors[theirs]
    surplus = [name for name in tensors if name not in names and not UNUSED.search(name)]
    if surplus:
        raise UserError(f"{where}: '{surplus[0]}' is left over: not of this network")
    network.load_state_dict(filled)


def _read_torch(source: Path) -> Any:
    try:
        found = torch.load(source, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).split("Please file")[0]
        refused = re.search(r"Unsupported (?:global|class|operand)[^\n]*", reason)
        raise UserError(
            f"{source}: refused: it holds more than tensors{f' ({refused.group()})' if refused else ''}"
        ) from None
    except Exception as error:  # of a damaged file, torch raises errors of any class
        raise UserError(
            f"{source}: truncated or damaged ({first_line(error) if str(error) else 'ends early'})"
        ) from None
    if isinstance(found, Mapping):
        # nn.DataParallel, which the original uses on several GPUs, prefixes every name.
        return {
            name: {str(key).removeprefix("module."): value for key, value in state.items()}
            if isinstance(state, Mapping)
            else state
            for name, state in found.items()
        }
    return found


def _tensors(state: Any, where: str) -> dict[str, Tensor]:
    if not isinstance(state, Mapping):
        raise UserError(f"{where}: is no state dict but {type(state).__name__}")
    tensors = {}
    for key, value in state.items():
        if key == _PADDLE_TABLE:
            continue
        # Copy: arrays from a graph are read-only, and torch warns about those.
        value = torch.from_numpy(np.array(value, order="C")) if isinstance(value, np.ndarray) else value
        if not isinstance(value, Tensor) or not value.is_floating_point():
            raise UserError(f"{where}: '{key}' is no tensor of floating-point numbers")
        tensors[key] = value.float()
    return tensors


def _from_paddle(name: str, value: Tensor) -> Tensor:
    """Transpose a linear layer's weight: Paddle stores it as inputs x outputs, torch as outputs x inputs."""
    linear = value.dim() == 2 and name.endswith((".weight", ".weight_orig"))
    return value.T.contiguous() if linear else value


def _must_draw_the_same(source: Path, generator: torch.nn.Module, size: int) -> None:
    """Check the weights, which are matched by order of use: both generators must give the same output."""
    from photo2cartoon.serving.session import open_session

    picture = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    try:
        session = open_session(source)
        expected = session.run([OUTPUT], {INPUT: picture.numpy()})[0]
    except Exception as error:  # onnxruntime's errors have no common class
        raise UserError(f"{source}: cannot draw {size}x{size} px: {first_line(error)}") from None
    with torch.inference_mode():
        gap = np.abs(generator.eval()(picture).image.numpy() - expected).max()
    if not gap <= TOLERANCE:
        raise UserError(
            f"{source}: not photo2cartoon's generator: the imported weights draw something else ({gap:.2g} apart)"
        )
