"""Aliases of the registered model, candidate, champion and previous, and the tags that say which version is served."""

from __future__ import annotations

import shlex
import time
from typing import Any

from photo2cartoon.errors import UserError
from photo2cartoon.tracking import registry
from photo2cartoon.tracking.client import answering, connect, unreachable

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
SERVED_IN = "served_in"  # tag of a version: the model repositories whose newest it is
SERVED_AFTER = "served_after"  # tag of a version: the one that was served before it
REFUSED = "not_served_because"  # tag of a version, and of the registered model
ROLLBACK = "rollback"  # tag of the registered model while it is rolled back: `FROM to BACK at TIME`


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

    Until `mark_served`, a tag of the registered model says from where to where; an interrupted
    rollback continues in the same direction when it is run again.

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
            if left == back and (before := _served_before(model, left)) is not None:
                back = before
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
    return None if champion is None else f"{champion.version} {champion.tags.get(registry.EXPORTED_WITH)}"


def mark_served(model: str, version: int, place: str) -> None:
    """Tag a version with the place that serves it now, and with the version before; the place's tag is removed from the others.

    The alias `previous` points at the version itself after a promotion of a newer one that failed, when the alias `champion`
    was moved back. It then returns to the version before.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = connect().MlflowClient()
    with answering():
        for other in registry.list_versions(model):
            number, places = int(other.version), _places(other.tags.get(SERVED_IN) or "")
            wanted = places | {place} if number == version else places - {place}
            if wanted and wanted != places:
                client.set_model_version_tag(model, other.version, SERVED_IN, shlex.join(sorted(wanted)))
            elif places and not wanted:
                client.delete_model_version_tag(model, other.version, SERVED_IN)
            if REFUSED in other.tags:  # of the version that is served, and of those that are not wanted any more
                client.delete_model_version_tag(model, other.version, REFUSED)
        before = _served_before(model, version)
        if before is not None:
            client.set_model_version_tag(model, str(version), SERVED_AFTER, str(before))
            client.set_registered_model_alias(model, PREVIOUS, str(before))
        for tag in {REFUSED, ROLLBACK} & client.get_registered_model(model).tags.keys():
            client.delete_registered_model_tag(model, tag)


def _served_before(model: str, version: int) -> int | None:
    """Return the version that was served before another one: `previous`, or what its tag says if it is `previous` itself."""
    numbers = {int(each.version): each for each in registry.list_versions(model)}
    before = next((number for number, each in numbers.items() if PREVIOUS in each.aliases), None)
    if before == version:
        before = int(numbers[version].tags.get(SERVED_AFTER, version))
    return before if before in numbers and before != version else None


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
