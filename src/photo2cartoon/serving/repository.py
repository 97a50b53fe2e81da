"""Model repository: publishes and rolls back numbered generator versions without interrupting the server."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from photo2cartoon.errors import UserError, first_line
from photo2cartoon.layout import CONFIG, GENERATOR, RETIRED, VERSION_GRAPH
from photo2cartoon.params import Select
from photo2cartoon.portrait.maker import SIZES
from photo2cartoon.progress import note
from photo2cartoon.serving.control import RefusedError
from photo2cartoon.serving.fleet import Fleet
from photo2cartoon.serving.session import INPUTS, draw, open_session
from photo2cartoon.serving.stamp import is_stamped, stamp
from photo2cartoon.serving.storage import Folder, Storage, storage_at
from photo2cartoon.tracking import aliases, registry, version_files


def list_versions(repository: Path | str) -> list[int]:
    """List the versions that Triton would see, oldest first; it serves the last."""
    return storage_at(repository).versions()


def init_repository(repository: Path | str, model: Path) -> None:
    """Copy the configurations of a model repository to an empty or missing location, or over those of an earlier release.

    Args:
        repository: for example a new volume or bucket; left as it is if it already has this release's configurations.
        model: repository to copy the configurations from; its generator versions are not copied.
    """
    target = storage_at(repository)
    if target.is_initialised():
        # The configurations of a clone are those of its release; its versions are not.
        if isinstance(target, Folder) and any(
            not is_stamped(target.graph(newest)) for newest in target.versions()[-1:]
        ):
            _stamp_versions(target)
        return
    if not model.is_dir():
        return
    _stamp_versions(target)
    files = [path for path in sorted(model.rglob("*")) if path.suffix in (".pbtxt", ".py") or path.name == ".gitkeep"]
    # Copy the generator's configuration last: its presence marks the repository as initialised.
    for path in sorted(files, key=lambda path: path.parent.name == GENERATOR):
        if path.is_file() and RETIRED not in path.parts:
            target.add(path.relative_to(model).as_posix(), path)


def with_configurations(repository: Path | str, model: Path, folder: Path) -> Path | str:
    """Return a repository that can be served: itself, or for a read-only folder of versions a copy with configurations.

    Args:
        repository: as KServe mounts it, for example, with `generator/7/model.onnx` alone.
        model: repository to take the configurations from.
        folder: to make the copy in; versions are linked.
    """
    if isinstance(repository, str) or not repository.is_dir() or os.access(repository, os.W_OK):
        return repository
    own = Folder(repository)
    if own.is_initialised() or not own.versions():
        return repository
    shutil.rmtree(folder, ignore_errors=True)
    init_repository(folder, model)
    for version in own.versions():
        (folder / GENERATOR / str(version)).symlink_to(own.graph(version).parent.resolve())
    return folder


def _stamp_versions(target: Storage) -> None:
    """Let the versions of an earlier release return what this release's configuration asks for.

    Raises:
        UserError: the package onnx is not installed, as in the server's image.
    """
    for version in target.versions():
        try:
            with tempfile.TemporaryDirectory() as temporary:
                stamp(target.graph(version), version, Path(temporary) / VERSION_GRAPH)
                target.publish(version, Path(temporary) / VERSION_GRAPH)
        except ImportError:
            raise UserError(
                f"{target}: its versions are of an earlier release; `p2c promote --init` on a machine with the whole"
                " environment brings them up to date"
            ) from None
        except UserError:
            raise
        except Exception as error:  # onnx's errors have no common class
            said = first_line(error)
            note(f"{target}/{GENERATOR}/{version}: stays as it is, and cannot be served: {said}")


def promote(repository: Path | str, params: Select, server: str | None = None, key: str | None = None) -> int:
    """Deploy the version that `champion` points at; the `promote` stage.

    A server never sees a partial graph (see `storage`). A version that is there with the same bytes is left as it is.

    Args:
        repository: a folder or an object storage URL that holds the configurations.
        params: the `select` section, for the model's name.
        server: HOST:PORT of a running Triton that should load the version immediately, or of several behind one name.
            Before the first version of a repository there is nothing to serve, so a server that does not answer then
            gets a note.
        key: of the server's model control; None looks for it (`control.find_key`).

    Returns:
        The promoted version, now the newest in the repository.

    Raises:
        UserError: there is no champion, it was never exported, its graph draws nothing, or the server refuses it or ends;
            the repository then holds what it held before.
    """
    target = _initialised(repository)
    with target.locked():
        return _promote(target, params, Fleet(server, key) if server else None)


def _promote(target: Storage, params: Select, fleet: Fleet | None) -> int:
    version, before = aliases.require_champion(params.model_name), target.versions()
    if fleet and before:
        try:
            fleet.check()
        except RefusedError:
            raise
        except UserError as error:
            # Maybe none can start with the version that is there. One that was served before can replace it.
            if not target.was_promoted(version):
                raise
            note(f"promote: {error}; version {version} was served before, so a server loads it when it starts")
            fleet = None
    with tempfile.TemporaryDirectory() as temporary:
        graph = prepare(params, version, Path(temporary))
        if aliases.champion_version(params.model_name) != version:
            raise UserError(
                f"promote: the alias '{aliases.CHAMPION}' was moved away from version {version} meanwhile; run it again"
            )
        replaced = None
        if version in before and not target.holds(version, graph):
            replaced = Path(shutil.copyfile(target.graph(version), Path(temporary) / "replaced.onnx"))
        if version not in before or replaced:
            target.publish(version, graph)
        newer = [number for number in target.versions() if number > version]
        for number in newer:
            target.retire(number)  # Triton serves the highest number
        if fleet:
            try:
                fleet.reload(GENERATOR)
            except UserError as error:
                # Also if the servers no longer answer: the version may have ended them, and would do so again.
                if before or isinstance(error, RefusedError):
                    _undo(target, version, before, newer, replaced, fleet)
                    raise
                note(f"promote: the first version is in place; a server loads it when it starts ({error})")
    aliases.mark_served(params.model_name, version, str(target), before[-1] if before else None)
    return version


def _initialised(repository: Path | str) -> Storage:
    """Open a repository.

    Raises:
        UserError: it does not have this release's configurations.
    """
    target = storage_at(repository)
    if not target.is_initialised():
        raise UserError(
            f"{repository}: is not the model repository: it has no {GENERATOR}/{CONFIG}, or is of an earlier release;"
            " `p2c promote --init` puts this release's there"
        )
    return target


def _undo(
    target: Storage, version: int, before: list[int], retired: list[int], replaced: Path | None, fleet: Fleet
) -> None:
    """Bring back what the repository held before a version that could not be loaded; `replaced` is its graph before."""
    for number in retired:
        target.restore(number)
    if replaced:
        target.publish(version, replaced)
    elif version not in before:
        target.withdraw(version)
    if before:
        with contextlib.suppress(UserError):
            fleet.reload(GENERATOR)


def rollback(repository: Path | str, params: Select, server: str | None = None, key: str | None = None) -> int:
    """Deploy the version that was served before (`aliases.begin_rollback`).

    Raises:
        UserError: there is no previous version.
    """
    _initialised(repository)  # before anything is changed
    if server:
        Fleet(server, key).check()
    aliases.begin_rollback(params.model_name, str(storage_at(repository)))
    return promote(repository, params, server, key)


def prepare(params: Select, version: int, folder: Path) -> Path:
    """Write the graph of a version of MLflow as servers load it.

    Args:
        params: the `select` section.
        version: of the registered model.
        folder: to write to.

    Returns:
        The graph, the same bytes for the same exported graph.

    Raises:
        UserError: the version was never exported, its graph draws nothing or takes too long, or MLflow does not answer.
    """
    graph = version_files.download_graph(params.model_name, version, folder)
    _check_drawing(graph, version, params.max_seconds)
    _check_version(graph, params.model_name, version)
    stamped = folder / VERSION_GRAPH
    stamp(graph, version, stamped)
    return stamped


def _check_drawing(graph: Path, version: int, max_seconds: float | None) -> None:
    """Refuse a graph that cannot draw: it is damaged, has another interface, answers with one colour, or takes too long.

    Every size that a call may ask for is tried: Triton 2.51 may crash when a model that it loads cannot be warmed up.
    """
    random = np.random.default_rng(0)
    portraits = [random.integers(0, 256, (2, size, size, 4), np.uint8) for size in SIZES]
    try:
        session = open_session(graph)
        inputs = [item.name for item in session.get_inputs()]
        cartoons = [draw(session, each) for each in portraits] if inputs == INPUTS else None
    except Exception as error:  # onnxruntime's errors have no common class
        said = first_line(error)
        raise UserError(f"MLflow version {version}: its graph cannot draw: {said}") from None
    if cartoons is None:
        raise UserError(
            f"MLflow version {version}: its graph takes {', '.join(inputs)}, not {', '.join(INPUTS)}: an earlier release"
            f" exported it; `p2c export --version {version}` does so again"
        )
    for each, cartoon in zip(portraits, cartoons, strict=True):
        if cartoon.shape != (*each.shape[:3], 3) or cartoon.dtype != np.uint8 or cartoon.min() == cartoon.max():
            raise UserError(f"MLflow version {version}: its graph draws nothing: {cartoon.dtype} {list(cartoon.shape)}")
    one = portraits[0][:1]
    if max_seconds is not None and (seconds := _quickest(session, one, max_seconds)) > max_seconds:
        raise UserError(
            f"MLflow version {version}: its graph takes {seconds:.1f} s for a portrait on this machine, select.max_seconds is"
            f" {max_seconds:g}"
        )


def _quickest(session: Any, portrait: np.ndarray, enough: float) -> float:
    """Return the seconds of the quickest of three drawings, or of the first that takes at most `enough`."""
    taken: list[float] = []
    while len(taken) < 3 and not (taken and min(taken) <= enough):
        since = time.perf_counter()
        draw(session, portrait)
        taken.append(time.perf_counter() - since)
    return min(taken)


def _check_version(graph: Path, model: str, version: int) -> None:
    """Refuse a graph whose metadata names another generator or version: it was stored there by mistake."""
    import onnx

    named = {item.key: item.value for item in onnx.load(str(graph)).metadata_props}
    generator = registry.read_tags(model, version).get(registry.GENERATOR_HASH)
    if registry.GENERATOR_HASH in named and named[registry.GENERATOR_HASH] == generator:
        return  # two versions of one generator may share a graph
    if named.get("mlflow_version") != str(version):
        raise UserError(
            f"MLflow version {version} holds a graph that was exported as version {named.get('mlflow_version')}: refused"
        )
