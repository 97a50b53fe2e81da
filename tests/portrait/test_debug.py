"""`p2c portrait` writes portraits, or shows on the photograph how they were made."""

import cv2
import numpy as np
import pytest

from photo2cartoon.portrait import Photograph, PortraitMaker, decode
from photo2cartoon.portrait.debug import CROP, POINT, explain


def test_the_points_are_drawn_where_they_are_and_the_crop_where_it_was_taken(weights, astronaut):
    rgb = decode(astronaut)
    made = PortraitMaker.from_weights(weights).of(Photograph(astronaut))
    shown = explain(rgb, [made])
    assert shown.shape == (512, 1024, 3)
    for x, y in np.rint(made.points[:17]).astype(int):
        assert np.abs(shown[y, x].astype(int) - POINT).max() < 60
    corner = np.rint(cv2.invertAffineTransform(made.matrix)[:, 2]).astype(int)
    near = shown[corner[1] - 2 : corner[1] + 3, corner[0] - 2 : corner[0] + 3].reshape(-1, 3)
    assert np.abs(near.astype(int) - CROP).max(axis=1).min() < 30
    background = np.array([made.rgba[..., 3] == 0][0])
    assert background.mean() > 0.2  # and the mask cuts something away, which is pale:
    middle = cv2.warpAffine(background.astype(np.uint8), made.matrix, (512, 512), flags=cv2.WARP_INVERSE_MAP) > 0
    assert shown[:, :512][middle].mean() > rgb[middle].mean() + 20


@pytest.mark.parametrize("debug", [False, True])
def test_the_command_writes_one_picture_a_photograph_and_names_what_has_none(p2c, raw, weights, tmp_path, debug):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("collins--straight.png", "hopper--left.png"):
        (folder / name).write_bytes((raw / "photos" / name).read_bytes())
    cv2.imwrite(str(folder / "wall.png"), np.full((300, 300, 3), 200, np.uint8))
    done = p2c("portrait", folder, "--out", "out", "--weights", weights, *(["--debug"] if debug else []))
    said = "out: 3 pictures\n" if debug else "out: 2 pictures; 1 picture could not be made\n"
    assert "wall.png: no face" in done.stderr and done.stdout == said
    written = {path.name: cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "out").iterdir()}
    assert set(written) == {"collins--straight.png", "hopper--left.png", *(["wall.png"] if debug else [])}
    assert all(picture.shape[2] == (3 if debug else 4) for picture in written.values())


def test_a_face_that_is_too_small_is_shown_with_the_reason(p2c, weights, astronaut, tmp_path):
    rgb = cv2.resize(decode(astronaut), (160, 160), interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(tmp_path / "small.png"), cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    done = p2c("portrait", "small.png", "--out", "look", "--weights", weights, "--debug")
    assert "small.png: too small: the face is " in done.stderr and done.stdout == "look: 1 picture\n"
    shown = cv2.cvtColor(cv2.imread(str(tmp_path / "look/small.png")), cv2.COLOR_BGR2RGB)
    assert shown.shape[0] == 200 and shown.shape[1] > 400  # the photograph, and the reason below it
    yellow = (np.abs(shown[:160, :160].astype(int) - POINT).max(axis=2) < 60).sum()
    assert yellow > 100 and (shown[160:].min(axis=2) < 128).any()


def test_a_source_that_is_not_there_leaves_no_folder(p2c, tmp_path):
    done = p2c("portrait", "nowhere.jpg", "--out", "out", code=1)
    assert done.stderr == "p2c: nowhere.jpg: no such picture or folder\n" and list(tmp_path.iterdir()) == []
