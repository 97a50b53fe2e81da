"""The recipes by the names that `train.recipe` gives them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from photo2cartoon.params import Train
from photo2cartoon.training.distributed import ProcessGroup
from photo2cartoon.training.paired import PairedTrainer
from photo2cartoon.training.restyle import RestyleTrainer
from photo2cartoon.training.trainer import Trainer
from photo2cartoon.training.unpaired import UnpairedTrainer

RECIPES: Mapping[str, Callable[[Train, Path, Path, ProcessGroup], Trainer]] = {
    "unpaired": UnpairedTrainer.from_folder,
    "paired": PairedTrainer.from_folder,
    "restyle": RestyleTrainer.from_folder,
}
