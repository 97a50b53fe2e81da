"""Pictures of what the generators do, for people to look at: seven rows a direction, as U-GAT-IT shows them.

The picture; where the generator of the other direction looks at it, and what it makes of it, which should be the same
(identity); where the generator looks and what it draws (translation); where the way back looks and what comes back
(reconstruction).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from photo2cartoon.dataset.faces import to_float
from photo2cartoon.networks.generator import Drawing
from photo2cartoon.pictures import Row, grid, heatmap_on

DIRECTIONS = {"A2B": ("photograph", "cartoon"), "B2A": ("cartoon", "photograph")}


def to_uint8(pictures: Tensor) -> np.ndarray:
    """Float `[N, 3, H, W]` in -1..1 to uint8 `[N, H, W, 3]`."""
    levels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return levels.permute(0, 2, 3, 1).cpu().numpy()


@torch.no_grad()
def seven_rows(generators: Mapping[str, nn.Module] | nn.ModuleDict, pictures: Tensor, direction: str) -> list[Row]:
    """The seven rows of one direction.

    Args:
        generators: genA2B and genB2A.
        pictures: uint8 `[N, 3, S, S]`, of the domain that the direction starts from.
        direction: `A2B` or `B2A`.

    Returns:
        A caption and N pictures a row.
    """
    source, target = DIRECTIONS[direction]
    forward, backward = generators[f"gen{direction}"], generators[f"gen{direction[::-1]}"]
    real = to_float(pictures.to(next(forward.parameters()).device))
    identity, drawing = backward(real), forward(real)
    back = backward(drawing.picture)
    originals, drawn = list(to_uint8(real)), list(to_uint8(drawing.picture))
    return [
        (source, originals),
        ("attention, identity", _looks(originals, identity)),
        (f"identity: redrawn as {source}", list(to_uint8(identity.picture))),
        ("attention, translation", _looks(originals, drawing)),
        (f"translation: drawn as {target}", drawn),
        ("attention, reconstruction", _looks(drawn, back)),
        (f"reconstruction: back as {source}", list(to_uint8(back.picture))),
    ]


def sample_grid(generators: nn.ModuleDict, photos: Tensor, cartoons: Tensor) -> np.ndarray:
    """The same few portraits at every tick, so that a person sees training go forward or astray.

    Args:
        generators: averaged ones.
        photos, cartoons: uint8 `[N, 3, S, S]`.

    Returns:
        uint8 RGB picture, both directions side by side.
    """
    halves = [
        grid(seven_rows(generators, pictures, direction), side=128)
        for pictures, direction in zip((photos, cartoons), DIRECTIONS, strict=True)
    ]
    return np.hstack(halves)


@torch.no_grad()
def lesson_grid(generator: nn.Module, pairs: Tensor, others: Tensor) -> np.ndarray:
    """Photographs, the drawings taught, and ours; photographs that have none, and ours.

    Args:
        generator: the averaged one.
        pairs: uint8 `[N, 6, S, S]`, photograph and drawing.
        others: uint8 `[M, 3, S, S]`; M may be 0.

    Returns:
        uint8 RGB picture.
    """
    device = next(generator.parameters()).device

    def drawn(photos: Tensor) -> list[np.ndarray]:
        return list(to_uint8(generator(to_float(photos.to(device))).picture))

    def shown(pictures: Tensor) -> list[np.ndarray]:
        return list(pictures.permute(0, 2, 3, 1).numpy())

    photos, drawings = pairs.split(3, dim=1)
    rows = [("photograph", shown(photos)), ("taught", shown(drawings)), ("drawn", drawn(photos))]
    if len(others):
        rows += [("photograph without drawing", shown(others)), ("drawn", drawn(others))]
    return grid(rows)


def _looks(pictures: list[np.ndarray], drawing: Drawing) -> list[np.ndarray]:
    heat = drawing.heatmap[:, 0].float().cpu().numpy()
    return [heatmap_on(picture, map_) for picture, map_ in zip(pictures, heat, strict=True)]
