"""Aliases of the registered model, candidate, champion and previous, and the tags that say which version is served."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any, NamedTuple

from photo2cartoon.errors import UserError
from photo2cartoon.tracking import registry
from photo2cartoon.tracking.client import answering, connect, open_client

CANDIDATE, CHAMPION, PREVIOUS = "candidate", "champion", "previous"
SERVED_IN = "served_in"  # tag of a version: the model repositories whose newest it is
REFUSED = "not_served_because"  # tag of a version, and of the registered model
ROLLBACK = "rollback"  # tag of the registered model while a place is rolled back: JSON of `Rollback`


class Rollback(NamedTuple):
    """A rollback that has not ended.

    Args:
        start: the champion before; None if there was none.
        back: the version that it goes back to.
        place: what serves.
        since: Unix time at which it began.
    """

    start: int | None
    back: int
    place: str
    since: int


def find_alias(model: str, alias: str) -> Any | None:
    """Return the version that an alias points at, or None.

    Raises:
        UserError: MLflow cannot be reached.
    """
    mlflow, client = connect(), open_client()
    with answering():
        try:
            return client.get_model_version_by_alias(model, alias)
        except mlflow.MlflowException as error:
            # MLflow reports the first for a missing model and the second for a missing alias.
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise


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


def begin_rollback(model: str, place: str) -> int:
    """Move `champion` to the version that a place goes back to, and return it.

    If the champion is not what the place serves, it is the version that it serves; else it is `previous`. Until `mark_served`,
    a tag of the registered model records it: an interrupted rollback continues to the same version when it is run again.

    Args:
        model: name of the registered model.
        place: what serves, as for `mark_served`.

    Raises:
        UserError: there is no version to go back to, or MLflow cannot be reached.
    """
    client, champion, previous = open_client(), champion_version(model), find_alias(model, PREVIOUS)
    begun, served = _rollback(model), _served_in(model, place)
    if begun and begun.place == place and champion in (begun.start, begun.back):
        start, back = begun.start, begun.back
    elif served and served[0] != champion:
        start, back = champion, served[0]
    elif previous is None:
        raise UserError(f"MLflow's model '{model}' has no version with the alias 'previous' to go back to")
    else:
        start, back = champion, int(previous.version)
    if start == back:
        raise UserError(
            f"version {back} of MLflow's model '{model}' is champion and previous at once, so there is nothing to go back"
            " to: set one of the aliases on MLflow's page (`make mlflow`)"
        )
    with answering():
        tag = json.dumps(Rollback(start, back, place, int(time.time()))._asdict())
        client.set_registered_model_tag(model, ROLLBACK, tag)
    set_alias(model, CHAMPION, back)
    return back


def is_rolled_back_to(model: str, version: int, place: str, seconds: float) -> bool:
    """Return whether a rollback of a place to this version began within the last seconds and has not ended.

    Raises:
        UserError: MLflow cannot be reached.
    """
    begun = _rollback(model)
    return begun is not None and (begun.back, begun.place) == (version, place) and time.time() - begun.since < seconds


def _rollback(model: str) -> Rollback | None:
    client = open_client()
    with answering():
        tag = client.get_registered_model(model).tags.get(ROLLBACK)
    try:
        return Rollback(**json.loads(tag)) if tag else None
    except (ValueError, TypeError):
        return None  # somebody else's


def _served_in(model: str, place: str) -> list[int]:
    """Return the versions that have a place's tag, the newest first: one, or two if `mark_served` was interrupted."""
    found = registry.list_versions(model)
    return [int(each.version) for each in found if place in _places(each.tags.get(SERVED_IN) or "")]


def champion_state(model: str) -> str | None:
    """Return a text that changes when the alias `champion` is moved, or when its version gets another graph.

    Raises:
        UserError: MLflow cannot be reached.
    """
    champion = find_alias(model, CHAMPION)
    return None if champion is None else f"{champion.version} {champion.tags.get(registry.EXPORTED_WITH)}"


def mark_served(model: str, version: int, place: str, before: int | None = None) -> None:
    """Tag a version with the place that serves it now; the version that the place served before becomes `previous`.

    `previous` is set here alone, so a version that was refused is never the way back.

    Args:
        model: name of the registered model.
        version: is served now.
        place: the model repository, or the InferenceService.
        before: version that the place served before, if no tag says so.

    Raises:
        UserError: MLflow cannot be reached.
    """
    client = open_client()
    former = next((number for number in _served_in(model, place) if number != version), before)
    if former not in (None, version) and registry.get_version(model, former):
        set_alias(model, PREVIOUS, former)
    begun = _rollback(model)
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
        ended = {REFUSED, ROLLBACK} if begun is None or begun.place == place else {REFUSED}
        for tag in ended & client.get_registered_model(model).tags.keys():
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
    client = open_client()
    with answering():
        client.set_model_version_tag(model, str(version), REFUSED, reason)
        client.set_registered_model_tag(model, REFUSED, f"version {version}: {reason}")


def set_alias(model: str, alias: str, version: int) -> None:
    """Point an alias at a version.

    Raises:
        UserError: MLflow cannot be reached, or has no such version.
    """
    client = open_client()
    with answering():
        client.set_registered_model_alias(model, alias, str(version))


def set_champion(model: str, version: int) -> None:
    """Make a version the champion: the one that is to be served."""
    set_alias(model, CHAMPION, version)
