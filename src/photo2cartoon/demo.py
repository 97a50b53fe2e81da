"""`make demo`: runs everything from raw images to a served cartoon, and leaves nothing running."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from photo2cartoon.dataset.remote import LOCAL, add_remote
from photo2cartoon.errors import UserError
from photo2cartoon.files import atomic_write, read_json
from photo2cartoon.layout import MODEL_REPOSITORY, RESOLVED_PARAMS, SELECTED, SELECTION, TRITON_RUN, WEIGHTS
from photo2cartoon.serving.installation import find_triton

CARTOON, SIDE_BY_SIDE = "cartoon.png", "side-by-side.png"


def demo(out: Path) -> None:
    """Run every changed stage, promote, serve, cartoonize one photograph over gRPC and print where everything is.

    Args:
        out: folder for `cartoon.png` and `side-by-side.png`.

    Raises:
        UserError: the working directory is not the project's folder, or a stage failed.
    """
    if not Path("dvc.yaml").exists():
        raise UserError("demo: run it in the project's folder, beside dvc.yaml")
    find_triton()  # fail now, not after minutes of training
    started = time.monotonic()
    _say("1/4  Every stage, as `dvc repro` runs them; what has not changed is skipped")
    if not Path(".dvc/config.local").exists():
        LOCAL.mkdir(parents=True, exist_ok=True)
        add_remote(str(LOCAL))
    _dvc("repro")
    _dvc("push", "--quiet")
    _say("2/4  Promote the champion to Triton's model repository")
    version = _promote()
    _say("3/4  Start Triton on loopback and send it a photograph over gRPC")
    photo = _photograph()
    picture, seconds = _draw(photo)
    _say("4/4  Done")
    _write(out, photo, picture)
    _tell(out, version, seconds, time.monotonic() - started)


def _say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def _dvc(*arguments: str) -> None:
    environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], env=environment)
    if done.returncode:
        raise UserError(f"demo: dvc {arguments[0]} failed; what it printed above says why", done.returncode)


def _promote() -> int:
    from photo2cartoon.params import load
    from photo2cartoon.serving.repository import promote

    version = promote(MODEL_REPOSITORY, load(RESOLVED_PARAMS).select)
    print(f"{MODEL_REPOSITORY}/generator/{version}")
    return version


def _photograph() -> Path:
    """Return NASA's portrait of Eileen Collins (public domain, in scikit-image), held out in the sample."""
    import skimage

    return Path(skimage.__file__).parent / "data" / "astronaut.png"


def _draw(photo: Path) -> tuple[bytes, float]:
    from photo2cartoon.serving.client import Client
    from photo2cartoon.serving.server import Ports, Server

    with Server(MODEL_REPOSITORY, TRITON_RUN, Ports.free(), WEIGHTS, RESOLVED_PARAMS) as server:
        client = Client(server.grpc)
        client.cartoonize(photo.read_bytes())  # the first call warms the server up
        begun = time.monotonic()
        picture = client.cartoonize(photo.read_bytes())
        return picture, time.monotonic() - begun


def _write(out: Path, photo: Path, picture: bytes) -> None:
    import cv2

    from photo2cartoon.pictures import encode_png
    from photo2cartoon.portrait import decode

    cartoon = decode(picture)
    source = decode(photo)
    side = len(cartoon)
    scale = side / len(source)
    source = cv2.resize(source, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    with atomic_write(out / CARTOON) as partial:
        partial.write_bytes(picture)
    with atomic_write(out / SIDE_BY_SIDE) as partial:
        partial.write_bytes(encode_png(np.hstack([source, cartoon])))


def _tell(out: Path, version: int, seconds: float, total: float) -> None:
    selection = read_json(SELECTED / SELECTION)
    print(
        f"\nThe picture:    {out / CARTOON}, beside the photograph in {out / SIDE_BY_SIDE}"
        f"\nDrawn by:       version {version}: the project's slim model, fine-tuned here on the built-in sample"
        f" ({selection['checkpoint']}, {selection['metric']} {selection['score']:.3g};"
        f" the photographs themselves: {selection['photographs_score']:.3g})."
        "\n                docs/model-card.md says how it was made and where it fails; `profile: full` is the paper's run."
        f"\nOne call took:  {seconds * 1000:.0f} ms, from encoded photograph to encoded cartoon"
        "\nMLflow's page:  make mlflow     runs, curves, sample pictures, scores, the registered model"
        "\nServe for good: make serve      then: p2c cartoonize PHOTO --server 127.0.0.1:8001 --out cartoon.png"
        f"\n\nAll of it took {total / 60:.1f} minutes. Nothing is left running."
    )
