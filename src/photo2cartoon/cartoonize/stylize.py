"""Models that turn portraits into cartoons: a checkpoint in torch, a graph in onnxruntime, or a Triton server."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from photo2cartoon import pretrained
from photo2cartoon.errors import UserError, first_line
from photo2cartoon.files import sha256_of
from photo2cartoon.layout import MODEL_REPOSITORY
from photo2cartoon.portrait.background import COLOUR, on_white
from photo2cartoon.portrait.maker import SIZE
from photo2cartoon.serving.storage import storage_at

if TYPE_CHECKING:
    from photo2cartoon.serving.client import Client

# Maps portraits uint8 [N, S, S, 4], and the strength of the photograph's colours in them (0 to 1, `COLOUR` by default),
# to cartoons on white uint8 [N, S, S, 3].
Stylize = Callable[..., np.ndarray]


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to use.

    Args:
        name: display name of the model.
        stylize: makes the cartoons.
        version: names the weights in the marks of cartoons: `version 3`, or a name and the start of a hash; empty for a
            server's.
        client: client of the server, if a server makes them; the server can make the portraits too.
    """

    name: str
    stylize: Stylize
    version: str = ""
    client: Client | None = None

    def weights(self) -> str:
        """`version`, or the one that the server has loaded.

        Raises:
            UserError: the server does not answer.
        """
        return f"version {self.client.version()}" if self.client else self.version

    def label(self) -> str:
        """The name, with the version that a server has loaded, if the server answers."""
        try:
            return f"version {self.client.version()} of {self.name}" if self.client else self.name
        except UserError:
            return self.name


@dataclass(frozen=True)
class ModelChoice:
    """Selects the model: the one that is named, else the newest promoted version, else the project's default.

    Args:
        checkpoint: a folder, or the name of a model that comes with the project; runs in torch.
        model: an ONNX file, from `p2c export` or photo2cartoon's own, or such a name; runs in onnxruntime.
        server: HOST:PORT of Triton's gRPC endpoint.
        repository: location of the promoted versions, a folder or a URL.

    Raises:
        UserError: more than one of the first three is named.
    """

    checkpoint: Path | None = None
    model: Path | None = None
    server: str | None = None
    repository: Path | str = MODEL_REPOSITORY

    def __post_init__(self) -> None:
        if sum(choice is not None for choice in (self.checkpoint, self.model, self.server)) > 1:
            raise UserError("cartoonize: --checkpoint, --model and --server exclude one another")

    def load(self) -> LoadedModel:
        """Load the model, or connect to the server.

        Raises:
            UserError: the model cannot be read, or the server's address is wrong.
        """
        if self.server:
            from photo2cartoon.serving.client import Client

            client = Client(self.server)
            return LoadedModel(f"Triton at {self.server}", client.stylize, client=client)
        if self.checkpoint:
            return LoadedModel(str(self.checkpoint), by_torch(self.checkpoint), _checkpoint_version(self.checkpoint))
        if self.model and (self.model.is_file() or str(self.model) not in pretrained.names()):
            return LoadedModel(str(self.model), by_onnxruntime(self.model), f"graph {sha256_of(self.model)[:16]}")
        if not self.model:
            storage = storage_at(self.repository)
            if versions := storage.versions():
                graph = storage.graph(versions[-1])
                name = f"version {versions[-1]}"
                return LoadedModel(f"{name} in {self.repository}", by_onnxruntime(graph), name)
        name = str(self.model or pretrained.DEFAULT)
        draw = by_onnxruntime(pretrained.graph(name))
        return LoadedModel(f"{name}, which comes with the project", draw, _checkpoint_version(pretrained.FOLDER / name))


def _checkpoint_version(checkpoint: Path) -> str:
    """Return the name of a bundled model or of a checkpoint's folder, with the start of its generator's hash."""
    from photo2cartoon.checkpoint import generator_file

    return f"{checkpoint.resolve().name} {sha256_of(generator_file(checkpoint))[:16]}"


def by_torch(checkpoint: Path) -> Stylize:
    """Load a checkpoint's generator in torch.

    Raises:
        UserError: the checkpoint cannot be read or has no generator.
    """
    from photo2cartoon.checkpoint import load_generator
    from photo2cartoon.export.graph import PortraitToCartoon, stylize

    model = PortraitToCartoon(load_generator(checkpoint))
    return functools.partial(stylize, model)


def by_onnxruntime(graph: Path) -> Stylize:
    """Load a graph from `portrait` to `cartoon`, or photo2cartoon's own from `input` to `output`, in onnxruntime.

    Raises:
        UserError: the file is not such a graph.
    """
    from photo2cartoon.serving.session import INPUTS, draw, open_session

    if not graph.is_file():
        raise UserError(f"{graph}: no such model")
    try:
        session = open_session(graph)
        inputs, outputs = ([item.name for item in items] for items in (session.get_inputs(), session.get_outputs()))
    except Exception as error:  # onnxruntime's errors have no common class
        raise UserError(f"{graph}: not a readable ONNX graph: {first_line(error)}") from None
    if inputs == ["input"] and "output" in outputs:
        shape = session.get_inputs()[0].shape
        if len(shape) != 4 or shape[1] != 3:
            raise UserError(f"{graph}: its 'input' has the shape {shape}; photo2cartoon's is [1, 3, S, S]")
        return _in_a_line(graph, _original(session))
    if inputs != INPUTS or "cartoon" not in outputs:
        raise UserError(
            f"{graph}: does not map 'portrait' and 'colour' to 'cartoon'; `p2c export` writes graphs that do"
        )
    return _in_a_line(graph, functools.partial(draw, session))


def _in_a_line(graph: Path, stylize: Stylize) -> Stylize:
    """Name the graph in errors of running it, as when it draws at one size alone."""

    def run(portraits: np.ndarray, colour: float = COLOUR) -> np.ndarray:
        try:
            return stylize(portraits, colour)
        except Exception as error:  # onnxruntime's errors have no common class
            raise UserError(f"{graph}: cannot draw: {first_line(error)}") from None

    return run


def _original(session: Any) -> Stylize:
    """Wrap photo2cartoon's graph, which takes floats `[1, 3, S, S]` in -1..1 on white, as its own scripts do.

    It has no input for the colours; they are brought back afterwards, in torch.
    """
    side = session.get_inputs()[0].shape[-1]
    side = side if isinstance(side, int) else SIZE

    def stylize(portraits: np.ndarray, colour: float = COLOUR) -> np.ndarray:
        cartoons = []
        for portrait in portraits:
            rgb = _resized(on_white(portrait).astype(np.float32), side)
            rgb = np.rint(rgb) if len(portrait) % side == 0 else rgb  # as `PortraitToCartoon` does
            output = session.run(["output"], {"input": rgb.transpose(2, 0, 1)[None] / 127.5 - 1})[0][0]
            cartoon = _resized((output.transpose(1, 2, 0) + 1) * 127.5, len(portrait))
            alpha = portrait[..., 3:].astype(np.float32) / 255
            cartoon = cartoon * alpha + 255 * (1 - alpha)
            cartoon = _coloured(cartoon, portrait, colour) if colour else cartoon
            cartoons.append(np.clip(np.rint(cartoon), 0, 255).astype(np.uint8))
        return np.stack(cartoons)

    return stylize


def _coloured(cartoon: np.ndarray, portrait: np.ndarray, colour: float) -> np.ndarray:
    """Bring the photograph's colours back into a cartoon on white, float32 `[S, S, 3]` in 0..255."""
    import torch

    from photo2cartoon.networks.colour import bring_back

    def planes(picture: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(picture, dtype=np.float32)).permute(2, 0, 1)[None] / 255

    moved = bring_back(
        planes(on_white(portrait)), planes(portrait[..., 3:]), planes(cartoon), torch.full((1, 1, 1, 1), colour)
    )
    return moved[0].permute(1, 2, 0).numpy() * 255


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    """Resize float32 `[S, S, 3]` as the exported graphs do inside; both then give the same cartoon at every size."""
    if len(picture) == side:
        return picture  # the original's size, which needs no import of torch
    import torch

    from photo2cartoon.export.graph import resize

    planes = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    return resize(planes, len(picture), side)[0].permute(1, 2, 0).numpy()
