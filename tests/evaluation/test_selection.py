"""The chosen checkpoint becomes a version that says why; it becomes champion only if it is better, or if told so."""

import json
import shutil

import numpy as np
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.bootstrap_draws import write_draws
from photo2cartoon.evaluation.evaluate import evaluate
from photo2cartoon.evaluation.selection import DECIDED, select
from photo2cartoon.params import Evaluate, Select
from photo2cartoon.scoring.names import check_choice
from photo2cartoon.tracking import aliases, registry
from photo2cartoon.tracking.client import connect
from tests.registered import register

NOISE = np.random.default_rng(0).normal(size=1000)


@pytest.fixture(scope="module")
def scored(trained, faces, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("scores") / "evaluation"
    return out, evaluate(Evaluate(photos="all"), trained, faces, weights, out, Select(model_name="none"))


@pytest.fixture
def pick(scored, trained, tmp_path):
    """Function that selects among checkpoints with these scores by kernel_face; `champion` is its version and score."""

    def run(model, champion=None, own=0.01, params=None, people=40, **scores):
        rng = np.random.default_rng(1)
        given = {name.replace("_", "-"): value for name, value in scores.items()} | {"photographs": 9.0}
        given |= {"champion": champion[1]} if champion else {}
        out = tmp_path / "scores"
        out.mkdir(exist_ok=True)
        result = {**scored[1], "champion": champion and champion[0], "floors": {}, "people": people}
        result["scores"] = {name: {"kernel_face": value} for name, value in given.items()}
        (out / "scores.json").write_text(json.dumps(result))
        write_draws(out, {n: {"kernel_face": v + NOISE + own * rng.normal(size=1000)} for n, v in given.items()})
        (out / "drawings.png").write_bytes((scored[0] / "drawings.png").read_bytes())
        section = Select(model_name=model, metric=("kernel_face",), **(params or {}))
        return select(section, out, trained, tmp_path / "selected")

    return run


def test_a_checkpoint_that_was_not_scored_is_not_registered(scored, trained, tmp_path):
    """A training that ran again has checkpoints of the same names."""
    again = tmp_path / "train"
    shutil.copytree(trained, again)
    first, second = (again / f"checkpoints/step-00000{step}" for step in (2, 4))
    for source, target in ((first, again / "other"), (second, first), (again / "other", second)):
        source.rename(target)
    with pytest.raises(
        UserError, match=r"step-00000\d: is not the checkpoint that was scored; `p2c evaluate` scores it"
    ):
        select(Select(model_name="unscored"), scored[0], again, tmp_path / "selected")
    assert not (tmp_path / "selected").exists() and aliases.champion_version("unscored") is None


def test_the_pick_is_registered_with_its_lineage_and_its_reason(scored, trained, tmp_path):
    out, result = scored
    selection = select(Select(model_name="lineage"), out, trained, tmp_path / "selected")
    assert selection.champion and selection.version == 1 and selection.compared == "there is no champion"
    version = aliases.find_alias("lineage", "champion")
    assert int(version.version) == 1 and aliases.find_alias("lineage", "candidate").version == version.version
    assert version.tags["data_sha256"] == result["data_sha256"] and version.tags["checkpoint"] == selection.checkpoint
    client = connect().MlflowClient()
    logged = client.get_logged_model(version.source.removeprefix("models:/"))
    # Other tests may have registered the same checkpoint under other names.
    assert {"name": "lineage", "version": 1} in json.loads(logged.tags["mlflow.modelVersions"])
    scores = {k: v for k, v in result["scores"][selection.checkpoint].items() if not k.endswith("_interval")}
    assert {metric.key: metric.value for metric in logged.metrics} == pytest.approx(scores)
    assert {metric.dataset_name for metric in logged.metrics} == {"portraits train+test"}
    stored = {item.path for item in client.list_logged_model_artifacts(logged.model_id)}
    # Other tests may have logged exports to the same model.
    assert stored >= {"genA2B.safetensors", "checkpoint.json", "drawings.png"}
    for part in (
        "artifact_file_path=drawings.png",
        "| identity_dlib | higher | ",
        "Why this checkpoint",
        "identity_sface is the independent judge",
    ):
        assert part in version.description, part
    for name, reason in selection.reasons.items():
        assert f"| {name} |" in version.description and reason in version.description
    whole = client.get_run(selection.mlflow_run)
    assert whole.data.metrics["kernel_efficientnet"] == pytest.approx(selection.score)
    assert "**Selection:** " in whole.data.tags["mlflow.note.content"]
    # Another rule may choose an earlier checkpoint of the same run: the run shows the scores of that one.
    for metric in ("kernel_face", "identity_dlib"):
        again = select(Select(model_name="lineage", metric=(metric,)), out, trained, tmp_path / metric)
        shown = client.get_run(again.mlflow_run).data.metrics[metric]
        assert shown == pytest.approx(result["scores"][again.checkpoint][metric])


def test_all_checkpoints_and_the_photographs_are_in_the_table_of_models(scored, trained):
    _, result = scored
    client = connect().MlflowClient()
    experiment = client.get_experiment_by_name("photo2cartoon").experiment_id
    found = client.search_logged_models([experiment], "metrics.kernel_face < 1000", max_results=200)
    whole = json.loads((trained / "run.json").read_text())["mlflow_run"]
    assert {model.name for model in found if model.source_run_id == whole} >= set(result["scores"])


def test_selecting_the_same_again_makes_no_new_version(scored, trained, tmp_path):
    chosen = (select(Select(model_name="again"), scored[0], trained, tmp_path / str(n)) for n in range(2))
    first, second = chosen
    assert first == second and first.version == 1


def test_selecting_the_same_again_does_not_undo_what_a_person_did(scored, trained, tmp_path):
    """A person takes the champion out of service; a later run with the same scores does not bring it back."""

    def chosen(number, **params):
        return select(Select(model_name="person", **params), scored[0], trained, tmp_path / str(number))

    chosen(1)
    worse = registry.read_tags("person", 1) | {"generator_sha256": "other" * 8, "score": "1e9", DECIDED: "otherwise"}
    aliases.set_champion("person", register("person", tmp_path / "1", **worse))
    assert not chosen(2).champion
    assert aliases.champion_version("person") == 2
    assert chosen(3, promote="always").champion


def test_only_what_is_better_on_the_same_photographs_takes_the_champions_place(pick):
    first = pick("duel", step_000002=1.0)
    assert (first.version, first.champion) == (1, True)
    worse = pick("duel", champion=(1, 1.0), step_000004=1.2)
    assert (worse.version, worse.champion) == (2, False) and "by kernel_face worse (+0.2" in worse.compared
    assert aliases.champion_version("duel") == 1 and int(aliases.find_alias("duel", "candidate").version) == 2
    alike = pick("duel", champion=(1, 1.0), own=0.2, step_000004=0.99)
    assert not alike.champion and "cannot be told apart (-0.01" in alike.compared
    better = pick("duel", champion=(1, 1.0), step_000004=0.8)
    assert better.champion and "by kernel_face better (-0.2" in better.compared
    assert aliases.find_alias("duel", "previous") is None  # nothing has been served
    assert registry.get_version("duel", 2).tags["compared"] == better.compared


def test_a_few_people_promote_nothing(pick):
    assert pick("few", step_000002=1.0).champion
    better = pick("few", champion=(1, 1.0), people=7, step_000004=0.8)
    assert not better.champion and "better (-0.2" in better.compared
    assert better.compared.endswith("; 7 people are too few to tell, at least 8 are needed")


def test_the_best_of_many_has_to_be_better_by_more(pick):
    """Chosen from ten on the same photographs, what would be better alone cannot be told from the champion."""
    assert pick("many", step_000002=1.0).champion
    given = {"champion": (1, 1.0), "own": 0.035, "step_000004": 0.9}
    alone = pick("alone", **given) if pick("alone", step_000002=1.0).champion else None
    assert alone and alone.champion and ", 95 % " in alone.compared
    among = pick("many", **given, **{f"step_{number:06}": 0.95 for number in range(10, 19)})
    assert not among.champion and ", 99.5 % " in among.compared


def test_always_and_ask(pick):
    assert not pick("asked", params={"promote": "ask"}, step_000002=1.0).champion
    assert aliases.champion_version("asked") is None
    assert pick("always", step_000002=1.0).champion
    assert pick("always", champion=(1, 1.0), params={"promote": "always"}, step_000004=5.0).champion
    assert not pick("always", champion=(2, 5.0), params={"promote": "ask"}, step_000002=1.0).champion


def test_a_champion_that_was_not_scored_here_is_left_to_a_person(pick, capsys):
    """Its scores on other photographs, however bad, prove nothing."""
    assert pick("elsewhere", step_000002=1.0).champion
    left = pick("elsewhere", step_000004=0.1)
    assert not left.champion and "not compared with the champion, version 1" in left.compared
    assert "a person decides, or `p2c evaluate` again" in capsys.readouterr().err
    moved = pick("elsewhere", champion=(7, 1.0), step_000004=0.2)  # the alias has moved since
    assert not moved.champion and aliases.champion_version("elsewhere") == 1


def test_no_checkpoint_above_the_floors_registers_nothing(pick, tmp_path):
    with pytest.raises(UserError, match=r"kernel_face 2 is above the limit 1"):
        pick("floors", params={"floors": {"kernel_face": 1.0}}, step_000002=2.0, step_000004=3.0)
    assert registry.list_versions("floors") == [] and not (tmp_path / "selected").exists()


def test_a_metric_that_nobody_knows_is_named_at_once(p2c, tmp_path):
    (tmp_path / "params.yaml").write_text("select: {metric: kernel_fase}\n")
    done = p2c("params", code=1)
    assert done.stderr.startswith("p2c: select: there is no metric 'kernel_fase'; there are kernel_face, ")

    (tmp_path / "params.yaml").write_text("select: {floors: {worst_fid: 3}}\n")
    assert "'worst_fid': fid is not measured by groups" in p2c("params", code=1).stderr
    (tmp_path / "params.yaml").write_text("select: {metric: []}\n")
    assert "metric is empty" in p2c("params", code=1).stderr


def test_what_photographs_have_no_score_by_cannot_rank():
    """`cycle` needs the way back; a floor of it is measured on the checkpoints alone."""
    check_choice(["identity_sface"], ["cycle"])
    for name in ("cycle", "worst_cycle"):
        with pytest.raises(UserError, match=f"select.metric: '{name}' needs the way back"):
            check_choice([name], [])
