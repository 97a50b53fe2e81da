"""`ingest`: raw photographs and cartoons."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def ingest(params: Input[Artifact], raw: Output[Dataset]):
    """Bring the pictures from their source.

    Args:
        params: resolved parameters.
        raw: photos/, cartoons/ and CARD.md.
    """
    from pathlib import Path

    from photo2cartoon.dataset.ingest import ingest as stage
    from photo2cartoon.params import load

    raw.metadata.update(stage(load(params.path).ingest, Path(raw.path)))
