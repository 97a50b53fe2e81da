"""`p2c versions`: the versions of the model, and where each is served."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError
from photo2cartoon.params import Select
from photo2cartoon.serving.client import Client
from photo2cartoon.serving.storage import storage_at
from photo2cartoon.tracking import aliases, registry
from photo2cartoon.tracking.client import link, tracking_uri


def show(params: Select, repository: Path | str, servers: Sequence[str]) -> None:
    """Print a table of all versions, newest first.

    Args:
        params: the `select` section.
        repository: a model repository, a folder or a URL.
        servers: HOST:PORT of Triton servers to ask.

    Raises:
        UserError: MLflow or the repository cannot be read, or the model has no version.
    """
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    versions = registry.list_versions(params.model_name)
    if not versions:
        raise UserError(
            f"MLflow at {tracking_uri()} has no version of '{params.model_name}': `dvc repro` registers one"
        )
    serving = {place: number for place, number in _newest(repository, servers).items() if number is not None}
    table = Table(box=SIMPLE, padding=(0, 1), pad_edge=False)
    for heading in ("version", "aliases", "registered", "checkpoint", "score", "served by"):
        table.add_column(heading, justify="right" if heading == "version" else "left", overflow="fold")
    for version in versions:
        places = [place for place, number in serving.items() if number == int(version.version)]
        exported = registry.EXPORTED_WITH in version.tags
        served = "\n".join(places) if exported or places else "(not exported)"
        table.add_row(str(version.version), "\n".join(version.aliases), *_facts(version), served)
    Console().print(table)
    known = {int(version.version) for version in versions}
    for place, number in serving.items():
        if number not in known:
            print(f"{place} serves version {number}, which MLflow does not know")
    for version in versions:
        if reason := version.tags.get(aliases.REFUSED):
            print(f"version {version.version} is not served: {reason}")
    if page := link(f"models/{params.model_name}"):
        print(f"Move the alias 'champion' at {page}")


def _facts(version: Any) -> tuple[str, str, str]:
    """Return when it was registered, its checkpoint, and the score by which it was selected."""
    from datetime import datetime

    tags = version.tags
    when = datetime.fromtimestamp(version.creation_timestamp / 1000).strftime("%Y-%m-%d")
    score = f"{tags['metric']}\n{float(tags['score']):.4g}" if {"metric", "score"} <= tags.keys() else ""
    return when, tags.get("checkpoint", ""), score


def _newest(repository: Path | str, servers: Sequence[str]) -> dict[str, int | None]:
    """Return the version that each place serves, None if it has none."""
    found = storage_at(repository).versions()
    newest = {str(repository): found[-1] if found else None}
    for server in servers:
        try:
            newest[server] = int(Client(server).version())
        except UserError as error:
            print(error)
            newest[server] = None
    return newest
