"""The generators that come with the project: checkpoints of genA2B alone, named wherever a model or checkpoint is asked for."""

from __future__ import annotations

from pathlib import Path

from photo2cartoon.layout import CARD

FOLDER = Path(__file__).parent
DEFAULT = "full"


def names() -> tuple[str, ...]:
    """The names of all of them."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}")))


def resolve(checkpoint: Path | str) -> Path:
    """The folder of a checkpoint: the path itself, or that of a generator that comes with the project, by its name."""
    path = Path(checkpoint)
    return FOLDER / path if str(checkpoint) in names() and not path.exists() else path
