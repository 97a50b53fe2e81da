"""Takes the pictures of docs/how-to/mlflow.md with Debian's Chromium: a small real run on two public-domain photographs.

    make screenshots

The photographs are NASA's of Eileen Collins and the US Navy's of Grace Hopper, with their mirror images and crops; the
run fine-tunes the bundled slim model for a minute or two. MLflow's server and its files are temporary.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from photo2cartoon.assets.collect import collect
from photo2cartoon.dataset.ingest import ingest
from photo2cartoon.dataset.preprocess import preprocess
from photo2cartoon.demo import photograph
from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.report import report
from photo2cartoon.evaluation.selection import select
from photo2cartoon.export.export import export
from photo2cartoon.layout import REPORT
from photo2cartoon.params import Evaluate, Export, Ingest, PortraitParams, Preprocess, Select, load
from photo2cartoon.tracking import aliases
from photo2cartoon.tracking.client import connect, experiment, link, track_at
from photo2cartoon.training.loop import train
from tests.browser import Browser, chromium
from tests.mlflow_server import mlflow_server

PICTURES = Path(__file__).parent / "pictures"
PEOPLE = {
    "collins": photograph(),
    "hopper": Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg",
}
CROPS = (1.0, 0.9, 0.8)  # of the photograph's sides
CHOICE = Select(metric=("kernel_efficientnet", "identity_sface"))
WIDTH = 1400  # of the pictures in the docs
ASSISTANT = "[data-component-id='mlflow.assistant.chat_panel.close']"


def main() -> None:
    """Run every stage on a temporary server, and take every picture."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with mlflow_server(folder) as uri:
            track_at(uri)
            run(folder)
            with chromium(folder / "wide", width=2700, height=800) as page:
                page.open(link(f"experiments/{experiment(connect().MlflowClient())}/models"))
                page.wait_for("photographs")
                page.dismiss(ASSISTANT)
                page.wait_for("kernel_face")
                _take(page, "mlflow-models")
            with chromium(folder / "tall", width=1500, height=1500) as page:
                page.open(link(f"models/{CHOICE.model_name}/versions/{aliases.champion_version(CHOICE.model_name)}"))
                page.wait_for("Why this checkpoint")
                page.dismiss(ASSISTANT)
                page.wait_for_pictures()
                _take(page, "mlflow-version")
                page.open((folder / REPORT).as_uri())
                page.wait_for("Why this checkpoint")
                _take(page, "report")


def run(folder: Path) -> None:
    """Run the stages from photographs to an exported version and a report."""
    photos, raw, faces, weights = (folder / name for name in ("photos", "raw", "faces", "weights"))
    photos.mkdir()
    for person, path in PEOPLE.items():
        picture = cv2.imread(str(path))
        for number, share in enumerate(CROPS):
            height, width = (round(side * share) for side in picture.shape[:2])
            left = (picture.shape[1] - width) // 2
            crop = picture[:height, left : left + width]
            cv2.imwrite(str(photos / f"{person}--{number}.png"), crop)
            cv2.imwrite(str(photos / f"{person}--{number}-mirrored.png"), crop[:, ::-1])
    collect(weights)
    ingest(Ingest(photos="folder", photos_at=str(photos)), raw)
    preprocess(raw / "photos", raw / "cartoons", weights, faces, PortraitParams(), Preprocess())
    section = load().train.model_copy(update={"steps": 40, "checkpoint_every": 10, "sample_every": 10})
    train(section, faces, weights, folder / "train")
    evaluate(Evaluate(photos="all"), folder / "train", faces, weights, folder / "scores", CHOICE)
    select(CHOICE, folder / "scores", folder / "train", folder / "selected")
    report(folder / "scores", folder / "train", folder / "selected", folder / REPORT)
    export(Export(), folder / "selected", faces, folder / "generator.onnx", folder / "parity.json", weights=weights)


def _take(page: Browser, name: str) -> None:
    picture = cv2.imdecode(np.frombuffer(page.driver.get_screenshot_as_png(), np.uint8), cv2.IMREAD_COLOR)
    scale = WIDTH / picture.shape[1]
    smaller = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(PICTURES / f"{name}.jpg"), smaller, [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
