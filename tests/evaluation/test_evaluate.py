"""Every checkpoint and the photographs themselves get every score, and the scores are logged to MLflow."""

import base64
import csv
import json

import cv2
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.page import write_page, write_summary
from photo2cartoon.evaluation.rule import best
from photo2cartoon.evaluation.selection import DECIDED, Selection, select
from photo2cartoon.params import Evaluate, Select
from photo2cartoon.tracking import registry
from photo2cartoon.tracking.client import connect
from photo2cartoon.tracking.lineage import lineage
from tests.registered import register

METRICS = {"frechet_face", "kernel_face", "frechet_efficientnet", "kernel_efficientnet", "face_distance"}


@pytest.fixture(scope="module")
def scored(trained, faces, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("scores") / "evaluation"
    return out, evaluate(Evaluate(photos="all"), trained, faces, weights, out)


def test_every_checkpoint_has_every_score(scored):
    out, result = scored
    assert json.loads((out / "scores.json").read_text()) == result
    assert list(result["scores"]) == ["photographs", "step-000002", "step-000004"]
    for values in result["scores"].values():
        assert {key for key in values if not key.endswith("_interval")} == METRICS
    assert result["scores"]["photographs"]["face_distance"] == pytest.approx(0, abs=1e-5)
    assert result["photographs"] == 6 and result["cartoons"] == 8
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["checkpoint"] for row in rows] == list(result["scores"])
    assert cv2.imread(str(out / "drawings.png")) is not None


def test_too_few_pictures_are_named(trained, weights, tmp_path):
    with pytest.raises(UserError, match="testA hold 0 pictures"):
        evaluate(Evaluate(photos="test"), trained, tmp_path, weights, tmp_path / "out")
    with pytest.raises(UserError, match="no checkpoints"):
        evaluate(Evaluate(), tmp_path, tmp_path, weights, tmp_path / "out")


def test_the_lowest_score_wins_and_the_earliest_of_equals():
    scores = {
        "photographs": {"m": 0.0},
        "step-000003": {"m": 1.0},
        "step-000002": {"m": 1.0},
        "step-000001": {"m": 2.0},
    }
    assert best(scores, "m") == "step-000002"
    scores["step-000002"]["m"] = float("nan")
    assert best(scores, "m") == "step-000003"
    with pytest.raises(UserError, match=r"no checkpoint has a 'fid' score .*Inception"):
        best(scores, "fid")


def test_of_those_that_cannot_be_told_apart_the_most_recognisable_wins():
    scores = {
        "step-000001": {"m": 1.00, "m_interval": 0.2, "face_distance": 0.9},
        "step-000002": {"m": 1.19, "m_interval": 0.9, "face_distance": 0.4},
        "step-000003": {"m": 1.21, "m_interval": 0.9, "face_distance": 0.1},
    }
    assert best(scores, "m") == "step-000002"
    scores["step-000001"]["m_interval"] = 0.1
    assert best(scores, "m") == "step-000001"


def chosen(out, trained, folder, **params):
    return select(Select(**params), out, trained, folder)


def test_the_pick_is_registered_with_its_lineage(scored, trained, tmp_path):
    out, result = scored
    selection = chosen(out, trained, tmp_path / "selected", model_name="lineage")
    assert selection.checkpoint == best(result["scores"], "kernel_efficientnet")
    assert selection.champion and selection.version == 1
    version = registry.find_alias("lineage", "champion")
    assert int(version.version) == 1 and registry.find_alias("lineage", "candidate").version == version.version
    assert version.tags["data_sha256"] == result["data_sha256"] and version.tags["checkpoint"] == selection.checkpoint
    client = connect().MlflowClient()
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    assert json.loads(logged.tags["mlflow.modelVersions"])[0]["version"] == 1
    assert {metric.key: metric.value for metric in logged.metrics}.items() >= {
        key: pytest.approx(value)
        for key, value in result["scores"][selection.checkpoint].items()
        if not key.endswith("_interval")
    }.items()
    stored = {item.path for item in client.list_logged_model_artifacts(logged.model_id)}
    # Other tests may have logged exports to the same model.
    assert stored >= {"genA2B.safetensors", "checkpoint.json", "drawings.png"}


def test_selecting_the_same_again_makes_no_new_version(scored, trained, tmp_path):
    first, second = (chosen(scored[0], trained, tmp_path / str(n), model_name="again") for n in range(2))
    assert first == second and first.version == 1


def test_selecting_the_same_again_does_not_undo_what_a_person_did(scored, trained, tmp_path):
    """A person takes the champion out of service; a later run with the same scores does not bring it back."""
    chosen(scored[0], trained, tmp_path / "1", model_name="person")
    worse = registry.read_tags("person", 1) | {"generator_sha256": "other" * 8, "score": "1e9", DECIDED: "otherwise"}
    registry.set_champion("person", register("person", tmp_path / "1", **worse))
    assert not chosen(scored[0], trained, tmp_path / "2", model_name="person").champion
    assert int(registry.find_alias("person", "champion").version) == 2
    assert chosen(scored[0], trained, tmp_path / "3", model_name="person", champion="always").champion


def test_a_worse_pick_does_not_take_the_champions_place(scored, trained, tmp_path):
    result = scored[1]
    names = sorted(["step-000002", "step-000004"], key=lambda name: result["scores"][name]["kernel_face"])
    worse = tmp_path / "worse"
    worse.mkdir()

    def pick(keep, **params):
        scores = {name: values for name, values in result["scores"].items() if name in ("photographs", keep)}
        (worse / "scores.json").write_text(json.dumps(result | {"scores": scores}))
        return chosen(worse, trained, tmp_path / "x", model_name="duel", metric="kernel_face", **params)

    assert pick(names[0]).champion
    second = pick(names[1])
    assert (second.version, second.champion) == (2, False)
    assert registry.find_alias("duel", "champion").version in (1, "1")
    assert int(registry.find_alias("duel", "candidate").version) == 2
    assert pick(names[1], champion="always").champion
    assert int(registry.find_alias("duel", "previous").version) == 1
    assert not pick(names[0], champion="never").champion


def test_scores_on_other_splits_are_left_to_a_person(scored, trained, tmp_path, capsys):
    """A champion scored on the held-out photographs is not replaced by a score on all photographs, however low."""
    result = scored[1]

    def pick(splits, better, out):
        scores = {name: values for name, values in result["scores"].items() if name in ("photographs", better)}
        out.mkdir()
        (out / "scores.json").write_text(json.dumps(result | {"scores": scores, "splits": splits}))
        return chosen(out, trained, tmp_path / "x", model_name="splits", metric="kernel_face")

    best_, worst = sorted(["step-000002", "step-000004"], key=lambda name: result["scores"][name]["kernel_face"])
    assert pick(["test"], worst, tmp_path / "held-out").champion
    capsys.readouterr()
    assert not pick(["train", "test"], best_, tmp_path / "all").champion
    assert "was measured by splits test: a person decides" in capsys.readouterr().err
    assert int(registry.find_alias("splits", "champion").version) == 1
    assert pick(["test"], best_, tmp_path / "like-with-like").champion


def test_scores_and_pictures_are_a_page_that_needs_no_other(scored, tmp_path):
    out, result = scored
    write_page(out, tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert "http" not in page and "<script" not in page
    for name, values in result["scores"].items():
        assert f"<th>{name}</th><td>{next(iter(values.values())):.4g}</td>" in page
    encoded = page.split("base64,")[1].split('"')[0]
    assert base64.b64decode(encoded) == (out / "drawings.png").read_bytes()


def test_a_choice_names_its_place_in_mlflow(tmp_path, monkeypatch):
    chosen = Selection("step-000040", "kernel_face", 0.5, 0.75, "photo2cartoon", 7, True, "abc", "sha")
    write_summary(chosen, tmp_path / "summary.md", "version 7 promoted")
    told = (tmp_path / "summary.md").read_text()
    assert "photo2cartoon version 7, run abc" in told and "kernel_face: 0.5 (the photographs themselves: 0.75)" in told
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000/")
    write_summary(chosen, tmp_path / "summary.md", "version 7 promoted")
    assert "(http://mlflow:5000/#/models/photo2cartoon/versions/7)" in (tmp_path / "summary.md").read_text()


def test_a_step_of_kubeflow_says_so_wherever_it_is_tracked(monkeypatch):
    assert "kubeflow_run" not in lineage()
    monkeypatch.setenv("KFP_RUN_ID", "run-1")
    assert lineage()["kubeflow_run"] == "run-1"
