"""Image grids that show what the generators do: seven rows per direction, as in U-GAT-IT.

The rows are the input; attention and output of the opposite direction's generator, which should reproduce the input
(identity); attention and output of this direction's generator (translation); attention and output of the way back
(reconstruction).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from photo2cartoon.dataset.faces import to_float, to_uint8
from photo2cartoon.networks.generator import GeneratorOutput
from photo2cartoon.pictures import GridRow, heatmap_on

DIRECTIONS = {"A2B": ("photograph", "cartoon"), "B2A": ("cartoon", "photograph")}


@torch.no_grad()
def seven_rows(generators: Mapping[str, nn.Module] | nn.ModuleDict, pictures: Tensor, direction: str) -> list[GridRow]:
    """Make the seven rows of one direction.

    Args:
        generators: genA2B and genB2A.
        pictures: uint8 `[N, 3, S, S]`, of the direction's source domain.
        direction: `A2B` or `B2A`.

    Returns:
        A caption and N images per row.
    """
    source, target = DIRECTIONS[direction]
    forward, backward = generators[f"gen{direction}"], generators[f"gen{direction[::-1]}"]
    real = to_float(pictures.to(next(forward.parameters()).device))
    identity, translation = backward(real), forward(real)
    back = backward(translation.image)
    originals, translated = list(to_uint8(real)), list(to_uint8(translation.image))
    return [
        (source, originals),
        ("attention, identity", _attention(originals, identity)),
        (f"identity: as {source}", list(to_uint8(identity.image))),
        ("attention, translation", _attention(originals, translation)),
        (f"translation: to {target}", translated),
        ("attention, reconstruction", _attention(translated, back)),
        (f"reconstruction: back to {source}", list(to_uint8(back.image))),
    ]


def _attention(pictures: list[np.ndarray], output: GeneratorOutput) -> list[np.ndarray]:
    heat = output.heatmap[:, 0].float().cpu().numpy()
    return [heatmap_on(picture, map_) for picture, map_ in zip(pictures, heat, strict=True)]
