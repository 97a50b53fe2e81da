"""Promotes a version to an InferenceService: a canary gets a share of the calls for a while, then all of them or none."""

from __future__ import annotations

import contextlib
import math
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from photo2cartoon.errors import UserError
from photo2cartoon.files import sha256_of
from photo2cartoon.params import Params
from photo2cartoon.progress import note
from photo2cartoon.rollout.inference_service import InferenceService
from photo2cartoon.rollout.numbers import Prometheus
from photo2cartoon.rollout.verdict import Verdict, decide, early
from photo2cartoon.serving.champion_follower import FinalError
from photo2cartoon.serving.repository import prepare
from photo2cartoon.serving.storage import storage_at
from photo2cartoon.tracking import aliases, registry

ROLLOUT = "rollout"  # tag of a version: what became of its canary, with the numbers
ROLLED_BACK = "rolled_back_from"  # tag of a version: the InferenceService that it was rolled back from
CHECK_SECONDS = 15.0
ROLLBACK_SECONDS = 900.0  # for which a follower leaves a rollback to whoever began it
_PREDICTOR = re.compile(r"v(\d+)-[0-9a-f]{8}")


class RolledBackError(FinalError):
    """The canary did not hold; the stable version has all calls again."""


class MovedError(UserError):
    """The alias `champion` was moved to another version meanwhile."""


def promote(
    target: InferenceService,
    repository: str,
    params: Params,
    percent: int | None = None,
    window: float = 600.0,
    prometheus: str | None = None,
    again: bool = True,
) -> int:
    """Bring the version that `champion` points at to an InferenceService, without losing a call.

    Args:
        target: the InferenceService.
        repository: object storage URL; version 7 is written to `REPOSITORY/7-HASH`, and never changed.
        params: sections `select` and `rollout`.
        percent: share of the calls that the canary gets during the window; None starts it without calls and gives it all
            when its pods are ready.
        window: seconds for which a canary is observed.
        prometheus: address of the Prometheus that scrapes the servers; needed for a canary.
        again: whether a person asks: a version that was rolled back from this InferenceService is tried again, and a
            rollback that has started continues. A follower leaves both alone.

    Returns:
        The version, which has all calls.

    Raises:
        RolledBackError: the canary did not hold, or was rolled back before and `again` is false.
        MovedError: the alias was moved before the version had all calls.
        UserError: there is no champion, its graph draws nothing, or storage, cluster, Prometheus or MLflow do not answer.
            The stable version keeps its calls.
    """
    model = params.select.model_name
    version = aliases.require_champion(model)
    tags = registry.read_tags(model, version)
    refused_by = {*tags.get(ROLLED_BACK, "").split()}  # InferenceServices
    if not again and str(target) in refused_by:
        raise RolledBackError(f"version {version} was {tags.get(ROLLOUT)}; `p2c promote --kserve` tries it again")
    if not again and aliases.is_rolled_back_to(model, version, str(target), ROLLBACK_SECONDS):
        raise UserError(f"a rollback to version {version} is in progress")
    before, uri = target.stable()
    canary = None
    if percent is not None:
        if not prometheus:
            raise UserError("promote: a canary is judged by Prometheus' numbers: name its address")
        canary = _Canary(percent, window, Prometheus(prometheus))
        if uri is not None:
            canary.observed.check()
    former = int(found[1]) if (found := _PREDICTOR.fullmatch(before)) else version
    predictor, place = _publish(repository, params, version)
    try:
        if uri == place:
            target.end_canary()
            target.wait_ready(predictor, target.replicas())
        else:
            first = uri is None
            words = (
                _first(target, predictor, place) if first else _next(target, predictor, place, before, params, canary)
            )
            registry.set_tags(model, version, {ROLLOUT: f"{target}: all calls; {words}"})
    except RolledBackError as error:
        with contextlib.suppress(UserError):
            registry.set_tags(model, version, {ROLLOUT: str(error)})
            _set_refused_by(model, version, refused_by | {str(target)})
            aliases.mark_refused(model, version, str(error))
        raise
    _set_refused_by(model, version, refused_by - {str(target)})
    aliases.mark_served(model, version, str(target), former)
    return version


@dataclass(frozen=True)
class _Canary:
    """A share of the calls, in percent, the seconds for which it is observed, and where its numbers are."""

    percent: int
    window: float
    observed: Prometheus


def _set_refused_by(model: str, version: int, places: set[str]) -> None:
    """Record from which InferenceServices a version was rolled back."""
    if places:
        registry.set_tags(model, version, {ROLLED_BACK: " ".join(sorted(places))})
    else:
        registry.delete_tag(model, version, ROLLED_BACK)


def rollback(target: InferenceService, repository: str, params: Params) -> int:
    """Bring back the version that was served before, as soon as its pods are ready (`aliases.begin_rollback`).

    A follower ends its canary when it sees that the alias was moved, and leaves the rest to the rollback.

    Raises:
        UserError: there is no previous version, and as for `promote`.
    """
    target.read()  # before anything is changed
    aliases.begin_rollback(params.select.model_name, str(target))
    return promote(target, repository, params)


def _publish(repository: str, params: Params, version: int) -> tuple[str, str]:
    """Store a version's graph, and return the name of its predictor and its place; another export has others."""
    with tempfile.TemporaryDirectory() as temporary:
        graph = prepare(params.select, version, Path(temporary))
        mark = sha256_of(graph)[:8]
        place = f"{repository.rstrip('/')}/{version}-{mark}"
        storage = storage_at(place)
        if not storage.holds(version, graph):
            storage.publish(version, graph)
    return f"v{version}-{mark}", place


def _first(target: InferenceService, predictor: str, place: str) -> str:
    note(f"promote: {target} has no version yet: {predictor} gets all calls")
    target.set_stable(predictor, place)
    target.wait_ready(predictor, target.replicas())
    return "the first version"


def _next(
    target: InferenceService, predictor: str, place: str, before: str, params: Params, canary: _Canary | None
) -> str:
    """Bring a version in place of another, and return the numbers it was decided by, in words."""
    replicas = target.replicas()
    try:
        share = canary.percent if canary else 0
        start = max(1, math.ceil(replicas * share / 100))
        note(f"promote: {target}: pods of {predictor} start")
        target.set_canary(predictor, place, 0, start)
        words = "without a canary"
        if canary:
            target.set_canary(predictor, place, share, start)
            note(f"promote: {target}: {predictor} gets {share} percent of the calls for {canary.window:.0f} s")
            verdict = _observe(target, predictor, before, params, canary)
            if not verdict.holds:
                raise RolledBackError(f"rolled back from {target}: {verdict.words}")
            words = verdict.words
            note(f"promote: {target}: {predictor} holds: {words}")
        # The stable pods become fewer as the canary's become more, so both follow one another: a pod, then its share.
        for number in range(start, replicas + 1):
            _must_be_wanted(params, predictor)
            if number > start:
                target.set_canary(predictor, place, share, number)
            share = max(share, 100 * number // replicas)
            target.set_canary(predictor, place, share, number)
        _must_be_wanted(params, predictor)
        target.set_stable(predictor, place)
        target.wait_ready(predictor, replicas)
        return words
    except BaseException:
        if target.stable()[0] != predictor:
            note(f"promote: {target}: {before or 'the stable version'} gets all calls again")
            target.end_canary()
        raise


def _must_be_wanted(params: Params, predictor: str) -> None:
    """Check that the alias still points at the version of a predictor; while MLflow does not answer, it does."""
    champion = None
    with contextlib.suppress(UserError):
        champion = aliases.champion_version(params.select.model_name)
    if champion is not None and not predictor.startswith(f"v{champion}-"):
        raise MovedError(f"the alias 'champion' was moved to version {champion} meanwhile")


def _observe(target: InferenceService, predictor: str, before: str, params: Params, canary: _Canary) -> Verdict:
    """Observe a canary for its window, or until it has failed too often."""
    since = time.monotonic()
    while True:
        left = canary.window - (time.monotonic() - since)
        time.sleep(max(0.0, min(CHECK_SECONDS, left)))
        _must_be_wanted(params, predictor)
        passed = time.monotonic() - since
        numbers = canary.observed.numbers(target.namespace, target.pods(predictor), passed)
        if passed >= canary.window or early(numbers, params.rollout):
            stable = canary.observed.numbers(target.namespace, target.pods(before), passed)
            return decide(numbers, stable, params.rollout)
