"""What draws portraits: a checkpoint by torch, a graph by onnxruntime, a Triton server, the newest promoted graph, or the
model that comes with the project."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from photo2cartoon import pretrained
from photo2cartoon.errors import UserError
from photo2cartoon.portrait.maker import SIZE, on_white
from photo2cartoon.serving.storage import storage_at

Draw = Callable[
    [np.ndarray], np.ndarray
]  # portraits uint8 [N, 256, 256, 4] to cartoons on white uint8 [N, 256, 256, 3]


def make_draw(checkpoint: Path | None, model: Path | None, server: str | None, model_repository: Path | str) -> Draw:
    """The one that is named, or else the newest promoted graph, or else the model that comes with the project.

    Args:
        checkpoint: a folder, or the name of a model that comes with the project.
        model: an ONNX file, one of `p2c export` or photo2cartoon's own, or such a name.
        server: HOST:PORT of Triton's gRPC.
        model_repository: where promoted graphs lie; a folder or a URL.

    Raises:
        UserError: more than one is named, or what is named cannot be used.
    """
    if sum(choice is not None for choice in (checkpoint, model, server)) > 1:
        raise UserError("cartoonize: --checkpoint, --model and --server exclude one another")
    if server:
        from photo2cartoon.serving.client import Client

        return Client(server).draw
    return by_torch(checkpoint) if checkpoint else by_onnxruntime(_graph(model, model_repository))


def by_torch(checkpoint: Path) -> Draw:
    """Drawn by a checkpoint's generator.

    Raises:
        UserError: it cannot be read or has no generator.
    """
    from photo2cartoon.checkpoint import load_generator
    from photo2cartoon.export.graph import PortraitToCartoon, draw

    model = PortraitToCartoon(load_generator(checkpoint))
    return lambda portraits: draw(model, portraits)


def by_onnxruntime(graph: Path) -> Draw:
    """Drawn by a graph from `portrait` to `cartoon`, or by photo2cartoon's own from `input` to `output`.

    Raises:
        UserError: it is no such graph.
    """
    from photo2cartoon.export.session import open_session

    if not graph.is_file():
        raise UserError(f"{graph}: no such model")
    try:
        session = open_session(graph)
        inputs, outputs = ([item.name for item in items] for items in (session.get_inputs(), session.get_outputs()))
    except Exception as error:  # onnxruntime's errors have no common class
        raise UserError(f"{graph}: not a readable ONNX graph: {str(error).splitlines()[0]}") from None
    if inputs == ["input"] and "output" in outputs:
        return _original(session)
    if (inputs, outputs) != (["portrait"], ["cartoon"]):
        raise UserError(f"{graph}: does not map 'portrait' to 'cartoon'; `p2c export` writes graphs that do")
    return lambda portraits: session.run(["cartoon"], {"portrait": portraits})[0]


def _original(session: Any) -> Draw:
    """photo2cartoon's graph takes floats `[1, 3, S, S]` in -1..1 on white: what its scripts do around it."""
    side = session.get_inputs()[0].shape[-1]
    side = side if isinstance(side, int) else SIZE

    def draw(portraits: np.ndarray) -> np.ndarray:
        cartoons = []
        for portrait in portraits:
            rgb = np.rint(_resized(on_white(portrait).astype(np.float32), side))
            drawn = session.run(["output"], {"input": rgb.transpose(2, 0, 1)[None] / 127.5 - 1})[0][0]
            drawn = _resized((drawn.transpose(1, 2, 0) + 1) * 127.5, SIZE)
            alpha = portrait[..., 3:] / 255
            cartoons.append(np.clip(np.rint(drawn * alpha + 255 * (1 - alpha)), 0, 255).astype(np.uint8))
        return np.stack(cartoons)

    return draw


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    """Float32 `[S, S, 3]`, resized by what our own graphs have inside, so that both draw the same at every size."""
    if len(picture) == side:
        return picture  # the original's size, for which torch need not be waited for
    import torch

    from photo2cartoon.export.graph import resize

    planes = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    return resize(planes, len(picture), side)[0].permute(1, 2, 0).numpy()


def _graph(model: Path | None, model_repository: Path | str) -> Path:
    if model is not None:
        from photo2cartoon.export.pretrained import pretrained_graph

        return pretrained_graph(str(model)) if str(model) in pretrained.names() and not model.exists() else model
    storage = storage_at(model_repository)
    versions = storage.versions()
    if versions:
        return storage.graph(versions[-1])
    from photo2cartoon.export.pretrained import pretrained_graph

    return pretrained_graph()
