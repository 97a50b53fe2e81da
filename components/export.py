"""`export`: the chosen generator as ONNX, compared with torch."""

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input, Metrics, Model, Output

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def export(
    params: Input[Artifact],
    selected: Input[Model],
    faces: Input[Dataset],
    mlflow_uri: str,
    graph: Output[Model],
    parity: Output[Metrics],
):
    """Write the graph, or fail when it draws something else.

    Args:
        params: resolved parameters.
        selected: the chosen checkpoint.
        faces: the dataset, whose portraits are compared on.
        mlflow_uri: where the version is registered; empty for the environment's.
        graph: generator.onnx.
        parity: how far it is from torch, in levels of 255.
    """
    import os
    from pathlib import Path

    from photo2cartoon.export.export import export as stage
    from photo2cartoon.params import load

    if mlflow_uri:
        os.environ["MLFLOW_TRACKING_URI"] = mlflow_uri
    report = stage(
        load(params.path).export, Path(selected.path), Path(faces.path), Path(graph.path), Path(f"{graph.path}.json")
    )
    parity.log_metric("mean_difference", report.mean_difference)
    parity.log_metric("max_difference", report.max_difference)
