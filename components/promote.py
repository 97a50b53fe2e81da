"""`promote`: the champion into Triton's model repository, when this run has made a new one."""

from kfp.dsl import Input, Model

from components import component


@component()
def gate(params: str, graph: Input[Model], mlflow_uri: str) -> bool:
    """Whether the version that was exported is the one to deploy. Never from the cache: people move aliases.

    Args:
        params: the section `select`.
        graph: the export, which must have passed.
        mlflow_uri: where the registry is; empty for the environment's.

    Returns:
        True where the alias `champion` is at this run's version.
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
    """Deploy what the alias `champion` points at.

    Args:
        params: the section `select`.
        graph: the export, which must have passed.
        mlflow_uri: where the registry is; empty for the environment's.
        repository: the model repository, on a volume that the server reads or in object storage; initialised if empty.
        server: HOST:PORT of a running Triton that shall load it now; empty for none.

    Returns:
        The version in place.
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
