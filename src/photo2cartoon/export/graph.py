"""The generator as one graph from portrait to cartoon: bytes in, bytes out.

Compositing on white, normalising, resizing to the generator's training size, inference, resizing back and masking the
background all happen inside the graph, so a caller cannot get any of them wrong.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photo2cartoon.networks.colour import bring_back
from photo2cartoon.networks.generator import Generator
from photo2cartoon.portrait.background import COLOUR
from photo2cartoon.portrait.maker import LARGEST, SIZE, STEP

if TYPE_CHECKING:
    import onnx


class PortraitToCartoon(nn.Module):
    """Turns portraits of any size into cartoons of the same size, on white.

    A light generator draws a larger portrait with more pixels, in proportion. A full one, which depends on the size, and
    one that was trained on more than 256 px draw at the size of their training.

    Args:
        generator: trained on images of its `size`.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator.eval()
        size = generator.size
        self.in_proportion = generator.light and size <= SIZE and size % STEP == 0

    def forward(self, portrait: Tensor, colour: Tensor) -> Tensor:
        """Draw cartoons on white.

        Args:
            portrait: uint8 RGBA `[N, S, S, 4]`; S is a multiple of 64.
            colour: float32 `[N, 1]` in 0..1, from the style's colours to the photograph's; clipped.

        Returns:
            uint8 RGB `[N, S, S, 3]`.
        """
        x = portrait.permute(0, 3, 1, 2).float()
        alpha = x[:, 3:] / 255
        # Round on white first, as the images that training reads were.
        x = torch.round(x[:, :3] * alpha + 255 * (1 - alpha))
        size = self.generator.size
        if not self.in_proportion:
            given = F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)
        elif SIZE % size == 0:
            given = torch.round(F.avg_pool2d(x, SIZE // size)) if size != SIZE else x
        else:
            given = F.interpolate(x, scale_factor=size / SIZE, mode="bilinear", align_corners=False)
        y = (self.generator(given / 127.5 - 1).image + 1) * 127.5
        if not (self.in_proportion and size == SIZE):
            y = F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)
        y = y * alpha + 255 * (1 - alpha)
        y = 255 * bring_back(x / 255, alpha, y / 255, colour.clamp(0, 1)[:, :, None, None])
        return y.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def resize(x: Tensor, side: int, size: int) -> Tensor:
    """Resize float `[N, C, side, side]` to `[N, C, size, size]`."""
    if size < side and side % size == 0:
        return F.avg_pool2d(x, side // size)  # equals cv2's INTER_AREA at an integer ratio
    return F.interpolate(x, size=(size, size), mode="bilinear", align_corners=False)


def _forget_where_it_was_made(proto: onnx.ModelProto) -> None:
    """Drop the exporter's metadata: half of the file, with paths of the exporting machine."""
    graphs = [proto.graph, *proto.functions]
    for graph in graphs:
        del graph.metadata_props[:]
        for item in [*graph.node, *graph.value_info]:
            del item.metadata_props[:]
            item.doc_string = ""
    for item in [*proto.graph.input, *proto.graph.output, *proto.graph.initializer]:
        del item.metadata_props[:]


def stylize(model: PortraitToCartoon, portraits: np.ndarray, colour: float = COLOUR) -> np.ndarray:
    """Run the model in torch: uint8 `[N, S, S, 4]` to uint8 `[N, S, S, 3]`."""
    with torch.inference_mode():
        strength = torch.full((len(portraits), 1), colour)
        return model(torch.from_numpy(np.ascontiguousarray(portraits)), strength).numpy()


def write_onnx(model: PortraitToCartoon, path: Path, metadata: Mapping[str, object], opset: int) -> None:
    """Write a graph from `portrait` and `colour` to `cartoon`, as `PortraitToCartoon`, with dynamic N and S.

    Args:
        model: the model to export.
        path: file to write.
        metadata: stored in the graph's properties as text.
        opset: ONNX operator set.
    """
    import onnx

    example = torch.randint(0, 256, (2, SIZE, SIZE, 4), dtype=torch.uint8)
    count = torch.export.Dim("N", min=1, max=64)
    side = STEP * torch.export.Dim("side", min=SIZE // STEP, max=LARGEST // STEP)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(name).setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            (example, torch.full((2, 1), COLOUR)),
            input_names=["portrait", "colour"],
            output_names=["cartoon"],
            dynamic_shapes=({0: count, 1: side, 2: side}, {0: count}),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    proto = program.model_proto
    _forget_where_it_was_made(proto)
    onnx.helper.set_model_props(proto, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(proto)
    onnx.save_model(proto, str(path))
