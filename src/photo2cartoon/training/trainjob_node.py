"""Entry point of each process of a TrainJob: `p2c train` with its inputs and its state on a volume or in object storage."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path

from photo2cartoon.errors import UserError, exit_on_user_error
from photo2cartoon.params import load
from photo2cartoon.training.loop import train
from photo2cartoon.training.run_storage import RunStorage
from photo2cartoon.urls import download_folder, is_downloaded, is_url

WAIT_SECONDS = 3600.0  # for another process of this machine to download the inputs


def train_node(params: str, data: str, weights: str, run: str) -> None:
    """Train as one process of a job, or resume; exit with one line and a status on an error.

    Args:
        params: text of a params.yaml.
        data, weights: folders, or URLs of folders that `upload_folder` uploaded.
        run: folder of the run, or the object storage URL that keeps it.
    """
    with exit_on_user_error("train"), tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "params.yaml"
        file.write_text(params, encoding="utf-8")
        section = load(file).train
        if not is_url(run):
            train(section, Path(data), Path(weights), Path(run), resume=True)
            return
        here = Path(tempfile.gettempdir()) / f"photo2cartoon-{hashlib.sha256(run.encode()).hexdigest()[:16]}"
        faces, files = (_fetched(url, here / name) for name, url in (("faces", data), ("weights", weights)))
        out = here / run.rstrip("/").rsplit("/", 1)[-1]
        train(section, faces, files, out, place=run)
        if os.environ.get("RANK", "0") == "0":
            # While training, storage that is away for a moment is not an error. Now the results exist only here.
            RunStorage(run).keep_results(out)


def _fetched(url: str, folder: Path) -> Path:
    """Return the local copy of a folder, which the first process of each machine downloads for all of them."""
    if int(os.environ.get("LOCAL_RANK", "0")) == 0:
        if not is_downloaded(url, folder):
            download_folder(url, folder)
        return folder
    deadline = time.monotonic() + WAIT_SECONDS
    while not is_downloaded(url, folder):
        if time.monotonic() > deadline:
            raise UserError(f"{url}: was not downloaded within {WAIT_SECONDS / 60:.0f} minutes")
        time.sleep(1)
    return folder
