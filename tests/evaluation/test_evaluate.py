"""Every checkpoint gets every score, the photographs too, and MLflow holds them."""

import csv
import json

import cv2
import pytest

from photo2cartoon import registry, tracking
from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.selection import best, select
from photo2cartoon.params import Evaluate, Select

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
    client = tracking.connect().MlflowClient()
    stored = {item.path for item in client.list_artifacts(version.run_id, f"models/{selection.checkpoint}")}
    assert stored == {f"models/{selection.checkpoint}/{name}" for name in ("genA2B.safetensors", "checkpoint.json")}


def test_selecting_the_same_again_makes_no_new_version(scored, trained, tmp_path):
    versions = {chosen(scored[0], trained, tmp_path / str(n), model_name="again").version for n in range(2)}
    assert versions == {1}


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
