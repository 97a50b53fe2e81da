"""MLflow model registry: versions, their tags, and the aliases candidate, champion and previous."""

from __future__ import annotations

import contextlib
import json
import shlex
import time
from collections.abc import Mapping
from typing import Any

from photo2cartoon.errors import UserError
from photo2cartoon.tracking.client import answering, connect, unreachable
from photo2cartoon.tracking.runs import Run

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
GENERATOR_HASH = "generator_sha256"  # tag of a version, and in the metadata of its graph
EXPORTED_WITH = "exported_with"  # tag of a version: the settings that its graph was exported with
SERVED_IN = "served_in"  # tag of a version: the model repositories whose newest it is
REFUSED = "not_served_because"  # tag of a version, and of the registered model
ROLLBACK = "rollback"  # tag of the registered model while it is rolled back: `FROM to BACK at TIME`
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
    mlflow = connect()
    client = mlflow.MlflowClient()
    try:
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
    except mlflow.MlflowException as error:
        raise unreachable(error) from None


def describe(model: str, version: int, description: str) -> None:
    """Set the description of a version, Markdown.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        client.update_model_version(model, str(version), description[:LONGEST_DESCRIPTION])


def find_version(model: str, tag: str, value: str) -> Any | None:
    """Return the newest version with a tag of this value, or None.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        versions = client.search_model_versions(f"name = '{model}'")
    found = [version for version in versions if version.tags.get(tag) == value]
    return max(found, key=lambda version: int(version.version), default=None)


def get_version(model: str, version: int) -> Any | None:
    """Return a version, or None if there is none of this number.

    Raises:
        UserError: MLflow cannot be reached.
    """
    mlflow = connect()
    try:
        return mlflow.MlflowClient().get_model_version(model, str(version))
    except mlflow.MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise unreachable(error) from None


def read_tags(model: str, version: int) -> dict[str, str]:
    """Return the tags of a version.

    Raises:
        UserError: MLflow cannot be reached, or has no such version.
    """
    client = connect().MlflowClient()
    with answering():
        return dict(client.get_model_version(model, str(version)).tags)


def set_tags(model: str, version: int, tags: Mapping[str, str]) -> None:
    """Add tags to a version.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        for key, value in tags.items():
            client.set_model_version_tag(model, str(version), key, value)


def delete_tag(model: str, version: int, key: str) -> None:
    """Remove a tag of a version, if it has it.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        if key in client.get_model_version(model, str(version)).tags:
            client.delete_model_version_tag(model, str(version), key)


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


def champion_version(model: str) -> int | None:
    """Return the version that the alias `champion` points at, or None.

    Raises:
        UserError: MLflow cannot be reached.
    """
    champion = find_alias(model, CHAMPION)
    return None if champion is None else int(champion.version)


def require_champion(model: str) -> int:
    """Return the version that the alias `champion` points at.

    Raises:
        UserError: there is none, or MLflow cannot be reached.
    """
    version = champion_version(model)
    if version is None:
        raise UserError(
            f"MLflow's model '{model}' has no version with the alias 'champion': `dvc repro` makes one (for a model that"
            " came with `dvc pull`: `dvc repro --force --single-item select`), or set the alias in MLflow's page (`make"
            " mlflow`)"
        )
    return version


def swap_with_previous(model: str) -> int:
    """Make the version with the alias `previous` the champion, and return it.

    Until `mark_served`, a tag of the registered model says from where to where; a rollback that was interrupted goes the same
    way when it is run again, instead of forth and back.

    Raises:
        UserError: there is none, or MLflow cannot be reached.
    """
    client, champion, previous = connect().MlflowClient(), champion_version(model), find_alias(model, PREVIOUS)
    if previous is None:
        raise UserError(f"MLflow's model '{model}' has no version with the alias 'previous' to go back to")
    with answering():
        begun = client.get_registered_model(model).tags.get(ROLLBACK, "").partition(" at ")[0]
        if champion is not None and str(champion) in begun.split(" to "):
            start, end = begun.split(" to ")
            left, back = None if start == "None" else int(start), int(end)
        else:
            left, back = champion, int(previous.version)
        if left == back:
            raise UserError(
                f"version {back} of MLflow's model '{model}' is champion and previous at once, so there is nothing to go back"
                " to: set one of the aliases on MLflow's page (`make mlflow`)"
            )
        client.set_registered_model_tag(model, ROLLBACK, f"{left} to {back} at {int(time.time())}")
    if left is not None:
        set_alias(model, PREVIOUS, left)
    set_alias(model, CHAMPION, back)
    return back


def is_rolled_back_to(model: str, version: int, seconds: float) -> bool:
    """Return whether a rollback to this version began within the last seconds and has not ended.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        way, _, since = client.get_registered_model(model).tags.get(ROLLBACK, "").partition(" at ")
    return way.endswith(f" to {version}") and time.time() - float(since or 0) < seconds


def champion_state(model: str) -> str | None:
    """Return a text that changes when the alias `champion` is moved, or when its version gets another graph.

    Raises:
        UserError: MLflow cannot be reached.
    """
    champion = find_alias(model, CHAMPION)
    return None if champion is None else f"{champion.version} {champion.tags.get(EXPORTED_WITH)}"


def list_versions(model: str) -> list[Any]:
    """Return all versions of a model with their aliases, newest first; empty if there is no such model.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        found = client.search_model_versions(f"name = '{model}'", max_results=1000)
        # A search returns no aliases.
        aliases = client.get_registered_model(model).aliases if found else {}
    for version in found:
        version.aliases = sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))
    return sorted(found, key=lambda version: -int(version.version))


def mark_served(model: str, version: int, place: str) -> None:
    """Tag a version with the place that serves it now; the tag is removed from the version before.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        for other in list_versions(model):
            number, places = int(other.version), _places(other.tags.get(SERVED_IN) or "")
            wanted = places | {place} if number == version else places - {place}
            if wanted and wanted != places:
                client.set_model_version_tag(model, other.version, SERVED_IN, shlex.join(sorted(wanted)))
            elif places and not wanted:
                client.delete_model_version_tag(model, other.version, SERVED_IN)
            if REFUSED in other.tags:  # of the version that is served, and of those that are not wanted any more
                client.delete_model_version_tag(model, other.version, REFUSED)
        for tag in {REFUSED, ROLLBACK} & client.get_registered_model(model).tags.keys():
            client.delete_registered_model_tag(model, tag)


def _places(tag: str) -> set[str]:
    try:
        return set(shlex.split(tag))
    except ValueError:  # of an earlier release, which did not quote
        return set(tag.split())


def mark_refused(model: str, version: int, reason: str) -> None:
    """Tag a version with the reason why it is not served, and the registered model with both.

    MLflow's aliases have no tags of their own.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        client.set_model_version_tag(model, str(version), REFUSED, reason)
        client.set_registered_model_tag(model, REFUSED, f"version {version}: {reason}")


def set_alias(model: str, alias: str, version: int) -> None:
    """Point an alias at a version.

    Raises:
        UserError: MLflow cannot be reached, or has no such version.
    """
    client = connect().MlflowClient()
    with answering():
        client.set_registered_model_alias(model, alias, str(version))


def set_champion(model: str, version: int) -> None:
    """Make a version the champion; the former champion becomes `previous`."""
    before = find_alias(model, CHAMPION)
    if before is not None and int(before.version) != version:
        set_alias(model, PREVIOUS, int(before.version))
    set_alias(model, CHAMPION, version)
