"""`promote` components: deploy the champion to Triton's model repository if this run produced it."""

from kfp.dsl import Input, Model

from components import component


@component()
def gate(params: str, graph: Input[Model], mlflow_uri: str) -> bool:
    """Check whether the exported version is the champion. Never cached, because people move aliases.

    Args:
        params: section `select`, as JSON.
        graph: output of `export`, which must have succeeded.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.

    Returns:
        True if the alias `champion` points at this run's version.
    """
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.params import Select
    from photo2cartoon.tracking import registry
    from photo2cartoon.tracking.runs import track_at

    with exit_on_user_error("gate"):
        track_at(mlflow_uri)
        model, version = Select.model_validate_json(params).model_name, graph.metadata["version"]
        champion = registry.find_alias(model, registry.CHAMPION)
        passes = champion is not None and int(champion.version) == int(version)
        print(f"{model} version {version}: {'to be promoted' if passes else 'not the champion, stays out of service'}")
        return passes


@component()
def promote(params: str, graph: Input[Model], mlflow_uri: str, repository: str, server: str) -> int:
    """Deploy the version that the alias `champion` points at.

    Args:
        params: section `select`, as JSON.
        graph: output of `export`, which must have succeeded.
        mlflow_uri: MLflow tracking URI; if empty, the environment's MLFLOW_TRACKING_URI.
        repository: Triton's model repository, on a volume that Triton reads or in object storage; initialised if empty.
        server: HOST:PORT of a running Triton that should load the version immediately; empty for none.

    Returns:
        The promoted version.
    """
    from photo2cartoon.errors import exit_on_user_error
    from photo2cartoon.layout import MODEL_REPOSITORY
    from photo2cartoon.params import Select
    from photo2cartoon.serving.repository import init_repository
    from photo2cartoon.serving.repository import promote as stage
    from photo2cartoon.tracking.runs import track_at

    with exit_on_user_error("promote"):
        track_at(mlflow_uri)
        init_repository(repository, MODEL_REPOSITORY)
        return stage(repository, Select.model_validate_json(params), server or None)
