"""Every checkpoint, the champion and the photographs get every score, on the same resamples, and MLflow shows them."""

import csv
import json
import shutil
from pathlib import Path

import cv2
import mlflow
import numpy as np
import pytest

from photo2cartoon.checkpoint import copy_averages, load_generator
from photo2cartoon.dataset.faces import faces_fingerprint
from photo2cartoon.dataset.subsets import copy_scored
from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.bootstrap_draws import read_draws
from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.selection import select
from photo2cartoon.files import sha256_of
from photo2cartoon.params import Evaluate, Select
from photo2cartoon.scoring.metrics import METRICS
from photo2cartoon.scoring.scorer import Scorer
from photo2cartoon.tracking import aliases, registry
from photo2cartoon.tracking.client import connect

# What can be measured on three cartoons of two people, without drawings and without optional weights.
MEASURED = {
    "kernel_face", "frechet_face", "kernel_efficientnet", "frechet_efficientnet", "precision", "recall", "novelty",
    "identity_dlib", "identity_sface", "skin_colour", "skin_tone_shift", "head_colour", "clothes_colour",
}  # fmt: skip


@pytest.fixture(scope="module")
def scored(trained, faces, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("scores") / "evaluation"
    return out, evaluate(Evaluate(photos="all"), trained, faces, weights, out, Select(model_name="none"))


def plain(values):
    return {key for key in values if not key.endswith("_interval") and not key.startswith("worst_")}


def test_every_checkpoint_has_every_score(scored):
    out, result = scored
    assert json.loads((out / "scores.json").read_text()) == result
    assert list(result["scores"]) == ["photographs", "step-000002", "step-000004"] and result["champion"] is None
    assert plain(result["scores"]["photographs"]) == MEASURED
    assert plain(result["scores"]["step-000004"]) == MEASURED | {"cycle"}
    baseline = result["scores"]["photographs"]
    assert baseline["identity_sface"] == pytest.approx(1) and baseline["identity_dlib"] == pytest.approx(1)
    assert baseline["skin_colour"] == 0
    assert result["photographs"] == 6 and result["cartoons"] == 8 and result["trained_on"] == ["identity_dlib"]
    rows = list(csv.DictReader((out / "scores.csv").open()))
    assert [row["model"] for row in rows] == list(result["scores"])
    assert cv2.imread(str(out / "drawings.png")) is not None


def test_averages_are_not_scored_as_the_generators_of_the_last_step(trained, faces, weights, tmp_path):
    copy_averages(trained, tmp_path / "run")
    with pytest.raises(UserError, match="step-000002: holds the averaged genA2B alone, not that of the last step"):
        evaluate(Evaluate(photos="all", generator="raw"), tmp_path / "run", faces, weights, tmp_path / "scores")
    assert not (tmp_path / "scores").exists()


def test_scores_name_the_images_that_they_were_measured_on(scored, trained, faces, weights, tmp_path):
    """Not the dataset of the training: with the same images anywhere, MLflow shows the same evaluation dataset."""
    _, result = scored
    assert result["data_sha256"] == faces_fingerprint(faces)
    same, other = tmp_path / "same", tmp_path / "other"
    copy_scored(faces, same, "all")
    shutil.copytree(faces, other)
    next((other / "testB").glob("*.png")).unlink()
    for data, equal in ((same, True), (other, False)):
        scores = tmp_path / f"{data.name}-scores"
        again = evaluate(Evaluate(photos="all"), trained, data, weights, scores, Select(model_name="none"))
        assert again["data_sha256"] == result["data_sha256"]
        assert (again["scored_sha256"] == result["scored_sha256"]) is equal
        run = connect().search_runs(search_all_experiments=True, filter_string="attributes.run_name = 'evaluate'")
        (dataset,) = connect().MlflowClient().get_run(run["run_id"][0]).inputs.dataset_inputs
        assert again["scored_sha256"].startswith(dataset.dataset.digest)


def test_groups_have_their_counts_and_the_worst_of_them_is_a_score(scored):
    _, result = scored
    assert sum(result["groups"].values()) <= 6 and min(result["groups"].values()) >= 3
    values, groups = result["scores"]["step-000004"], result["by_group"]["step-000004"]
    assert values["worst_identity_dlib"] == min(each["identity_dlib"] for each in groups.values())
    assert values["worst_skin_colour"] == max(each["skin_colour"] for each in groups.values())


def test_draws_are_of_the_same_photographs_for_every_model(scored):
    """The bootstrap's draws of two models go together, so their difference is known better than either."""
    out, result = scored
    draws = read_draws(out)
    assert set(draws) == set(result["scores"]) and set(draws["step-000002"]) >= MEASURED
    for metric in ("kernel_efficientnet", "skin_colour"):
        a, b = (draws[name][metric] for name in ("step-000002", "step-000004"))
        assert (a - b).std() < 0.9 * np.hypot(a.std(), b.std())


def test_scores_are_those_of_the_generator_alone(scored, trained, faces, weights):
    """Whatever the cache holds, a checkpoint's scores do not depend on what was scored before it."""
    _, result = scored
    scorer = Scorer(faces, 128, ("train", "test"), weights)
    alone = scorer.of(load_generator(trained / "checkpoints/step-000004")).scores
    for metric in MEASURED:
        assert alone[metric] == pytest.approx(result["scores"]["step-000004"][metric], rel=1e-5), metric
    only = Scorer(faces, 128, ("train", "test"), weights, only=["kernel_face"])
    assert only.of(load_generator(trained / "checkpoints/step-000004"), draws=False).scores == {
        "kernel_face": pytest.approx(alone["kernel_face"], rel=1e-5)
    }


def test_the_champion_is_scored_on_the_same_photographs(scored, trained, faces, weights, tmp_path):
    out, result = scored
    chosen = select(Select(model_name="scored-too"), out, trained, tmp_path / "selected")
    again = evaluate(
        Evaluate(photos="all"), trained, faces, weights, tmp_path / "again", Select(model_name="scored-too")
    )
    assert again["champion"] == chosen.version == 1
    for metric in MEASURED:
        expected = result["scores"][chosen.checkpoint][metric]
        assert again["scores"]["champion"][metric] == pytest.approx(expected, rel=1e-5), metric
    assert np.allclose(
        read_draws(tmp_path / "again")["champion"]["skin_colour"], read_draws(out)[chosen.checkpoint]["skin_colour"]
    )
    (tmp_path / "lost").mkdir()
    client = connect().MlflowClient()
    empty = client.create_logged_model(client.get_run(chosen.mlflow_run).info.experiment_id, "empty")
    made = client.create_model_version("scored-too", f"models:/{empty.model_id}", model_id=empty.model_id)
    aliases.set_champion("scored-too", int(made.version))
    without = evaluate(
        Evaluate(photos="all"), trained, faces, weights, tmp_path / "without", Select(model_name="scored-too")
    )
    assert without["champion"] is None and "champion" not in without["scores"]


def test_raw_and_averaged_generators_are_two_models(trained, faces, weights, tmp_path):
    """A version registers what was scored, also where the other generator of the same checkpoint was logged before."""
    for number, which in enumerate(("ema", "raw"), 1):
        name, params = "two-generators", Evaluate(photos="all", generator=which)
        evaluate(params, trained, faces, weights, tmp_path / which, Select(model_name=name))
        chosen = select(Select(model_name=name), tmp_path / which, trained, tmp_path / f"selected-{which}")
        assert chosen.version == number
        version = registry.get_version(name, number)
        logged = Path(mlflow.artifacts.download_artifacts(version.source, dst_path=str(tmp_path / f"files-{which}")))
        assert sha256_of(logged / "genA2B.safetensors") == version.tags["generator_sha256"]


def test_too_few_pictures_are_named(trained, faces, weights, tmp_path):
    with pytest.raises(UserError, match="testA hold 0 pictures"):
        evaluate(Evaluate(photos="test"), trained, tmp_path, weights, tmp_path / "out")
    with pytest.raises(UserError, match="no checkpoints"):
        evaluate(Evaluate(), tmp_path, tmp_path, weights, tmp_path / "out")
    one = tmp_path / "one"
    (one / "testA").mkdir(parents=True)
    picture = next((faces / "testA").glob("*.png"))
    (one / "testA" / picture.name).write_bytes(picture.read_bytes())
    with pytest.raises(UserError, match="testA hold 1 pictures, scores need two or more"):
        evaluate(Evaluate(photos="test"), trained, one, weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_every_metric_says_what_it_is():
    assert {"fid", "cycle", "l1", "ssim"} | MEASURED <= set(METRICS)
    assert all(len(metric.what) > 15 and metric.better in ("lower", "higher") for metric in METRICS.values())
