"""`make demo`: runs everything from raw images to a served cartoon, and leaves nothing running."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from photo2cartoon.atomic import atomic_write, make_folder
from photo2cartoon.dataset import dvc_project
from photo2cartoon.dataset.remote import LOCAL_REMOTE, add_remote, has_remote
from photo2cartoon.errors import UserError
from photo2cartoon.files import read_json
from photo2cartoon.layout import (
    CARTOON_GENERATOR,
    MODEL_REPOSITORY,
    REPORT,
    RESOLVED_PARAMS,
    SELECTED,
    SELECTION,
    TRITON_RUN,
    WEIGHTS,
)
from photo2cartoon.portrait.shrink import shrunk
from photo2cartoon.progress import note
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
    for line in dvc_project.configure():
        print(line)
    if not has_remote():
        make_folder(LOCAL_REMOTE)
        add_remote(str(LOCAL_REMOTE), local=True)
    dvc_project.repro()
    if not _is_registered():
        print("\nThis model came with `dvc pull` and is not in this machine's MLflow: it is registered now")
        dvc_project.repro(["--force", "--single-item", "select"])
        dvc_project.repro()
    try:
        dvc_project.run_dvc("push")
    except UserError as error:  # the results are in DVC's cache, and the remote may be back tomorrow
        note(f"not pushed: {error}; the results are in DVC's cache, run `dvc push` later")
    _say("2/4  Promote the champion to Triton's model repository")
    version = _promote()
    _say("3/4  Start Triton on loopback and send it a photograph over gRPC")
    photo = photograph()
    picture, seconds = _draw(photo)
    _say("4/4  Done")
    _write(out, photo, picture)
    _tell(out, version, seconds, time.monotonic() - started)


def _say(text: str) -> None:
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n== {text}", flush=True)


def _is_registered() -> bool:
    from photo2cartoon.files import sha256_of
    from photo2cartoon.params import load
    from photo2cartoon.tracking.registry import GENERATOR_HASH, find_version

    sha256 = sha256_of(SELECTED / CARTOON_GENERATOR)
    return find_version(load(RESOLVED_PARAMS).select.model_name, GENERATOR_HASH, sha256) is not None


def _promote() -> int:
    from photo2cartoon.params import load
    from photo2cartoon.serving.repository import promote

    version = promote(MODEL_REPOSITORY, load(RESOLVED_PARAMS).select)
    print(f"{MODEL_REPOSITORY}/generator/{version}")
    return version


def photograph() -> Path:
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
        (face,) = client.cartoonize(photo.read_bytes())
        return face.cartoon, time.monotonic() - begun


def _write(out: Path, photo: Path, picture: bytes) -> None:

    from photo2cartoon.pictures import encode_png
    from photo2cartoon.portrait import decode

    cartoon = decode(picture)
    source = decode(photo)
    side = len(cartoon)
    scale = side / len(source)
    source = shrunk(source, scale)
    with atomic_write(out / CARTOON) as partial:
        partial.write_bytes(picture)
    with atomic_write(out / SIDE_BY_SIDE) as partial:
        partial.write_bytes(encode_png(np.hstack([source, cartoon])))


def _commit_line() -> str:
    line = dvc_project.commit_line()
    return f"\nKeep this:      {line}     then `dvc checkout` brings it back" if line else ""


def _tell(out: Path, version: int, seconds: float, total: float) -> None:
    selection = read_json(SELECTED / SELECTION)
    print(
        f"\nThe picture:    {out / CARTOON}, beside the photograph in {out / SIDE_BY_SIDE}"
        f"\nDrawn by:       version {version}: the project's slim model, fine-tuned here on the built-in sample"
        f" ({selection['checkpoint']}, {selection['metric']} {selection['score']:.3g};"
        f" the photographs themselves: {selection['photographs_score']:.3g})."
        "\n                docs/reference/model-card.md: how it was made, where it fails. `profile: full` is the paper's run."
        f"\nWhy this one:   {REPORT}     every checkpoint, its scores, and what it draws"
        f"\nOne call took:  {seconds * 1000:.0f} ms, from encoded photograph to encoded cartoon"
        "\nMLflow's page:  make mlflow     runs, curves, sample pictures, scores, the registered model"
        "\nServe for good: make serve      then: p2c cartoonize PHOTO --server 127.0.0.1:8001 --out cartoon.png"
        f"{_commit_line()}"
        f"\n\nAll of it took {total / 60:.1f} minutes. Nothing is left running."
    )
