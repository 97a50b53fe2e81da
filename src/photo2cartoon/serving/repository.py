"""Model repository: publishes and rolls back numbered generator versions without interrupting the server."""

from __future__ import annotations

import tempfile
from pathlib import Path

from photo2cartoon.errors import UserError
from photo2cartoon.layout import CONFIG, GENERATOR, RETIRED
from photo2cartoon.params import Select
from photo2cartoon.progress import note
from photo2cartoon.serving.storage import Storage, storage_at
from photo2cartoon.tracking import registry


def list_versions(repository: Path | str) -> list[int]:
    """List the versions that Triton would see, oldest first; it serves the last."""
    return storage_at(repository).versions()


def init_repository(repository: Path | str, model: Path) -> None:
    """Copy the configurations of a model repository to an empty or missing location.

    Args:
        repository: for example a new volume or bucket; left as it is if it already has the generator's configuration.
        model: repository to copy the configurations from; its generator versions are not copied.
    """
    target = storage_at(repository)
    if target.is_initialised() or not model.is_dir():
        return
    files = [path for path in sorted(model.rglob("*")) if path.suffix in (".pbtxt", ".py") or path.name == ".gitkeep"]
    # Copy the generator's configuration last: its presence marks the repository as initialised.
    for path in sorted(files, key=lambda path: path.parent.name == GENERATOR):
        if path.is_file() and RETIRED not in path.parts:
            target.add(path.relative_to(model).as_posix(), path)


def promote(repository: Path | str, params: Select, server: str | None = None) -> int:
    """Deploy the version that `champion` points at; the `promote` stage.

    A server never sees a partial graph (see `storage`). A version that is there with the same bytes is left as it is.

    Args:
        repository: a folder or an object storage URL that holds the configurations.
        params: the `select` section, for the model's name.
        server: HOST:PORT of a running Triton that should load the version immediately. Before the first version of a
            repository there is nothing to serve, so a server that does not answer then gets a note.

    Returns:
        The promoted version, now the newest in the repository.

    Raises:
        UserError: there is no champion, it was never exported, or the server refuses it.
    """
    target = storage_at(repository)
    if not target.is_initialised():
        raise UserError(
            f"{repository}: is not the model repository: it has no {GENERATOR}/{CONFIG}; --init puts it there"
        )
    champion = registry.find_alias(params.model_name, registry.CHAMPION)
    if champion is None:
        raise UserError(
            f"MLflow's model '{params.model_name}' has no version with the alias 'champion': `dvc repro` makes one (for a"
            " model that came with `dvc pull`: `dvc repro --force --single-item select`), or set the alias in MLflow's page"
            " (`make mlflow`)"
        )
    version, is_first = int(champion.version), not target.versions()
    _publish(target, params.model_name, version)
    for newer in (number for number in target.versions() if number > version):
        target.retire(newer)  # Triton serves the highest number
    if server:
        try:
            reload_generator(server)
        except UserError as error:
            if not is_first:
                raise
            note(f"promote: the first version is in place; a server loads it when it starts ({error})")
    return version


def rollback(repository: Path | str, params: Select, server: str | None = None) -> int:
    """Deploy the previous champion: swap the aliases `champion` and `previous`, then promote.

    Raises:
        UserError: there is no previous version.
    """
    previous = registry.find_alias(params.model_name, registry.PREVIOUS)
    if previous is None:
        raise UserError(f"MLflow's model '{params.model_name}' has no version with the alias 'previous' to go back to")
    registry.set_champion(params.model_name, int(previous.version))
    return promote(repository, params, server)


def reload_generator(server: str) -> None:
    """Make a running Triton look for new versions of the generator; it finishes requests in progress first.

    Raises:
        UserError: the server cannot be reached or refuses the version.
    """
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    try:
        InferenceServerClient(server).load_model(GENERATOR)
    except InferenceServerException as error:
        raise UserError(f"Triton at {server}: {error.message()}") from None


def _publish(target: Storage, model: str, version: int) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        graph = registry.download_graph(model, version, Path(temporary))
        _check_version(graph, version)
        if not target.holds(version, graph):
            target.publish(version, graph)


def _check_version(graph: Path, version: int) -> None:
    """Refuse a graph whose metadata names another version: it was stored there by mistake."""
    import onnx

    named = {item.key: item.value for item in onnx.load(str(graph)).metadata_props}.get("mlflow_version")
    if named != str(version):
        raise UserError(f"MLflow version {version} holds a graph that was exported as version {named}: refused")
