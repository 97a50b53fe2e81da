"""The model repository: numbered versions of the generator, published and rolled back without a moment in between."""

from __future__ import annotations

import tempfile
from pathlib import Path

from photo2cartoon.errors import UserError
from photo2cartoon.layout import CONFIG, GENERATOR, GRAPH, RETIRED
from photo2cartoon.params import Select
from photo2cartoon.serving.storage import Storage, storage_at
from photo2cartoon.tracking import registry


def list_versions(repository: Path | str) -> list[int]:
    """Versions that Triton would see, oldest first; the last is the one it serves."""
    return storage_at(repository).versions()


def init_repository(repository: Path | str, model: Path) -> None:
    """Give an empty place, or one that is not there yet, the configurations of a model repository.

    Args:
        repository: a fresh volume or bucket, say; left as it is when it holds the generator's configuration already.
        model: a repository to take them from; versions of the generator stay there.
    """
    target = storage_at(repository)
    if target.is_initialised() or not model.is_dir():
        return
    files = [path for path in sorted(model.rglob("*")) if path.suffix in (".pbtxt", ".py") or path.name == ".gitkeep"]
    # The generator's configuration last: by it an initialised repository is recognised.
    for path in sorted(files, key=lambda path: path.parent.name == GENERATOR):
        if path.is_file() and RETIRED not in path.parts:
            target.add(path.relative_to(model).as_posix(), path)


def promote(repository: Path | str, params: Select, server: str | None = None) -> int:
    """Deploy the version that `champion` points at; the `promote` stage.

    A server never sees half of the graph (`storage`). A version that is there already, with the same bytes, is left as it is.

    Args:
        repository: a folder or a URL of object storage, with the configurations in it.
        params: the `select` section, for the model's name.
        server: HOST:PORT of a running Triton that shall load it at once.

    Returns:
        The version that is now the newest.

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
            f"MLflow's model '{params.model_name}' has no version with the alias 'champion': `dvc repro` makes one, or set"
            " the alias in MLflow's page (`make mlflow`)"
        )
    version = int(champion.version)
    _publish(target, params.model_name, version)
    for newer in (number for number in target.versions() if number > version):
        target.retire(newer)  # Triton serves the highest number
    if server:
        reload_generator(server)
    return version


def rollback(repository: Path | str, params: Select, server: str | None = None) -> int:
    """Go back to the version that was champion before: the aliases change places, and it is deployed.

    Raises:
        UserError: there is no previous version.
    """
    previous = registry.find_alias(params.model_name, registry.PREVIOUS)
    if previous is None:
        raise UserError(f"MLflow's model '{params.model_name}' has no version with the alias 'previous' to go back to")
    registry.set_champion(params.model_name, int(previous.version))
    return promote(repository, params, server)


def reload_generator(server: str) -> None:
    """Tell a running Triton to look at the generator's versions again; what it is answering is finished first.

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
        graph = registry.download(model, version, GRAPH, Path(temporary))
        _check_version(graph, version)
        if not target.holds(version, graph):
            target.publish(version, graph)


def _check_version(graph: Path, version: int) -> None:
    """A graph says which version it is; one that says another was put there by mistake."""
    import onnx

    named = {item.key: item.value for item in onnx.load(str(graph)).metadata_props}.get("mlflow_version")
    if named != str(version):
        raise UserError(f"MLflow version {version} holds a graph that was exported as version {named}: refused")
