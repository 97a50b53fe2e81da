"""`select` component: registers the best checkpoint in MLflow and exports it as ONNX, checked against torch."""

from kfp.dsl import Artifact, Dataset, Input, Markdown, Metrics, Model, Output

from components import component


@component()
def select(
    params: dict,
    export: dict,
    champion: str,
    scores: Input[Artifact],
    finalists: Input[Model],
    examples: Input[Dataset],
    mlflow_uri: str,
    graph: Output[Model],
    parity: Output[Metrics],
    summary: Output[Markdown],
):
    """Select the best checkpoint, register its generator in MLflow, and export it; fail if ONNX and torch differ.

    Args:
        params: section `select`.
        export: section `export`.
        champion: parameter of the pipeline.
        scores, finalists: outputs of `evaluate`.
        examples: output of `preprocess`: the portraits on which the graph is compared with torch.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        graph: receives the ONNX graph.
        parity: mean and maximum difference from torch, in levels of 0..255.
        summary: the selection, with its version and run in MLflow, for Kubeflow's page.
    """
    import tempfile
    from dataclasses import asdict
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.page import write_summary
    from photo2cartoon.evaluation.selection import select as choose
    from photo2cartoon.export.export import export as write_graph
    from photo2cartoon.layout import PARITY
    from photo2cartoon.params import Export
    from photo2cartoon.params.arguments import section_of, select_of
    from photo2cartoon.tracking.runs import track_at

    with exit_on_user_error("select"), tempfile.TemporaryDirectory() as folder:
        track_at(mlflow_uri)
        section, selected = select_of(params, champion), Path(folder) / "selected"
        chosen = choose(section, Path(scores.path), Path(finalists.path), selected)
        places = selected, Path(examples.path), Path(graph.path), Path(folder) / PARITY
        report = write_graph(section_of(Export, export), *places)
        parity.log_metric("mean_difference", report.mean_difference)
        parity.log_metric("max_difference", report.max_difference)
        graph.metadata |= asdict(chosen)
        write_summary(chosen, Path(summary.path))
