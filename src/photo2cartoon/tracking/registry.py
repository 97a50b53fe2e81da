"""MLflow model registry: versions and their tags."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from photo2cartoon.tracking.client import answering, connect, open_client
from photo2cartoon.tracking.runs import Run

GENERATOR_HASH = "generator_sha256"  # tag of a version, and in the metadata of its graph
EXPORTED_WITH = "exported_with"  # tag of a version: the settings that its graph was exported with
VERSIONS_TAG = "mlflow.modelVersions"
LOGGED = "models:/"  # source of a version that is a logged model
LONGEST_DESCRIPTION = 5000  # what MLflow's database holds
ABOUT_MODEL = (
    "Portrait photograph to cartoon. **The alias `champion` decides what is served**: move it to another version, and"
    " `p2c promote --follow` brings that version to Triton within a minute; without a follower, `p2c promote` does."
)


def register(model: str, logged: str, run: Run, tags: Mapping[str, str], description: str) -> int:
    """Register a logged model as a version of the registered model.

    A generator that is already registered, identified by its hash, keeps its version.

    Args:
        model: name of the registered model.
        logged: id of the logged model, whose files are the version's.
        run: the parent run.
        tags: tags of the version; `GENERATOR_HASH` identifies the generator.
        description: Markdown.

    Returns:
        The version number.

    Raises:
        UserError: MLflow cannot be reached.
    """
    mlflow, client = connect(), open_client()
    with answering():
        with contextlib.suppress(mlflow.MlflowException):
            client.create_registered_model(model, description=ABOUT_MODEL)
        known = find_version(model, GENERATOR_HASH, tags[GENERATOR_HASH])
        if known is not None:
            version = int(known.version)
            set_tags(model, version, tags)
            describe(model, version, description)
            return version
        made = client.create_model_version(
            model,
            f"{LOGGED}{logged}",
            run.run_id,
            tags=dict(tags),
            description=description[:LONGEST_DESCRIPTION],
            model_id=logged,
        )
        # The link from the logged model, as `mlflow.register_model` sets it.
        others = json.loads(client.get_logged_model(logged).tags.get(VERSIONS_TAG, "[]"))
        link = [*others, {"name": model, "version": int(made.version)}]
        client.set_logged_model_tags(logged, {VERSIONS_TAG: json.dumps(link)})
        return int(made.version)


def describe(model: str, version: int, description: str) -> None:
    """Set the description of a version, Markdown.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = open_client()
    with answering():
        client.update_model_version(model, str(version), description[:LONGEST_DESCRIPTION])


def find_version(model: str, tag: str, value: str) -> Any | None:
    """Return the newest version with a tag of this value, or None.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = open_client()
    with answering():
        versions = client.search_model_versions(f"name = '{model}'")
    found = [version for version in versions if version.tags.get(tag) == value]
    return max(found, key=lambda version: int(version.version), default=None)


def get_version(model: str, version: int) -> Any | None:
    """Return a version, or None if there is none of this number.

    Raises:
        UserError: MLflow cannot be reached.
    """
    mlflow, client = connect(), open_client()
    with answering():
        try:
            return client.get_model_version(model, str(version))
        except mlflow.MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise


def read_tags(model: str, version: int) -> dict[str, str]:
    """Return the tags of a version.

    Raises:
        UserError: MLflow cannot be reached, or has no such version.
    """
    client = open_client()
    with answering():
        return dict(client.get_model_version(model, str(version)).tags)


def set_tags(model: str, version: int, tags: Mapping[str, str]) -> None:
    """Add tags to a version.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = open_client()
    with answering():
        for key, value in tags.items():
            client.set_model_version_tag(model, str(version), key, value)


def delete_tag(model: str, version: int, key: str) -> None:
    """Remove a tag of a version, if it has it.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = open_client()
    with answering():
        if key in client.get_model_version(model, str(version)).tags:
            client.delete_model_version_tag(model, str(version), key)


def list_versions(model: str) -> list[Any]:
    """Return all versions of a model with their aliases, newest first; empty if there is no such model.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = open_client()
    with answering():
        found = client.search_model_versions(f"name = '{model}'", max_results=1000)
        # A search returns no aliases.
        aliases = client.get_registered_model(model).aliases if found else {}
    for version in found:
        version.aliases = sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))
    return sorted(found, key=lambda version: -int(version.version))
