"""Reports that need no server: one HTML file with everything inside, and a summary for Kubeflow's page."""

import base64
import re

import cv2
import numpy as np
import pytest

from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.report import report, write_report, write_summary
from photo2cartoon.evaluation.selection import select
from photo2cartoon.params import Evaluate, Select
from photo2cartoon.tracking.lineage import lineage


@pytest.fixture(scope="module")
def scored(trained, faces, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("scores") / "evaluation"
    return out, evaluate(Evaluate(photos="all"), trained, faces, weights, out)


def test_the_report_holds_everything_and_asks_for_nothing(scored, trained, tmp_path):
    out, result = scored
    chosen = select(Select(model_name="report"), out, trained, tmp_path / "selected")
    report(out, trained, tmp_path / "selected", tmp_path / "index.html")
    page = (tmp_path / "index.html").read_text()
    assert not re.search(r"""(src|href)="(?!data:)|<script|@import|url\(""", page.replace("xlink:href", ""))
    for text in (
        "unpaired from scratch",
        "Why this checkpoint",
        chosen.reasons["step-000002"].split(" (")[0],
        "Training",
    ):
        assert text in page, text
    value = result["scores"][chosen.checkpoint]["skin_colour"]
    assert f"{value:.4g} ± " in page and "medium skin (" in page and page.count("<svg") == 2
    picture = base64.b64decode(page.split("base64,")[1].split('"')[0])
    shown = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == cv2.imread(str(out / "drawings.png")).shape
    write_report(out, tmp_path / "scores.html")
    assert "Why this checkpoint" not in (tmp_path / "scores.html").read_text()


def test_a_choice_names_its_place_in_mlflow(tmp_path, monkeypatch):
    chosen = {
        "checkpoint": "step-000040", "metric": "kernel_face", "score": 0.5, "photographs_score": 0.75, "version": 7,
        "model": "photo2cartoon", "champion": True, "mlflow_run": "abc", "compared": "by kernel_face better",
        "reasons": {"step-000040": "chosen: the best by kernel_face"},
    }  # fmt: skip
    write_summary(chosen, tmp_path / "summary.md", "version 7 promoted")
    told = (tmp_path / "summary.md").read_text()
    assert "photo2cartoon version 7, run abc" in told and "kernel_face: 0.5 (the photographs themselves: 0.75)" in told
    assert "Compared with the champion: by kernel_face better" in told
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000/")
    write_summary(chosen, tmp_path / "summary.md", "version 7 promoted")
    address = "http://mlflow:5000/#/models/photo2cartoon/versions/7?workflowType=machine_learning"
    assert f"({address})" in (tmp_path / "summary.md").read_text()


def test_a_step_of_kubeflow_says_so_wherever_it_is_tracked(monkeypatch):
    assert "kubeflow_run" not in lineage()
    monkeypatch.setenv("KFP_RUN_ID", "run-1")
    assert lineage()["kubeflow_run"] == "run-1"
