"""`export` component: writes the selected generator as ONNX and compares it with torch."""

from kfp.dsl import Dataset, Input, Metrics, Model, Output

from components import component


@component()
def export(
    params: str,
    selected: Input[Model],
    faces: Input[Dataset],
    mlflow_uri: str,
    graph: Output[Model],
    parity: Output[Metrics],
):
    """Export the selected generator as ONNX; fail if its output differs from torch's.

    Args:
        params: section `export`, as JSON.
        selected: the selected checkpoint, output of `select`.
        faces: dataset whose portraits are used for the comparison.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        graph: receives the ONNX graph.
        parity: mean and maximum difference from torch, in levels of 0..255.
    """
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.export.export import export as stage
    from photo2cartoon.params import Export
    from photo2cartoon.tracking.runs import track_at

    with exit_on_user_error("export"):
        track_at(mlflow_uri)
        places = Path(selected.path), Path(faces.path), Path(graph.path), Path(f"{graph.path}.json")
        report = stage(Export.model_validate_json(params), *places)
        parity.log_metric("mean_difference", report.mean_difference)
        parity.log_metric("max_difference", report.max_difference)
        graph.metadata |= {name: selected.metadata[name] for name in ("model", "version", "mlflow_run")}
