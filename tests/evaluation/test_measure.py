"""Tables compare the models; the drawings themselves score perfectly and the photographs do not."""

import json
import shutil

import cv2
import numpy as np
import pytest

from photo2cartoon.cli.compare import _named
from photo2cartoon.dataset.faces import read_rgba
from photo2cartoon.errors import UserError
from photo2cartoon.evaluation.measure import _strangers, measure
from photo2cartoon.portrait.background import on_white


@pytest.fixture(scope="module")
def measured(drawn_faces, weights, tmp_path_factory):
    """Measures of a model that returns the exact drawings, with enough held-out people to form groups."""
    data = tmp_path_factory.mktemp("measured")
    for folder in ("trainA", "trainB", "testA", "testB", "drawnA"):
        (data / folder).mkdir()
    listed = sorted(drawn_faces.glob("*A/*.png"))
    for path in drawn_faces.glob("*B/*.png"):
        (data / "trainB" / path.name).write_bytes(path.read_bytes())
    for path in listed:
        drawing = on_white(read_rgba(path))[..., ::-1] // 64 * 85
        sex = "female" if "collins" in path.name else "male"
        cv2.imwrite(str(data / "drawnA" / path.name), drawing)
        cv2.imwrite(str(data / "trainA" / path.name), cv2.imread(str(path)))
        (data / "testA" / path.name).write_bytes(path.read_bytes())
        (data / "testA" / f"{sex}_{path.name}").write_bytes(path.read_bytes())
    out = tmp_path_factory.mktemp("report") / "report"
    teacher = lambda portraits: np.stack([on_white(portrait) // 64 * 85 for portrait in portraits])  # noqa: E731
    return measure({"teacher": teacher}, data, weights, out), out, data


def test_a_model_that_knows_the_answers_is_perfect(measured):
    result, out, _ = measured
    pairs = result["models"]["teacher"]["with drawing"]
    assert pairs["l1"] < 0.01 and pairs["ssim"] > 0.99 and pairs["perceptual"] < 0.01
    photographs = result["models"]["photographs"]["with drawing"]
    assert photographs["l1"] > 0.05 and photographs["identity_dlib"] == pytest.approx(1)
    assert result["models"]["photographs of somebody else"]["everybody"]["identity_dlib"] < 0.99
    assert pairs["kernel_drawings"] < photographs["kernel_drawings"]
    assert json.loads((out / "measures.json").read_text()) == result


def test_groups_are_told_apart(measured):
    result, out, _ = measured
    groups = json.loads((out / "measures.json").read_text())["groups"]
    assert groups["with drawing"] == groups["without drawing"] == 6
    assert groups["female"] == groups["male"] == 3 and groups["everybody"] == 12
    assert "l1" not in result["models"]["teacher"]["male"] and "cycle" not in result["models"]["teacher"]["male"]
    assert "| teacher |" in (out / "measures.md").read_text()


def test_the_first_model_is_compared_with_the_others_on_the_same_people(measured, weights, tmp_path):
    """A teacher is nearer to its drawings than a model that does nothing, and a model is no different from itself."""
    _, _, data = measured
    teacher = lambda portraits: np.stack([on_white(portrait) // 64 * 85 for portrait in portraits])  # noqa: E731
    nothing = lambda portraits: np.stack([on_white(portrait) for portrait in portraits])  # noqa: E731
    result = measure({"teacher": teacher, "nothing": nothing, "twin": teacher}, data, weights, tmp_path / "out")
    apart = result["differences"]["teacher"]
    scores = {name: result["models"][name]["everybody"] for name in ("teacher", "nothing")}
    found = apart["nothing"]["identity_dlib"]
    assert found["difference"] == pytest.approx(scores["teacher"]["identity_dlib"] - scores["nothing"]["identity_dlib"])
    alone = np.hypot(*(scores[name]["identity_dlib_interval"] for name in scores))
    assert -found["difference"] > found["interval"] > 0 and found["interval"] <= alone * 1.01
    assert apart["twin"]["identity_dlib"] == {"difference": 0.0, "interval": 0.0}
    text = (tmp_path / "out/measures.md").read_text()
    assert "| teacher minus |" in text and "worse" in text.split("| teacher minus |")[1]


def test_photographs_are_shown_on_request_only(measured, weights, tmp_path):
    _, out, data = measured
    names = sorted(path.name for path in out.glob("*.png"))
    assert names == ["teacher-with-drawing.png", "teacher-without-drawing.png"]
    same = lambda portraits: portraits[..., :3]  # noqa: E731
    measure({"same": same}, data, weights, tmp_path / "out", photographs=True)
    alone, beside = (
        cv2.imread(str(path)).shape[0] for path in (out / names[0], tmp_path / "out/same-with-drawing.png")
    )
    assert beside == 3 * alone


def test_the_command_measures_checkpoints(measured, p2c, trained, weights, tmp_path):
    _, _, data = measured
    stems = sorted(path.stem for path in (data / "testA").iterdir())[:4]
    (tmp_path / "groups.yaml").write_text(f"with a hat: {[*stems, 'nobody']}\nvery few: [{stems[0]}]\n")
    given = ("measure", trained / "checkpoints/step-000004", "--data", data, "--weights", weights, "--out", "out")
    told = p2c(*given, "--groups", "groups.yaml").stdout
    assert "| with a hat (4) |" in told and "very few" not in told
    assert "| step-000004 |" in told and (tmp_path / "out/step-000004-with-drawing.png").exists()
    assert read_rgba(tmp_path / "out/step-000004-with-drawing.png").shape[1] == 6 * 160


def test_without_drawings_the_other_columns_are_measured(measured, weights, tmp_path):
    """Without drawings and with a single cartoon, only likeness is measured and the table omits the other measures."""
    _, _, data = measured
    (tmp_path / "trainB").mkdir()
    shutil.copytree(data / "testA", tmp_path / "testA")
    shutil.copy(next((data / "trainB").iterdir()), tmp_path / "trainB")
    same = lambda portraits: portraits[..., :3]  # noqa: E731
    result = measure({"same": same}, tmp_path, weights, tmp_path / "out")["models"]
    table = (tmp_path / "out/measures.md").read_text()
    measured = {name for name in result["same"]["everybody"] if not name.endswith("_interval")}
    assert {"identity_dlib", "skin_colour"} <= measured and not {"l1", "precision", "novelty"} & measured
    assert "nan" not in table and "`l1`" not in table and "kernel" not in table and "| same |" in table
    for path in sorted((tmp_path / "testA").iterdir())[2:]:
        path.unlink()
    with pytest.raises(UserError, match="testA holds 2 photographs, three or more are needed"):
        measure({"same": same}, tmp_path, weights, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_the_spread_over_seeds_is_reported(measured, weights, tmp_path):
    """Three models that differ by a constant: mean, deviation and range are those of three numbers."""
    _, _, data = measured
    models = {
        f"seed-{n}": lambda portraits, n=n: np.clip(portraits[..., :3].astype(int) + 20 * n, 0, 255).astype(np.uint8)
        for n in range(3)
    }
    result = measure(models, data, weights, tmp_path / "out", recipes={"brighter": list(models)})
    values = [result["models"][name]["everybody"]["skin_colour"] for name in models]
    spread = result["recipes"]["brighter"]["skin_colour"]
    assert spread["mean"] == pytest.approx(np.mean(values)) and spread["deviation"] == pytest.approx(
        np.std(values, ddof=1)
    )
    assert (spread["low"], spread["high"], spread["runs"]) == (min(values), max(values), 3)
    assert "| brighter (3) |" in (tmp_path / "out/measures.md").read_text()


def test_a_damaged_file_of_groups_is_named(p2c, tmp_path):
    for text, reason in (("a: b", "expected names of groups"), ("a: [", "cannot be read"), (None, "cannot be read")):
        if text:
            (tmp_path / "groups.yaml").write_text(text)
        done = p2c("measure", "slim", "--groups", "groups.yaml" if text else "none.yaml", "--out", "out", code=1)
        assert reason in done.stderr and "Traceback" not in done.stderr and not (tmp_path / "out").exists()


def test_a_recipe_of_one_run_is_refused(p2c, tmp_path):
    done = p2c("measure", "slim", "--recipe", "mine=slim", "--out", "out", code=1)
    assert "expected NAME=MODEL,MODEL with two models or more" in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("models", "names"),
    [
        (["full", "models/mine.onnx"], ["full", "mine"]),
        (["full", "a/checkpoints/step-100", "b/checkpoints/step-100"], ["full", "a", "b"]),
        (["runs/a", "runs/a/more", "older/a"], ["runs", "more", "older"]),
        (["mine.onnx", "mine.safetensors"], ["mine.onnx", "mine.safetensors"]),
        (["slim/generator.onnx", "full/generator.onnx", "slim"], ["slim", "full", "slim-2"]),
        (["photographs.onnx"], ["photographs.onnx"]),  # the name of a baseline
    ],
)
def test_models_of_one_name_are_told_apart_by_their_folders(models, names):
    assert list(_named(models).values()) == names


def test_a_stranger_is_somebody_else():
    stems = ["anna--left", "anna--right", "bert", "carl--left", "carl--right"]
    people = [stems[other].split("--")[0] for other in _strangers(stems)]
    assert people == ["bert", "bert", "carl", "anna", "anna"]
