"""`promote` component: registers the best checkpoint, exports it as ONNX, and deploys it if it is the champion."""

from kfp.dsl import HTML, Artifact, Dataset, Input, Markdown, Metrics, Model, Output

from components import component


@component()
def promote(
    params: dict,
    export: dict,
    portrait: dict,
    promotion: str,
    scores: Input[Artifact],
    finalists: Input[Model],
    examples: Input[Dataset],
    weights: Input[Model],
    mlflow_uri: str,
    repository: str,
    server: str,
    graph: Output[Model],
    parity: Output[Metrics],
    summary: Output[Markdown],
    report: Output[HTML],
) -> str:
    """Select the best checkpoint, register it in MLflow, export it, and deploy it if the alias `champion` points at it.

    Never cached, because people move aliases. What an earlier run did for the same checkpoint is not done again: the
    version stays, its aliases stay, and its graph comes from MLflow.

    Args:
        params: section `select`.
        export: section `export`.
        portrait: section `portrait`, with which the version in MLflow makes portraits.
        promotion: parameter of the pipeline.
        scores, finalists: outputs of `evaluate`.
        examples: output of `preprocess`: the portraits on which the graph is compared with torch.
        weights: output `packed` of `assets`.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        repository: Triton's model repository, on a volume that Triton reads or in object storage; initialised if empty.
        server: HOST:PORT of a running Triton that should load the version immediately; empty for none.
        graph: receives the ONNX graph.
        parity: mean and maximum difference from torch, in levels of 0..255.
        summary: the selection, with its version and run in MLflow, for Kubeflow's page.
        report: the choice and its reason, scores, groups and pictures, for Kubeflow's page.

    Returns:
        What happened.
    """
    import tempfile
    from dataclasses import asdict
    from pathlib import Path

    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.evaluation.report import write_report, write_summary
    from photo2cartoon.evaluation.selection import find_selection
    from photo2cartoon.export.registered import fetch_graph
    from photo2cartoon.layout import MODEL_REPOSITORY, PARITY
    from photo2cartoon.params import Export, PortraitParams
    from photo2cartoon.params.arguments import section_of, select_of
    from photo2cartoon.serving.repository import init_repository
    from photo2cartoon.serving.repository import promote as stage
    from photo2cartoon.tracking.client import track_at

    with exit_on_user_error("promote"), tempfile.TemporaryDirectory() as folder:
        track_at(mlflow_uri)
        section, exporting = select_of(params, promotion), section_of(Export, export)
        given = section, Path(scores.path), Path(finalists.path)
        chosen = find_selection(*given)
        compared = chosen and fetch_graph(exporting, chosen.model, chosen.version, Path(graph.path))
        if not compared:
            # Imported only here, because torch takes seconds and most runs on a schedule do not need it.
            from photo2cartoon.evaluation.selection import select
            from photo2cartoon.export.export import export as write_graph

            selected = Path(folder) / "selected"
            chosen = select(*given, selected)
            places = selected, Path(examples.path), Path(graph.path), Path(folder) / PARITY
            making = section_of(PortraitParams, portrait), Path(weights.path)
            compared = asdict(write_graph(exporting, *places, None, *making))
        for name in ("mean_difference", "max_difference"):
            parity.log_metric(name, compared[name])
        graph.metadata |= asdict(chosen)
        if chosen.champion:
            init_repository(repository, MODEL_REPOSITORY)
            outcome = f"version {stage(repository, section, server or None)} promoted"
        else:
            outcome = f"version {chosen.version} is not the champion and stays out of service"
        write_summary(asdict(chosen), Path(summary.path), outcome)
        write_report(Path(scores.path), Path(report.path), None, asdict(chosen))
        print(f"{section.model_name}: {outcome}")
        return outcome
