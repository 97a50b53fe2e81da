"""The generators that come with the project: checkpoints of genA2B alone, named wherever a model or checkpoint is asked for.

Their graphs are made when they are first needed, and kept in the user's cache under the weights' hash.
"""

from __future__ import annotations

import os
from pathlib import Path

from photo2cartoon.assets import sha256_of
from photo2cartoon.errors import UserError
from photo2cartoon.layout import CARD, CARTOON_GENERATOR
from photo2cartoon.params import Export
from photo2cartoon.progress import note

FOLDER = Path(__file__).parent
DEFAULT = "full"


def names() -> tuple[str, ...]:
    """What there is."""
    return tuple(sorted(path.parent.name for path in FOLDER.glob(f"*/{CARD}")))


def resolve(checkpoint: Path | str) -> Path:
    """The folder of a checkpoint: the path itself, or that of a generator that comes with the project, by its name."""
    path = Path(checkpoint)
    return FOLDER / path if str(checkpoint) in names() and not path.exists() else path


def graph(name: str = DEFAULT, cache: Path | None = None) -> Path:
    """The ONNX graph of a generator that comes with the project.

    Args:
        name: one of `names`.
        cache: where graphs are kept; `photo2cartoon` in the user's cache by default.

    Raises:
        UserError: there is no such generator, or the graph draws something else than torch.
    """
    if name not in names():
        raise UserError(f"{name}: no model of that name comes with the project; there are {', '.join(names())}")
    folder = cache or cache_folder()
    target = folder / f"{name}-{sha256_of(FOLDER / name / CARTOON_GENERATOR)[:16]}.onnx"
    if not target.is_file():
        from photo2cartoon.export.export import export

        note(f"{name}: its graph is made once, half a minute")
        export(Export(), FOLDER / name, None, target)
    return target


def cache_folder() -> Path:
    """`photo2cartoon` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photo2cartoon"
