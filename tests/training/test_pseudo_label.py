"""A generator draws photographs that nobody has drawn: in their own colours, flat, on white; the paired recipe learns them."""

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from photo2cartoon.checkpoint import load_generator
from photo2cartoon.dataset.faces import load_pseudo_pairs, read_rgba, to_float
from photo2cartoon.errors import UserError
from photo2cartoon.params import Paired, Train
from photo2cartoon.portrait import PortraitMaker
from photo2cartoon.portrait.background import on_white
from photo2cartoon.pretrained import FOLDER
from photo2cartoon.scoring.colour import skin_difference
from photo2cartoon.training.loop import train
from photo2cartoon.training.pseudo_label import draw_easier, easier, pseudo_label

USUAL = torch.tensor([0.86, 0.72, 0.67])


@pytest.fixture(scope="module")
def labelled(drawn_faces, weights, tmp_path_factory):
    out = tmp_path_factory.mktemp("labelled") / "faces"
    assert pseudo_label(FOLDER / "slim", drawn_faces, weights, out) == (2, 0)
    return out


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_training_photographs_without_a_drawing_get_one(labelled, drawn_faces):
    made = {f"pseudoA/{name}.png" for name in ("collins--right", "collins--straight")} | {"overview.png"}
    assert files(labelled).keys() == files(drawn_faces).keys() | made
    assert {name: data for name, data in files(labelled).items() if name not in made} == files(drawn_faces)
    pairs = load_pseudo_pairs(labelled, 256)
    assert pairs.stems == ("collins--right", "collins--straight") and pairs.pictures.shape == (2, 6, 256, 256)
    assert load_pseudo_pairs(drawn_faces, 256) is None


def test_labelling_again_leaves_the_first_labels_alone(labelled, weights, tmp_path):
    before = files(labelled)
    pseudo_label(FOLDER / "full", labelled, weights, tmp_path / "again")
    assert files(labelled) == before
    name = "pseudoA/collins--right.png"
    assert files(tmp_path / "again").keys() == before.keys() and files(tmp_path / "again")[name] != before[name]


@pytest.fixture(scope="module")
def person(labelled, weights):
    """A portrait, its 68 points, and a generator."""
    rgba = read_rgba(labelled / "trainA/collins--straight.png")
    points = PortraitMaker.from_weights(weights).finder(on_white(rgba))[0].points
    return rgba, points, load_generator(FOLDER / "slim")


def plainly(generator, rgba):
    photo = to_float(torch.from_numpy(on_white(rgba)).permute(2, 0, 1)[None])
    with torch.no_grad():
        return photo, generator(photo).image


def test_dark_skin_keeps_its_colour_on_white(person):
    rgba, points, generator = person
    dark = np.concatenate([np.rint(rgba[..., :3] * 0.3).astype(np.uint8), rgba[..., 3:]], axis=2)
    drawn = draw_easier(generator, dark, points, USUAL)
    photo, plain = plainly(generator, dark)
    drawn_photo = to_float(torch.from_numpy(drawn).permute(2, 0, 1)[None])
    assert skin_difference(photo, drawn_photo)[0] < 5 < skin_difference(photo, plain)[0]
    assert (drawn[rgba[..., 3] == 0] >= 250).all()


def test_an_easier_photograph_has_usual_skin_less_texture_and_the_same_eyes(person):
    rgba, points, _ = person
    spotted = rgba.astype(np.float32)
    spots = cv2.GaussianBlur(np.random.default_rng(0).standard_normal(rgba.shape[:2]).astype(np.float32), (0, 0), 1)
    spotted[..., :3] += 20 * spots[..., None]
    photos = [
        torch.from_numpy(on_white(np.rint(each.clip(0, 255)).astype(np.uint8)) / 255).permute(2, 0, 1)[None].float()
        for each in (rgba, spotted)
    ]
    made = [easier(photo, points, USUAL) for photo in photos]
    skin = [np.median(picture[100:190, 70:180].reshape(-1, 3), axis=0) for picture in made]
    assert np.abs(skin[0] - USUAL.numpy()).max() < 0.06
    given = [photo[0].permute(1, 2, 0).numpy() for photo in photos]
    left = {
        name: np.abs(made[0] - made[1])[place].mean() / np.abs(given[0] - given[1])[place].mean()
        for name, place in (
            ("cheek", around(points[[15, 35]].mean(axis=0))),
            ("eye", around(points[36:42].mean(axis=0))),
        )
    }
    assert left["cheek"] < 0.6 < 0.8 < left["eye"]


def around(point):
    x, y = np.rint(point).astype(int)
    return np.s_[y - 6 : y + 6, x - 6 : x + 6]


def test_the_paired_recipe_learns_them(labelled, weights, tmp_path):
    paired = Paired(l1=1, edges=0, perceptual=0, tones=0.0, pseudo=1, others=2)
    section = Train(
        recipe="paired", size=128, channels=8, hourglasses=False, steps=24, batch=1, lr=2e-3, ema_halflife=2.0,
        checkpoint_every=24, sample_every=24, log_every=1, paired=paired,
    )  # fmt: skip
    train(section, labelled, weights, tmp_path / "run")
    rows = [json.loads(line) for line in (tmp_path / "run/stats.jsonl").read_text().splitlines()]
    first, last = (sum(row["generator/pseudo"] for row in part) / 4 for part in (rows[:4], rows[-4:]))
    assert last < 0.8 * first


def test_their_loss_without_them_says_how_to_make_them(drawn_faces, weights, tmp_path):
    section = Train(recipe="paired", size=128, channels=4, steps=1, paired=Paired(pseudo=1))
    with pytest.raises(UserError, match=r"no pseudo-labels for train\.paired\.pseudo; `p2c pseudo-label` makes them"):
        train(section, drawn_faces, weights, tmp_path / "run")


def test_a_dataset_without_drawings_or_without_others_is_refused(drawn_faces, faces, weights, tmp_path):
    with pytest.raises(UserError, match="no photograph in trainA has a drawing"):
        pseudo_label(FOLDER / "slim", faces, weights, tmp_path / "out")
    shutil.copytree(drawn_faces, tmp_path / "drawn")
    for path in (tmp_path / "drawn/trainA").glob("collins*"):
        path.unlink()
    with pytest.raises(UserError, match="no photograph in trainA is without a drawing"):
        pseudo_label(FOLDER / "slim", tmp_path / "drawn", weights, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_command_says_where_to_look(drawn_faces, weights, p2c, tmp_path):
    told = p2c("pseudo-label", "--model", "slim", "--data", drawn_faces, "--weights", weights, "--out", "taught").stdout
    assert told.strip() == "taught: 2 photographs drawn; look at taught/overview.png"
    assert read_rgba(tmp_path / "taught/overview.png").shape[0] > 300
