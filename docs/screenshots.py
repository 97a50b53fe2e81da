"""Takes the pictures of docs/mlflow.md with Debian's Chromium, of the runs in this folder.

make demo && make screenshots
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import cv2

from photo2cartoon.files import local_folder
from photo2cartoon.layout import REPORT
from photo2cartoon.tracking import registry
from photo2cartoon.tracking.client import connect, experiment, link, track_at
from tests.browser import Browser, chromium
from tests.mlflow_server import mlflow_server

PICTURES = Path(__file__).parent / "pictures"
MODEL = "photo2cartoon"
WIDTH = 1400  # of the pictures in the docs
ASSISTANT = "[data-component-id='mlflow.assistant.chat_panel.close']"


def main() -> None:
    """Start MLflow's server on the runs of this folder, and take every picture."""
    store = f"sqlite:///{(local_folder() / 'mlflow.db').resolve()}"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with mlflow_server(folder, store=store) as uri:
            track_at(uri)
            with chromium(folder / "wide", width=2300, height=900) as page:
                page.open(link(f"experiments/{experiment(connect().MlflowClient())}/models"))
                page.wait_for("photographs")
                page.dismiss(ASSISTANT)
                page.wait_for("kernel_face")
                _take(page, "mlflow-models")
            with chromium(folder / "tall", width=1500, height=1500) as page:
                page.open(link(f"models/{MODEL}/versions/{registry.champion_version(MODEL)}"))
                page.wait_for("Why this checkpoint")
                page.dismiss(ASSISTANT)
                page.wait_for_pictures()
                _take(page, "mlflow-version")
                page.open(REPORT.resolve().as_uri())
                page.wait_for("Why this checkpoint")
                _take(page, "report")


def _take(page: Browser, name: str) -> None:
    page.driver.save_screenshot(str(PICTURES / f"{name}.png"))
    picture = cv2.imread(str(PICTURES / f"{name}.png"))
    scale = WIDTH / picture.shape[1]
    smaller = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(PICTURES / f"{name}.png"), smaller, [cv2.IMWRITE_PNG_COMPRESSION, 9])


if __name__ == "__main__":
    main()
