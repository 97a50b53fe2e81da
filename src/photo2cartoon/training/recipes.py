"""The recipes by the names that `train.recipe` gives them."""

from __future__ import annotations

from photo2cartoon.training.paired import PairedTrainer
from photo2cartoon.training.restyle import RestyleTrainer
from photo2cartoon.training.unpaired import UnpairedTrainer

RECIPES = {
    "unpaired": UnpairedTrainer.from_folder,
    "paired": PairedTrainer.from_folder,
    "restyle": RestyleTrainer.from_folder,
}
