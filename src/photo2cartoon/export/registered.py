"""Graphs of registered versions: adds one to its version in MLflow, and finds it again. Imports no torch."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from photo2cartoon import __version__
from photo2cartoon.atomic import atomic_write
from photo2cartoon.errors import UserError
from photo2cartoon.export.pyfunc import write_pyfunc
from photo2cartoon.files import read_json, sha256_of, write_json
from photo2cartoon.layout import CARD, CARTOON_GENERATOR, PARITY, PARITY_GRID, SELECTION
from photo2cartoon.params import Export, PortraitParams
from photo2cartoon.progress import note
from photo2cartoon.tracking import registry, runs, version_files
from photo2cartoon.tracking.client import tracking_uri


def add_graph(
    params: Export,
    selection: Mapping[str, Any],
    generator: Path,
    graph: Path,
    report: Path | None,
    parity: Mapping[str, Any],
    portrait: PortraitParams,
    weights: Path,
) -> None:
    """Add a graph and its report to the version that was selected.

    If MLflow has no such version of this generator, as in a clone that got it from DVC's remote, a note says so.

    Args:
        params: the `export` section.
        selection: contents of `selection.json`.
        generator: the weights that were selected.
        graph: the ONNX file.
        report: JSON file of the comparison with torch, which has an image beside it.
        parity: the comparison, by the names of `Parity`.
        portrait: the `portrait` section, for the version as `mlflow.pyfunc` loads it.
        weights: folder that the `assets` stage filled.
    """
    found = registry.get_version(selection["model"], selection["version"])
    if found is None or found.tags.get(registry.GENERATOR_HASH) != sha256_of(generator):
        note(
            f"export: the graph is in {graph}, but in no version in MLflow at {tracking_uri()}, where this generator"
            " is not registered: `dvc repro --force --single-item select`, then `dvc repro`, do both"
        )
        return
    mean, largest = parity["mean_difference"], parity["max_difference"]
    tags = {"parity_mean": f"{mean:.4f}", "parity_max": f"{largest:.0f}", registry.EXPORTED_WITH: _settings(params)}
    with runs.stage("export", selection["mlflow_run"], "export") as stage, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "version"
        write_pyfunc(folder, graph, portrait, weights, _example())
        if report:
            shutil.copyfile(report, folder / PARITY)
            shutil.copyfile(report.with_suffix(".png"), folder / PARITY_GRID)
            stage.run.image((folder / PARITY_GRID).read_bytes(), "parity", 0)
        registry.set_tags(selection["model"], selection["version"], {registry.EXPORTED_WITH: "being replaced"})
        version_files.add_files(selection["model"], selection["version"], folder, tags)
        stage.run.metrics({"parity/mean_difference": mean, "parity/max_difference": largest}, 0)
        stage.whole.note(
            "Export", f"{params.variant}, {mean:.3f} levels of 255 from torch on average, {largest:.0f} at most"
        )


def _example() -> bytes:
    """Return NASA's portrait of Eileen Collins (public domain, in scikit-image) as JPEG."""
    import cv2
    from skimage.data import astronaut

    picture = cv2.cvtColor(astronaut(), cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()


def fetch_generator(model: str, version: int, out: Path) -> dict[str, Any]:
    """Fetch the generator of a version, also of one that a person registered on MLflow's page.

    Args:
        model, version: the registered model and its version.
        out: receives a checkpoint of the generator, with `selection.json`.

    Returns:
        The contents of `selection.json`.

    Raises:
        UserError: there is no such version, it holds no generator, or MLflow cannot be reached.
    """
    found = registry.get_version(model, version)
    if found is None:
        raise UserError(f"MLflow at {tracking_uri()} has no version {version} of '{model}'; `p2c versions` lists them")
    for name in (CARTOON_GENERATOR, CARD):
        version_files.download(model, version, name, out)
    tags = {registry.GENERATOR_HASH: sha256_of(out / CARTOON_GENERATOR)}
    registry.set_tags(model, version, tags)
    selection = {
        "model": model,
        "version": version,
        "checkpoint": found.tags.get("checkpoint") or f"step-{read_json(out / CARD)['step']:06}",
        "mlflow_run": found.run_id or None,
        "data_sha256": found.tags.get("data_sha256", "unknown"),
    }
    write_json(out / SELECTION, selection)
    return selection


def fetch_graph(params: Export, model: str, version: int, out: Path) -> dict[str, Any] | None:
    """Fetch the graph of a version, if it was exported with these settings and this version of the project.

    Args:
        params: the `export` section.
        model, version: the registered model and its version.
        out: the ONNX file.

    Returns:
        The comparison with torch, by the names of `Parity`; None if there is no such graph.

    Raises:
        UserError: MLflow cannot be reached.
    """
    if registry.read_tags(model, version).get(registry.EXPORTED_WITH) != _settings(params):
        return None
    with contextlib.suppress(UserError), tempfile.TemporaryDirectory() as folder:
        parity = read_json(version_files.download(model, version, PARITY, Path(folder)))
        graph = version_files.download_graph(model, version, Path(folder))
        with atomic_write(out) as partial:
            shutil.copyfile(graph, partial)
        return parity
    return None  # somebody has deleted the files


def _settings(params: Export) -> str:
    return f"{params.model_dump_json()} photo2cartoon {__version__}"
