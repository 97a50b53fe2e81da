"""The `export` stage: writes `generator.onnx` from a checkpoint, with a report on real portraits.

The graph is refused when onnxruntime and torch differ beyond the tolerance.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np

from photo2cartoon import checkpoint
from photo2cartoon.atomic import atomic_write
from photo2cartoon.dataset.faces import list_pictures, read_rgba
from photo2cartoon.dataset.summary import summarise
from photo2cartoon.errors import UserError
from photo2cartoon.export.graph import PortraitToCartoon, write_onnx
from photo2cartoon.export.parity import Parity, compare
from photo2cartoon.export.registered import add_graph, fetch_generator
from photo2cartoon.export.variants import TOLERANCES, Tolerance, write_variant
from photo2cartoon.files import read_json, sha256_of, write_json
from photo2cartoon.layout import CARTOON_GENERATOR, GRAPH, PARITY, SELECTION, WEIGHTS
from photo2cartoon.params import Export, PortraitParams
from photo2cartoon.pictures import encode_png, grid
from photo2cartoon.portrait.background import on_white
from photo2cartoon.portrait.maker import SIZE, SIZES
from photo2cartoon.serving.stamp import SUMMARY
from photo2cartoon.tracking.lineage import lineage
from photo2cartoon.tracking.registry import GENERATOR_HASH


def export(
    params: Export,
    source: Path,
    data: Path | None,
    out: Path,
    report: Path | None = None,
    metrics: Path | None = None,
    portrait: PortraitParams | None = None,
    weights: Path = WEIGHTS,
) -> Parity:
    """Write the graph of a checkpoint's generator.

    Args:
        params: the `export` section.
        source: a checkpoint; if `select` wrote it, the graph is also added to its version in MLflow.
        data: dataset with portraits to compare torch and onnxruntime on; None uses scikit-image's astronaut.
        out: the ONNX file; nothing is written when the comparison fails.
        report: JSON file for the comparison; an image is written beside it.
        metrics: JSON file for the differences, and the size of the graph in bytes.
        portrait: the `portrait` section, with which the version in MLflow makes portraits; None selects the defaults.
        weights: folder that the `assets` stage filled, for the version in MLflow.

    Returns:
        The comparison.

    Raises:
        UserError: the checkpoint is unusable, or the graph's output differs from torch's.
    """
    model = PortraitToCartoon(checkpoint.load_generator(source))
    card = checkpoint.read_card(source)
    selection = read_json(source / SELECTION) if (source / SELECTION).exists() else None
    metadata: dict[str, object] = {
        "checkpoint": card.path.name if selection is None else selection["checkpoint"],
        "step": card.step,
        "trained_size": card.train.size,
        "channels": card.train.channels,
        "variant": params.variant,
        "mlflow_version": selection["version"] if selection else "none",
        "data_sha256": selection["data_sha256"] if selection else "unknown",
        **({GENERATOR_HASH: sha256_of(source / CARTOON_GENERATOR)} if selection else {}),
        **({SUMMARY: json.dumps(summary)} if (summary := summarise(data)) else {}),
        **lineage(),
    }
    portraits = real_portraits(data, params.portraits)
    allowed = _tolerance(params)
    with atomic_write(out) as partial, tempfile.TemporaryDirectory() as folder:
        write_onnx(model, Path(folder) / GRAPH, metadata, params.opset)
        write_variant(Path(folder) / GRAPH, params.variant, partial)
        parity, expected, got = compare(model, partial, portraits, *allowed)
        if not parity.passed:
            raise UserError(
                f"{out}: not written: onnxruntime and torch differ by {parity.mean_difference:.3f} levels on average and"
                f" {parity.max_difference:.0f} at most, allowed are {allowed.mean} and {allowed.largest}"
            )
    if report is not None:
        write_json(report, {**asdict(parity), "metadata": {key: str(value) for key, value in metadata.items()}})
        rows = [("portrait", list(on_white(portraits))), ("torch", list(expected)), ("onnxruntime", list(got))]
        with atomic_write(report.with_suffix(".png")) as partial:
            partial.write_bytes(encode_png(grid(rows)))
    if metrics is not None:
        numbers = {"mean_difference": parity.mean_difference, "max_difference": parity.max_difference}
        write_json(metrics, {**numbers, "bytes": out.stat().st_size})
    if selection is not None:
        settings = portrait or PortraitParams()
        add_graph(params, selection, source / CARTOON_GENERATOR, out, report, asdict(parity), settings, weights)
    return parity


def export_version(
    params: Export,
    model: str,
    version: int,
    data: Path | None,
    out: Path | None,
    portrait: PortraitParams,
    weights: Path,
) -> Parity:
    """Export a version that is in MLflow already, such as one that a person registered on its page.

    Args:
        params, data, portrait, weights: as for `export`.
        model, version: the registered model and its version, which gets the graph.
        out: the ONNX file; None keeps none here.

    Raises:
        UserError: as for `export`, or there is no such version.
    """
    with tempfile.TemporaryDirectory() as temporary:
        source, folder = Path(temporary) / "generator", Path(temporary) / "export"
        source.mkdir()
        fetch_generator(model, version, source)
        return export(params, source, data, out or folder / GRAPH, folder / PARITY, None, portrait, weights)


def real_portraits(data: Path | None, count: int) -> np.ndarray:
    """Load portraits to compare on, held-out ones first: uint8 `[N, S, S, 4]`.

    Raises:
        UserError: there are none, or they differ in size.
    """
    if data is None:
        from skimage.data import astronaut

        rgb = astronaut()[:SIZE, 96 : 96 + SIZE]
        return np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])[None]
    files = []
    for folder in (data / "testA", data / "trainA"):
        if folder.is_dir() and any(folder.iterdir()):
            files += list_pictures(folder)
    if not files:
        raise UserError(f"{data}: testA and trainA hold no portraits; `p2c preprocess` makes them")
    portraits = [read_rgba(path) for path in files[:count]]
    size = len(portraits[0]) if len(portraits[0]) in SIZES else SIZE
    wrong = next((path for path, each in zip(files, portraits, strict=False) if each.shape[:2] != (size, size)), None)
    if wrong:
        raise UserError(f"{wrong}: is not {size}x{size}")
    return np.stack(portraits)


def _tolerance(params: Export) -> Tolerance:
    usual = TOLERANCES[params.variant]
    mean, largest = params.max_mean_difference, params.max_difference
    return Tolerance(usual.mean if mean is None else mean, usual.largest if largest is None else largest)
