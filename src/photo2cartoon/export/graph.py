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

from photo2cartoon.networks.generator import Generator
from photo2cartoon.portrait.maker import SIZE

if TYPE_CHECKING:
    import onnx


class PortraitToCartoon(nn.Module):
    """Turns portraits into cartoons on white.

    Args:
        generator: trained; the portrait is resized to its `size`.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator.eval()

    def forward(self, portrait: Tensor) -> Tensor:
        """Map uint8 RGBA `[N, S, S, 4]` to uint8 RGB `[N, S, S, 3]`; the background, given by alpha, is white."""
        x = portrait.permute(0, 3, 1, 2).float()
        alpha = x[:, 3:] / 255
        # Round on white first, as the images that training reads were.
        x = torch.round(x[:, :3] * alpha + 255 * (1 - alpha))
        side, size = portrait.shape[1], self.generator.size
        if size != side:
            x = torch.round(resize(x, side, size))
        y = (self.generator(x / 127.5 - 1).image + 1) * 127.5
        if size != side:
            y = resize(y, size, side)
        y = y * alpha + 255 * (1 - alpha)
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


def stylize(model: PortraitToCartoon, portraits: np.ndarray) -> np.ndarray:
    """Run the model in torch: uint8 `[N, S, S, 4]` to uint8 `[N, S, S, 3]`."""
    with torch.inference_mode():
        return model(torch.from_numpy(np.ascontiguousarray(portraits))).numpy()


def write_onnx(model: PortraitToCartoon, path: Path, metadata: Mapping[str, str], opset: int, size: int = SIZE) -> None:
    """Write a graph from `portrait` uint8 `[N, S, S, 4]` to `cartoon` uint8 `[N, S, S, 3]` with dynamic N.

    Args:
        model: the model to export.
        path: file to write.
        metadata: stored in the graph's properties.
        opset: ONNX operator set.
        size: S.
    """
    import onnx

    example = torch.randint(0, 256, (2, size, size, 4), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("ignore")
        for name in ("torch.onnx", "onnxscript", "onnx_ir"):
            logging.getLogger(name).setLevel(logging.ERROR)
        program = torch.onnx.export(
            model,
            (example,),
            input_names=["portrait"],
            output_names=["cartoon"],
            dynamic_shapes=({0: torch.export.Dim("N", min=1, max=64)},),
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    proto = program.model_proto
    _forget_where_it_was_made(proto)
    onnx.helper.set_model_props(proto, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(proto)
    onnx.save_model(proto, str(path))
