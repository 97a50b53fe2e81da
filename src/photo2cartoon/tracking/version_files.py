"""Files of a version in MLflow's registry: the exported graph and its report."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from photo2cartoon.errors import UserError, first_line
from photo2cartoon.layout import GRAPH, REGISTERED_GRAPH
from photo2cartoon.tracking import registry
from photo2cartoon.tracking.client import answering, connect, open_client


def add_files(model: str, version: int, folder: Path, tags: Mapping[str, str]) -> None:
    """Add the files of a folder, and tags, to a version: the exported graph and its report.

    Raises:
        UserError: MLflow cannot be reached, or has no such version.
    """
    client = open_client()
    with answering():
        found = client.get_model_version(model, str(version))
        if found.source.startswith(registry.LOGGED):
            client.log_model_artifacts(found.source.removeprefix(registry.LOGGED), str(folder))
        else:  # registered by an earlier release, among the files of a run
            client.log_artifacts(found.run_id, str(folder), found.source.split("/artifacts/", 1)[1])
    registry.set_tags(model, version, tags)


def download(model: str, version: int, name: str, folder: Path) -> Path:
    """Download a file of a version.

    Raises:
        UserError: the version has no such file, or MLflow cannot be reached.
    """
    mlflow = connect()
    client = open_client()
    try:
        place = client.get_model_version(model, str(version)).source
        if place.startswith(registry.LOGGED):
            place = client.get_logged_model(place.removeprefix(registry.LOGGED)).artifact_location
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{place}/{name}", dst_path=str(folder)))
    except (mlflow.MlflowException, OSError) as error:
        first = first_line(error)
        raise UserError(
            f"{model} version {version} has no {name} in MLflow ({first}); `p2c export --version {version}` puts it there"
        ) from None


def download_graph(model: str, version: int, folder: Path) -> Path:
    """Download the graph of a version.

    Raises:
        UserError: the version was never exported, or MLflow cannot be reached.
    """
    try:
        return download(model, version, REGISTERED_GRAPH, folder)
    except UserError as error:
        with contextlib.suppress(UserError):
            return download(model, version, GRAPH, folder)  # where the previous release put it
        raise error from None
