"""`promote`: the champion into Triton's model repository."""

from kfp import dsl
from kfp.dsl import Artifact, Input, Model

from components import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def promote(params: Input[Artifact], graph: Input[Model], mlflow_uri: str, repository: str, server: str) -> int:
    """Deploy what the alias `champion` points at.

    Args:
        params: resolved parameters.
        graph: the export, which must have passed.
        mlflow_uri: where the registry is; empty for the environment's.
        repository: the model repository, on a volume that the server reads.
        server: HOST:PORT of a running Triton that shall load it now; empty for none.

    Returns:
        The version in place.
    """
    import os
    from pathlib import Path

    from photo2cartoon.params import load
    from photo2cartoon.serving.repository import promote as stage

    if mlflow_uri:
        os.environ["MLFLOW_TRACKING_URI"] = mlflow_uri
    return stage(Path(repository), load(params.path).select, server or None)
