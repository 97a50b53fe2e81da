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
    from photo2cartoon.params import load

    values, pictures = load(params.path), Path(raw.path)
    folders = pictures / "photos", pictures / "cartoons"
    rows = stage(*folders, Path(weights.path), Path(faces.path), values.portrait, values.preprocess)
    faces.metadata.update(Counter(row.result for row in rows))
