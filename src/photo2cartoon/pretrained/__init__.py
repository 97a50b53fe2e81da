"""Bundled generators: checkpoints of genA2B alone, each with its graph. Their names work wherever a model or checkpoint is
expected."""

from __future__ import annotations

from pathlib import Path

from photo2cartoon.errors import UserError
from photo2cartoon.layout import CARD, GRAPH

FOLDER = Path(__file__).parent
DEFAULT = "full"


def names() -> tuple[str, ...]:
    """Return the names of the bundled generators."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}")))


def resolve(checkpoint: Path | str) -> Path:
    """Return the folder of a checkpoint: the path itself, or the bundled generator's of that name if the path is none."""
    path = Path(checkpoint)
    return FOLDER / path if str(checkpoint) in names() and not (path / CARD).is_file() else path


def graph(name: str = DEFAULT) -> Path:
    """Return the ONNX graph of a bundled generator; it reads its weights from the checkpoint beside it.

    Raises:
        UserError: there is no such generator.
    """
    if name not in names():
        raise UserError(f"{name}: no model of that name comes with the project; there are {', '.join(names())}")
    return FOLDER / name / GRAPH
