"""`assets`: third-party weights, verified."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def assets(params: Input[Artifact], weights: Output[Model]):
    """Fetch and verify the weights.

    Args:
        params: resolved parameters.
        weights: the weights folder.
    """
    from pathlib import Path

    from photo2cartoon.assets import collect
    from photo2cartoon.params import load

    folder = load(params.path).assets.folder
    collect(Path(weights.path), Path(folder) if folder else None)
