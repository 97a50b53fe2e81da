"""A wrong params.yaml is refused before any work, and the message names the key."""

import json

import pytest
import yaml

from photo2cartoon import params
from photo2cartoon.errors import UserError
from photo2cartoon.params import PortraitParams
from photo2cartoon.params.arguments import evaluate_of, ingest_of, section_of, select_of, to_arguments, train_of
from tests.conftest import ROOT


def write(folder, text):
    path = folder / "params.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("train: {lerning_rate: 0.1}", "train.lerning_rate"),
        ("tarin: {lr: 0.1}", "tarin"),
        ("train: {lr: -1.0}", "train.lr"),
        ("train: {lr: fast}", "train.lr"),
        ("train: {steps: 1.5}", "train.steps"),
        ("train: {channels: 6}", "train.channels"),
        ("train: {size: 100}", "train.size"),
        ("train: {loss: {cycle: .nan}}", "train.loss.cycle"),
        ("portrait: {landmarks: openpose}", "portrait.landmarks"),
        ("preprocess: {test_share: 1.2}", "preprocess.test_share"),
        ("ingest: {photos: folder}", "photos_at"),
        ("ingest: {photos: sample, photos_at: here}", "photos_at"),
        ("profile: fulll\nprofiles: {full: {train: {lr: 0.1}}}", "fulll"),
        ("profiles: {full: {train: {stepps: 3}}}", "train.stepps"),
        ("train: [1, 2]", "train"),
        ("train: {patience: 2, score: l1, keep_best: 0}", "patience needs keep_best"),
        ("train: {recipe: paired, paired: {pseudo: 1, others: 0}}", "pseudo needs paired.others"),
        ("train: {recipe: paired, paired: {face_id: 1, others: 0}}", "face_id needs paired.others"),
        ("train: {betas: [0.5, 1.0]}", "less than 1"),
        ("select: {floors: {identity_sface: .nan}}", "finite number"),
        ("- a\n- b", "sections"),
        ("train: {lr: [", "YAML"),
        ("train: {lr: 0.1, lr: 0.2}", "key 'lr' is given twice"),
        ("train: {lr: 0.1}\nportrait: {}\ntrain: {steps: 3}", "key 'train' is given twice"),
    ],
)
def test_a_wrong_file_is_refused_by_key(tmp_path, text, key):
    with pytest.raises(UserError, match=key):
        params.load(write(tmp_path, text))


def test_what_is_left_out_keeps_its_default(tmp_path):
    assert params.load(write(tmp_path, "")) == params.Params()
    assert params.load(write(tmp_path, "train: {lr: 0.5}")).train.lr == 0.5


def test_resolved_params_can_be_read_again(tmp_path):
    first = params.load(ROOT / "params.yaml", profile="full")
    params.dump(first, tmp_path / "resolved.yaml")
    assert params.load(tmp_path / "resolved.yaml") == first


def test_the_full_profile_is_the_papers():
    train = params.load(ROOT / "params.yaml", profile="full").train
    paper = {"size": 256, "channels": 32, "steps": 200_000, "lr": 1e-4, "batch": 1, "weight_decay": 1e-4, "light": True}
    assert {key: getattr(train, key) for key in paper} == paper
    assert train.betas == (0.5, 0.999)
    assert train.loss.model_dump() == {
        "adversarial": 1, "adversarial_cam": 1, "cycle": 50, "identity": 10, "cam": 1000, "face_id": 1,
    }  # fmt: skip


def test_a_missing_file_is_named():
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        params.load("nowhere.yaml")


def test_a_profile_that_the_file_lacks_is_refused(tmp_path, monkeypatch):
    style = write(tmp_path, "train: {steps: 600}")
    with pytest.raises(UserError, match="there is no 'full'; known: default"):
        params.load(style, profile="full")
    monkeypatch.chdir(tmp_path / style.parent)
    style.unlink()
    with pytest.raises(UserError, match="there is no 'full'"):
        params.load(profile="full")
    assert params.load(profile="default") == params.Params()


@pytest.mark.parametrize(
    "place", ["dvc+git@example.org:me/faces.git#photos", "dvc+/srv/faces#photos", "s3://faces/photos"]
)
def test_a_place_that_is_no_folder_is_a_url(place):
    section = ingest_of({}, place, "/data/cartoons")
    assert (section.photos, section.photos_at, section.cartoons) == ("url", place, "folder")


def test_every_process_gets_as_many_pictures():
    paired = {"recipe": "paired", "batch": 4, "paired": {"pseudo": 1, "others": 3}}
    params.Train.model_validate(paired).check_processes(1)
    with pytest.raises(UserError, match=r"train\.paired\.others: 3 pictures cannot be divided among 2 processes"):
        params.Train.model_validate(paired).check_processes(2)
    params.Train.model_validate(paired | {"recipe": "unpaired"}).check_processes(2)


def test_the_command_line_says_it_in_one_line(p2c, tmp_path):
    write(tmp_path, "train: {lerning_rate: 0.1}")
    for verb in (["params"], ["train", "--out", "out"], ["preprocess", "--photos", ".", "--out", "out"]):
        done = p2c(*verb, code=1)
        assert done.stderr.strip().splitlines() == ["p2c: params.yaml: unknown key 'train.lerning_rate'"]
        assert not (tmp_path / "out").exists()


def test_the_schema_describes_every_key(p2c):
    schema = yaml.safe_load(p2c("params", "--schema").stdout)
    assert set(schema["properties"]) == set(params.Params.model_fields)


def test_every_parameter_is_described_where_a_person_looks_for_it(p2c):
    told = p2c("params").stdout
    assert yaml.safe_load(told) == params.Params().model_dump(mode="json")
    assert "lr: 0.0001" in told and "# learning rate of Adam" in told

    def undescribed(section, path=()):
        for name, field in type(section).model_fields.items():
            value = getattr(section, name)
            if isinstance(value, params.Section):
                yield from undescribed(value, (*path, name))
            elif not field.description:
                yield ".".join((*path, name))

    assert list(undescribed(params.Params())) == []


def test_names_of_the_previous_release_are_read_with_a_note(tmp_path, capsys):
    old = "train: {recipe: taught, taught: {l1: 2.0}}\nprofiles: {more: {train: {taught: {l1: 3.0}}}}"
    train = params.load(write(tmp_path, old), "more").train
    assert (train.recipe, train.paired.l1) == ("paired", 3.0)
    told = capsys.readouterr().err
    assert told.count("'train.taught' is called 'train.paired' now") == 1
    with pytest.raises(UserError, match=r"unknown key 'train\.taught'"):
        params.load(write(tmp_path, "train: {taught: {l1: 2.0}, paired: {l1: 2.0}}"))


def test_arguments_of_the_pipeline_come_back_as_the_same_parameters(tmp_path):
    (tmp_path / "params.yaml").write_text(
        "ingest: {photos: url, photos_at: 's3://faces/photos', cartoons: folder, cartoons_at: /data/cartoons}\n"
        "train: {steps: 7, paired: {l1: 2}}\nevaluate: {photos: all}\nselect: {promote: ask, metric: fid, max_seconds: null}\n"
    )
    expected = params.load(tmp_path / "params.yaml")
    given = json.loads(json.dumps(to_arguments(expected, "v3")), parse_int=float)  # as Kubeflow hands numbers on
    assert (given["photos"], given["cartoons"], given["revision"]) == ("s3://faces/photos", "/data/cartoons", "v3")
    assert ingest_of(given["ingest"], given["photos"], given["cartoons"]) == expected.ingest
    assert train_of(given["train"], 7, 1, given["lr"]) == expected.train
    assert evaluate_of(given["evaluate"], given["score_on"]) == expected.evaluate
    assert select_of(given["select"], given["promotion"]) == expected.select
    assert section_of(PortraitParams, given["portrait"]) == expected.portrait


def test_wrong_arguments_are_named():
    with pytest.raises(UserError, match=r"train: unknown key 'lerning_rate'"):
        train_of({"lerning_rate": 1}, 1, 1, 0.1)
    with pytest.raises(UserError, match=r"train\.steps: is a parameter of its own"):
        train_of({"steps": 5}, 1, 1, 0.1)
    with pytest.raises(UserError, match=r"portrait: 'detector'"):
        section_of(PortraitParams, {"detector": "eyes"})
    with pytest.raises(UserError, match=r"evaluate\.generator: the pipeline scores the averaged"):
        evaluate_of({"generator": "raw"}, "test")
