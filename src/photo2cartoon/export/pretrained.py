"""Graphs of the generators that come with the project: exported on first use, then kept in the user's cache."""

from __future__ import annotations

from pathlib import Path

from photo2cartoon import pretrained
from photo2cartoon.errors import UserError
from photo2cartoon.files import cache_folder, sha256_of
from photo2cartoon.layout import CARTOON_GENERATOR
from photo2cartoon.params import Export
from photo2cartoon.progress import note

INTERFACE = 3  # of the graphs: 2 takes portraits of any size, 3 also the strength of the colours


def pretrained_graph(name: str = pretrained.DEFAULT, cache: Path | None = None) -> Path:
    """Return the ONNX graph of a generator that comes with the project, exported unless it is there.

    Args:
        name: one of `pretrained.names`.
        cache: folder that keeps graphs; by default `photo2cartoon` in the user's cache.

    Raises:
        UserError: there is no such generator, or the graph's output differs from torch's.
    """
    target = graph_place(name, cache)
    if not target.is_file():
        from photo2cartoon.export.export import export  # imports torch, which a graph that is there does not need

        note(f"{name}: its graph is made once, half a minute")
        export(Export(), pretrained.FOLDER / name, None, target)
    return target


def graph_place(name: str = pretrained.DEFAULT, cache: Path | None = None) -> Path:
    """Return where the graph of such a generator is or will be. Its file name has the hash of the weights.

    Raises:
        UserError: there is no such generator.
    """
    if name not in pretrained.names():
        raise UserError(
            f"{name}: no model of that name comes with the project; there are {', '.join(pretrained.names())}"
        )
    weights = pretrained.FOLDER / name / CARTOON_GENERATOR
    return (cache or cache_folder()) / f"{name}-{sha256_of(weights)[:16]}-{INTERFACE}.onnx"
