"""Make a trained checkpoint one of the models that come with the project.

    python -m photo2cartoon.export.adopt CHECKPOINT NAME_OR_FOLDER [--blend CHECKPOINT --share 0.4]

Only the averaged generator is kept, in half precision: half the size, for rounding of a quarter of a thousandth. A model of
the package gets its graph, too. Blending it with the checkpoint that its training started from keeps more of what that
checkpoint could do (weight-space ensembles, Wortsman et al., 2022).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from photo2cartoon import checkpoint
from photo2cartoon.atomic import atomic_dir
from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.export.bundle import write_graph
from photo2cartoon.layout import CARD
from photo2cartoon.pretrained import FOLDER


def adopt(source: Path, target: Path, blend: Path | None = None, share: float = 0.0) -> None:
    """Write the averaged genA2B to `target`, a checkpoint sufficient for inference and for starting training.

    Args:
        source: a checkpoint.
        target: replaced as a whole.
        blend: another checkpoint of the same network, whose weights are mixed in.
        share: share of the blended checkpoint, 0..1.

    Raises:
        UserError: the two checkpoints are of different networks.
    """
    card = checkpoint.read_card(source)
    train = card.train.model_copy(update={"start_from": None})
    generator = checkpoint.load_generator(source)
    if blend is not None:
        mine, other = generator.state_dict(), checkpoint.load_generator(blend).state_dict()
        if {name: value.shape for name, value in mine.items()} != {name: value.shape for name, value in other.items()}:
            raise UserError(f"{blend}: is another network than {source}, they cannot be blended")
        generator.load_state_dict({name: value.lerp(other[name], share) for name, value in mine.items()})
    with atomic_dir(target, CARD) as partial:
        checkpoint.write_networks(partial, train, {"genA2B": generator.half()}, card.step)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("target", help="name of the model in the package, or a folder with a slash in its path")
    parser.add_argument("--blend", type=Path, help="a checkpoint of the same network")
    parser.add_argument("--share", type=float, default=0.4, help="of the other one, 0..1")
    given = parser.parse_args()
    with exit_on_user_error("adopt"):
        target = Path(given.target) if "/" in given.target else FOLDER / given.target
        adopt(given.checkpoint, target, given.blend, given.share)
        if target.parent == FOLDER:
            write_graph(target)
