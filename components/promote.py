"""`promote` component: deploys the champion to Triton's model repository if this run produced it."""

from kfp.dsl import Input, Model

from components import component


@component()
def promote(params: dict, champion: str, graph: Input[Model], mlflow_uri: str, repository: str, server: str) -> str:
    """Deploy the exported version if the alias `champion` points at it. Never cached, because people move aliases.

    Args:
        params: section `select`.
        champion: parameter of the pipeline.
        graph: output of `select`; its metadata names the version.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        repository: Triton's model repository, on a volume that Triton reads or in object storage; initialised if empty.
        server: HOST:PORT of a running Triton that should load the version immediately; empty for none.

    Returns:
        What happened.
    """
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.layout import MODEL_REPOSITORY
    from photo2cartoon.params.arguments import select_of
    from photo2cartoon.serving.repository import init_repository, is_champion
    from photo2cartoon.serving.repository import promote as stage
    from photo2cartoon.tracking.runs import track_at

    with exit_on_user_error("promote"):
        track_at(mlflow_uri)
        section, version = select_of(params, champion), int(graph.metadata["version"])
        if is_champion(section, version):
            init_repository(repository, MODEL_REPOSITORY)
            outcome = f"version {stage(repository, section, server or None)} promoted"
        else:
            outcome = f"version {version} is not the champion and stays out of service"
        print(f"{section.model_name}: {outcome}")
        return outcome
