"""`preprocess`: raw pictures to aligned, cut-out portraits."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def preprocess(params: Input[Artifact], raw: Input[Dataset], weights: Input[Model], faces: Output[Dataset]):
    """Make the dataset.

    Args:
        params: resolved parameters.
        raw: raw pictures.
        weights: the weights folder.
        faces: trainA, trainB, testA, testB and pictures.csv.
    """
    from collections import Counter
    from pathlib import Path

    from photo2cartoon.dataset.preprocess import preprocess as stage
    from photo2cartoon.dataset.preprocess import raw_folders
    from photo2cartoon.params import load

    values, (photos, cartoons, drawings) = load(params.path), raw_folders(Path(raw.path))
    places = photos, cartoons, Path(weights.path), Path(faces.path)
    rows = stage(*places, values.portrait, values.preprocess, drawings)
    faces.metadata.update(Counter(row.result for row in rows))
