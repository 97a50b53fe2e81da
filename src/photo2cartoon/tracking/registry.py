"""MLflow model registry: versions, their files, and the aliases candidate, champion and previous."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError
from photo2cartoon.tracking.runs import Run, connect, unreachable

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"


def register(model: str, folder: Path, run: Run, place: str, tags: Mapping[str, str]) -> int:
    """Log a folder to a run and register it as a version of the model.

    A generator that is already registered, identified by its hash, keeps its version.

    Args:
        model: name of the registered model.
        folder: files of the version.
        run: the run that produced them.
        place: folder for them among the run's artifacts.
        tags: tags of the version; `generator_sha256` identifies the generator.

    Returns:
        The version number.
    """
    mlflow = connect()
    client = mlflow.MlflowClient()
    try:
        with contextlib.suppress(mlflow.MlflowException):
            client.create_registered_model(model)
        known = find_version(model, "generator_sha256", tags["generator_sha256"])
        if known is not None:
            set_tags(model, int(known.version), tags)
            return int(known.version)
        run.files(folder, place)
        source = f"{client.get_run(run.run_id).info.artifact_uri}/{place}"
        return int(client.create_model_version(model, source, run.run_id, tags=dict(tags)).version)
    except mlflow.MlflowException as error:
        raise unreachable(error) from None


def find_version(model: str, tag: str, value: str) -> Any | None:
    """Return the newest version with a tag of this value, or None.

    Raises:
        UserError: MLflow cannot be reached.
    """
    mlflow = connect()
    try:
        versions = mlflow.MlflowClient().search_model_versions(f"name = '{model}'")
    except mlflow.MlflowException as error:
        raise unreachable(error) from None
    found = [version for version in versions if version.tags.get(tag) == value]
    return max(found, key=lambda version: int(version.version), default=None)


def read_tags(model: str, version: int) -> dict[str, str]:
    """Return the tags of a version."""
    return dict(connect().MlflowClient().get_model_version(model, str(version)).tags)


def set_tags(model: str, version: int, tags: Mapping[str, str]) -> None:
    """Add tags to a version."""
    client = connect().MlflowClient()
    for key, value in tags.items():
        client.set_model_version_tag(model, str(version), key, value)


def add_files(model: str, version: int, files: Mapping[str, Path], tags: Mapping[str, str]) -> None:
    """Add tags and files, keyed by their names there, to a version: the exported graph and its report."""
    client = connect().MlflowClient()
    found = client.get_model_version(model, str(version))
    run = Run(client, found.run_id)
    place = found.source.split("/artifacts/", 1)[1]
    with tempfile.TemporaryDirectory() as temporary:
        for name, path in files.items():
            shutil.copyfile(path, Path(temporary) / name)
        run.files(Path(temporary), place)
    set_tags(model, version, tags)


def find_alias(model: str, alias: str) -> Any | None:
    """Return the version that an alias points at, or None.

    Raises:
        UserError: MLflow cannot be reached.
    """
    mlflow = connect()
    try:
        return mlflow.MlflowClient().get_model_version_by_alias(model, alias)
    except mlflow.MlflowException as error:
        # MLflow reports the first for a missing model and the second for a missing alias.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise unreachable(error) from None


def is_champion(model: str, version: int) -> bool:
    """Return whether the alias `champion` points at a version.

    Raises:
        UserError: MLflow cannot be reached.
    """
    champion = find_alias(model, CHAMPION)
    return champion is not None and int(champion.version) == version


def set_alias(model: str, alias: str, version: int) -> None:
    """Point an alias at a version."""
    connect().MlflowClient().set_registered_model_alias(model, alias, str(version))


def set_champion(model: str, version: int) -> None:
    """Make a version the champion; the former champion becomes `previous`."""
    before = find_alias(model, CHAMPION)
    if before is not None and int(before.version) != version:
        set_alias(model, PREVIOUS, int(before.version))
    set_alias(model, CHAMPION, version)


def download(model: str, version: int, name: str, folder: Path) -> Path:
    """Download a file of a version.

    Raises:
        UserError: the version has no such file, or MLflow cannot be reached.
    """
    mlflow = connect()
    found = mlflow.MlflowClient().get_model_version(model, str(version))
    try:
        return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{found.source}/{name}", dst_path=str(folder)))
    except (mlflow.MlflowException, OSError) as error:
        first = str(error).strip().splitlines()[0]
        raise UserError(
            f"{model} version {version} has no {name} in MLflow ({first}); `p2c export` puts it there"
        ) from None
