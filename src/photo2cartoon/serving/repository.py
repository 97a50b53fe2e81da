"""The model repository: numbered versions of the generator, published and rolled back without a moment in between."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from photo2cartoon import registry
from photo2cartoon.assets import sha256_of
from photo2cartoon.errors import UserError
from photo2cartoon.files import whole_folder
from photo2cartoon.params import Select

ENSEMBLE, GENERATOR = "photo2cartoon", "generator"
GRAPH = "model.onnx"
RETIRED = ".retired"


def list_versions(repository: Path) -> list[int]:
    """Versions that Triton would see, oldest first; the last is the one it serves."""
    folder = repository / GENERATOR
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdigit() and (path / GRAPH).is_file())


def furnish(repository: Path, model: Path) -> None:
    """Give an empty folder, or one that is not there yet, the configurations of a model repository.

    Args:
        repository: a fresh volume, say; left as it is when it holds the generator's folder already.
        model: a repository to take them from; versions of the generator stay there.
    """
    if (repository / GENERATOR).exists() or not model.is_dir():
        return
    for path in sorted(model.rglob("*")):
        inside = path.relative_to(model)
        mine = path.suffix in (".pbtxt", ".py") or path.name == ".gitkeep"
        if path.is_file() and mine and RETIRED not in inside.parts:
            (repository / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, repository / inside)


def promote(repository: Path, params: Select, server: str | None = None) -> int:
    """Deploy the version that `champion` points at; the `promote` stage.

    The graph is written beside and renamed, so a server never sees half of it. A version that is there already, with
    the same bytes, is left as it is.

    Args:
        repository: with the folder `generator` in it.
        params: the `select` section, for the model's name.
        server: HOST:PORT of a running Triton that shall load it at once.

    Returns:
        The version that is now the newest.

    Raises:
        UserError: there is no champion, it was never exported, or the server refuses it.
    """
    if not (repository / GENERATOR / "config.pbtxt").is_file():
        raise UserError(f"{repository}: is not the model repository: it has no {GENERATOR}/config.pbtxt")
    champion = registry.find_alias(params.model_name, registry.CHAMPION)
    if champion is None:
        raise UserError(
            f"MLflow's model '{params.model_name}' has no version with the alias 'champion': `dvc repro` makes one, or set"
            " the alias in MLflow's page (`make mlflow`)"
        )
    version = int(champion.version)
    _publish(repository, params.model_name, version)
    _retire_newer(repository, version)
    if server:
        reload_generator(server)
    return version


def rollback(repository: Path, params: Select, server: str | None = None) -> int:
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


def _publish(repository: Path, model: str, version: int) -> None:
    target = repository / GENERATOR / str(version)
    with tempfile.TemporaryDirectory() as temporary:
        graph = registry.download(model, version, "generator.onnx", Path(temporary))
        _check_version(graph, version)
        if (target / GRAPH).is_file() and sha256_of(target / GRAPH) == sha256_of(graph):
            return
        with whole_folder(target, GRAPH) as partial:
            shutil.copyfile(graph, partial / GRAPH)


def _check_version(graph: Path, version: int) -> None:
    """A graph says which version it is; one that says another was put there by mistake."""
    import onnx

    named = {item.key: item.value for item in onnx.load(str(graph)).metadata_props}.get("mlflow_version")
    if named != str(version):
        raise UserError(f"MLflow version {version} holds a graph that was exported as version {named}: refused")


def _retire_newer(repository: Path, version: int) -> None:
    """Triton serves the highest number: versions above the wanted one step aside, out of its sight, and are kept."""
    aside = repository / GENERATOR / RETIRED
    for newer in (number for number in list_versions(repository) if number > version):
        aside.mkdir(exist_ok=True)
        shutil.rmtree(aside / str(newer), ignore_errors=True)
        (repository / GENERATOR / str(newer)).rename(aside / str(newer))
