"""`p2c style new` makes a project that DVC takes, without a clone; wrong pictures are refused before anything is written."""

import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

from photo2cartoon import params
from photo2cartoon.dataset.sample import draw_head
from photo2cartoon.errors import UserError
from photo2cartoon.style import project
from photo2cartoon.style.project import Pictures, new_style, parameters, stages
from tests.conftest import ROOT


@pytest.fixture(scope="module")
def cartoons(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cartoons")
    for number in range(8):
        cv2.imwrite(str(folder / f"head-{number}.png"), cv2.cvtColor(draw_head(number), cv2.COLOR_RGBA2BGRA))
    return folder


@pytest.fixture(scope="module")
def mine(cartoons, raw, tmp_path_factory):
    folder = tmp_path_factory.mktemp("styles") / "mine"
    assert new_style(folder, Pictures(cartoons, raw / "photos"))["cartoons"] == 8
    return folder


def run(folder: Path, *command: str) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_a_git_repository_and_a_dvc_project_that_can_be_promoted_to(mine):
    added = run(mine, "git", "diff", "--cached", "--name-only").split()
    assert {"params.yaml", "dvc.yaml", "data/cartoons.dvc", "data/photos.dvc", ".dvc/plots/curves.json"} <= set(added)
    assert not [name for name in added if name.endswith((".png", ".jpg")) or "weights" in name]
    for name in ("generator/config.pbtxt", "photo2cartoon/1/.gitkeep", "gate/1/model.py"):
        assert (mine / "triton_repo" / name).read_bytes() == (ROOT / "triton_repo" / name).read_bytes()
    assert not (mine / "triton_repo/generator/1").exists()


def test_its_first_stages_run_by_dvc_and_a_second_time_nothing_does(mine):
    run(mine, "dvc", "repro", "-q", "ingest")
    assert len(list((mine / "data/raw/cartoons").iterdir())) == 8
    assert yaml.safe_load((mine / "reports/params.yaml").read_text())["train"]["recipe"] == "restyle"
    again = run(mine, "dvc", "repro", "ingest")
    assert "Running stage 'ingest'" not in again and "Running stage 'params'" not in again


def test_stages_are_the_projects_without_its_modules():
    ours = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    made = yaml.safe_load(stages())["stages"]
    assert list(made) == ["release", *ours]
    for name, stage in ours.items():
        outside = [path for path in stage.get("deps", []) if path.startswith("src/")]
        expected = {path for path in stage.get("deps", []) if path not in outside}
        assert set(made[name].get("deps", [])) == expected | ({"reports/release.json"} if outside else set())
        assert made[name]["cmd"] == stage["cmd"]


def test_its_parameters_are_valid_for_each_kind_of_pictures(tmp_path):
    for kinds, recipe in (
        (("cartoons",), "restyle"),
        (("cartoons", "photos"), "restyle"),
        (("cartoons", "photos", "drawings"), "paired"),
    ):
        (tmp_path / "params.yaml").write_text(parameters("mine", kinds))
        read = params.load(tmp_path / "params.yaml")
        assert read.train.recipe == recipe and read.select.model_name == "mine"
        assert {kind: getattr(read.ingest, f"{kind}_at") for kind in kinds} == {kind: f"data/{kind}" for kind in kinds}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"cartoons": "few"}, "a style needs 8 or more"),
        ({"cartoons": "damaged"}, "broken.png"),
        ({"cartoons": "good", "drawings": "few"}, "needs --photos"),
        ({"cartoons": "good", "photos": "few", "drawings": "good"}, "has no photograph of the same name"),
        ({"cartoons": "nowhere"}, "nowhere"),
    ],
)
def test_what_cannot_become_a_style_is_refused_and_leaves_nothing(given, said, cartoons, tmp_path):
    places = {
        "good": cartoons,
        "few": tmp_path / "few",
        "damaged": tmp_path / "damaged",
        "nowhere": tmp_path / "nowhere",
    }
    for name in ("few", "damaged"):
        places[name].mkdir()
        for path in sorted(cartoons.iterdir())[: 3 if name == "few" else 8]:
            (places[name] / path.name).write_bytes(path.read_bytes())
    (places["damaged"] / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnot much")
    with pytest.raises(UserError, match=said):
        new_style(tmp_path / "style", Pictures(**{name: places[place] for name, place in given.items()}))
    assert not (tmp_path / "style").exists()


def test_a_folder_with_something_in_it_and_a_wrong_name_are_refused(cartoons, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there/file").touch()
    with pytest.raises(UserError, match="already exists"):
        new_style(tmp_path / "there", Pictures(cartoons))
    with pytest.raises(UserError, match="letters, digits"):
        new_style(tmp_path / "my style", Pictures(cartoons))


def test_ctrl_c_leaves_nothing(cartoons, tmp_path, monkeypatch):
    """Half of a project could be neither used nor made again."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(project, "_version", interrupted)
    with pytest.raises(KeyboardInterrupt):
        new_style(tmp_path / "mine", Pictures(cartoons))
    assert not (tmp_path / "mine").exists()
