"""Writes a web page that draws in the browser, without a server: `static/`, the networks, and what they need to run.

The page's JavaScript follows `photo2cartoon.portrait`; its constants are those of the Python code, written beside it.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from photo2cartoon import pretrained
from photo2cartoon.assets.catalogue import find_asset
from photo2cartoon.assets.collect import ensure
from photo2cartoon.atomic import atomic_dir
from photo2cartoon.cartoonize.stylize import ModelChoice
from photo2cartoon.errors import UserError
from photo2cartoon.export.bundle import write_whole
from photo2cartoon.export.variants import EIGHT_BITS, to_eight_bits
from photo2cartoon.files import cache_folder, write_json
from photo2cartoon.importing.tflite import to_onnx
from photo2cartoon.layout import GRAPH
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import PortraitMaker, align, decode, find, maker, mediapipe
from photo2cartoon.portrait.background import COLOUR
from photo2cartoon.portrait.boxes import SAME_FACE
from photo2cartoon.portrait.decode import MIN_SIDE
from photo2cartoon.portrait.litert import Network
from photo2cartoon.provenance.mark import Mark
from photo2cartoon.serving.call import WARM_UP
from photo2cartoon.serving.session import INPUTS, draw, open_session

TEMPLATES = Path(__file__).with_name("static")
SETTINGS = "photo2cartoon.json"  # what the page reads first; it marks a folder as a page
DEFAULT = "slim"
RUNTIME, RUNTIME_WASM = "onnxruntime_web", "onnxruntime_web_wasm"
NETWORKS = {"detector": "mediapipe_detector", "mesh": "mediapipe_mesh", "segmenter": "selfie_segmentation"}


def write_page(
    out: Path, weights: Path, portrait: PortraitParams, model: Path | None = None, own: Path | None = None
) -> int:
    """Write a folder with the page.

    Args:
        out: the folder; an earlier page in it is replaced.
        weights: folder that the `assets` stage filled.
        portrait: the `portrait` section of params.yaml; the page has the default networks only.
        model: a bundled model by name, or a graph that `p2c export` wrote; None is `DEFAULT`.
        own: the user's own folder of third-party files, searched before they are fetched.

    Returns:
        The size of all files in bytes.

    Raises:
        UserError: the parameters select other networks, the folder holds something else, onnxruntime for browsers cannot be
            fetched, or the model cannot be used.
    """
    usual = PortraitParams()
    for name in ("detector", "landmarks", "segmentation"):
        if getattr(portrait, name) != (only := getattr(usual, name)):
            raise UserError(f"portrait.{name}: a page without a server has {only} only, not {getattr(portrait, name)}")
    with atomic_dir(out, SETTINGS) as folder, tempfile.TemporaryDirectory() as temporary:
        ensure(NETWORKS.values(), weights, own)
        generator = Path(temporary) / GRAPH
        version = _write_generator(model or Path(DEFAULT), weights, generator)
        runtime = cache_folder() / "browser"
        ensure([RUNTIME, RUNTIME_WASM], runtime, own)
        shutil.copytree(TEMPLATES, folder, dirs_exist_ok=True)
        shutil.copyfile(find_asset(RUNTIME, runtime), folder / "onnxruntime.mjs")
        files = {"runtime": _add(folder, "onnxruntime.wasm", find_asset(RUNTIME_WASM, runtime).read_bytes())}
        for kind, name in NETWORKS.items():
            source, graph = find_asset(name, weights), Path(temporary) / f"{kind}.onnx"
            to_onnx(source, graph)
            files[kind] = _add(folder, graph.name, graph.read_bytes()) | {"side": Network(source).side}
        files["generator"] = _add(folder, generator.name, generator.read_bytes())
        settings = {
            "version": version,
            "limits": "for research only" if version.split()[0] in pretrained.names() else "",
            "mark": Mark(version).packet().decode(),
            "colour": COLOUR,
            "files": files,
            "portrait": _constants(portrait),
        }
        write_json(folder / SETTINGS, settings)
    return sum(path.stat().st_size for path in out.iterdir())


def _write_generator(model: Path, weights: Path, target: Path) -> str:
    """Write the graph of a model with its weights in 8 bits; return the version that drawings are marked with.

    Raises:
        UserError: the model cannot be used, or its drawing changes by more than the tolerance.
    """
    loaded = ModelChoice(model=model).load()
    if not model.exists() and str(model) in pretrained.names():
        with tempfile.TemporaryDirectory() as temporary:
            write_whole(pretrained.graph(str(model)), Path(temporary) / GRAPH)
            to_eight_bits(Path(temporary) / GRAPH, target)
    else:
        to_eight_bits(model, target)
    session = open_session(target)
    if [item.name for item in session.get_inputs()] != INPUTS:
        raise UserError(f"{model}: the page needs a graph that `p2c export` wrote; import photo2cartoon's own first")
    portrait = PortraitMaker.from_weights(weights, check=False)(decode(WARM_UP)).rgba[None]
    gap = np.abs(draw(session, portrait).astype(int) - loaded.stylize(portrait))
    if gap.mean() > EIGHT_BITS.mean or gap.max() > EIGHT_BITS.largest:
        raise UserError(
            f"{model}: with weights in 8 bits it draws differently, by {gap.mean():.2f} levels on average and"
            f" {gap.max()} at most; allowed are {EIGHT_BITS.mean} and {EIGHT_BITS.largest}"
        )
    return loaded.version


def _add(folder: Path, name: str, content: bytes) -> dict[str, Any]:
    """Store a file compressed, under a name that changes with its content, so that browsers keep no old one."""
    packed = gzip.compress(content, 9, mtime=0)
    stem, suffix = name.split(".")
    target = folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:8]}.{suffix}.gz"
    target.write_bytes(packed)
    return {"name": target.name, "bytes": len(packed)}


def _constants(portrait: PortraitParams) -> dict[str, Any]:
    """Return the constants of the path from photograph to portrait, by the names that the JavaScript uses."""
    return {
        "size": maker.SIZE,
        "searchSide": maker.SEARCH_SIDE,
        "searchSideAgain": maker.SEARCH_SIDE_ALL,
        "enough": maker.ENOUGH,
        "mostBoxes": find.MOST_BOXES,
        "minFace": portrait.min_face,
        "minSide": MIN_SIDE,
        "maxPixels": portrait.max_pixels,
        "maxBytes": portrait.max_bytes,
        "detector": {
            "cells": mediapipe.CELLS,
            "score": mediapipe.SCORE,
            "upright": mediapipe.UPRIGHT,
            "padding": mediapipe.PADDING,
            "tile": mediapipe.TILE,
            "overlap": SAME_FACE,
        },
        "mesh": {
            "region": mediapipe.REGION,
            "certain": mediapipe.CERTAIN,
            "face": mediapipe.FACE,
            "lost": mediapipe.LOST,
            "eyes": [mediapipe.RIGHT_EYE, mediapipe.LEFT_EYE],
            "vertices": mediapipe.VERTICES,
            "outline": mediapipe.OUTLINE,
            "stretch": mediapipe.STRETCH,
            "shift": mediapipe.SHIFT,
        },
        "align": {
            "corners": [align.LEFT_EYE_CORNER, align.RIGHT_EYE_CORNER],
            "growTop": align.GROW_TOP,
            "growRest": align.GROW_REST,
        },
    }
