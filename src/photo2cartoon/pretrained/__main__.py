"""Make a trained checkpoint one of the models that come with the project.

    python -m photo2cartoon.pretrained CHECKPOINT NAME

The averaged generator alone, in half precision: a quarter of a thousandth of rounding for half of the size.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from photo2cartoon.files import whole_folder
from photo2cartoon.pretrained import FOLDER
from photo2cartoon.training import checkpoint


def adopt(source: Path, target: Path) -> None:
    """Write genA2B's average to `target`, a checkpoint that is enough to draw and to start from."""
    card = checkpoint.read_card(source)
    train = card.train.model_copy(update={"start_from": None})
    with whole_folder(target, checkpoint.CARD) as partial:
        checkpoint.write_networks(partial, train, {"genA2B": checkpoint.load_generator(source).half()}, card.step)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("name")
    given = parser.parse_args()
    adopt(given.checkpoint, FOLDER / given.name)
