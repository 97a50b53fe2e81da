"""`p2c translate` shows every held-out picture in U-GAT-IT's seven rows, in both directions."""

import cv2
import numpy as np
import torch

from photo2cartoon.checkpoint import copy_generator, load_generator
from photo2cartoon.dataset.faces import list_pictures, load_faces, to_uint8
from photo2cartoon.pictures import heatmap_on
from photo2cartoon.scoring.seven_rows import seven_rows


def test_seven_rows_are_the_definition(checkpoint, faces):
    generators = {name: load_generator(checkpoint, name) for name in ("genA2B", "genB2A")}
    pictures = load_faces(faces / "testA", 128).pictures[:2]
    rows = seven_rows(generators, pictures, "A2B")
    real = pictures.float() / 127.5 - 1
    with torch.no_grad():
        same, drawn = generators["genB2A"](real), generators["genA2B"](real)
        back = generators["genB2A"](drawn.image)
    for index, expected in ((0, real), (2, same.image), (4, drawn.image), (6, back.image)):
        assert np.array_equal(np.stack(rows[index][1]), to_uint8(expected))
    for index, shown, drawing in ((1, real, same), (3, real, drawn), (5, drawn.image, back)):
        expected = heatmap_on(to_uint8(shown)[0], drawing.heatmap[0, 0].numpy())
        assert np.array_equal(rows[index][1][0], expected)


def test_every_held_out_picture_both_ways(p2c, checkpoint, faces, tmp_path):
    done = p2c("translate", "--checkpoint", checkpoint, "--data", faces, "--out", "grids")
    counts = {letter: len(list_pictures(faces / f"test{letter}")) for letter in "AB"}
    assert done.stdout.startswith(f"grids: {counts['A']} photographs and {counts['B']} cartoons")
    for direction in ("A2B", "B2A"):
        columns = sorted((tmp_path / "grids" / direction).iterdir())
        assert [path.stem for path in columns] == [path.stem for path in list_pictures(faces / f"test{direction[0]}")]
        assert cv2.imread(str(columns[0])).shape == (7 * 128, 128, 3)
    assert cv2.imread(str(tmp_path / "grids/overview.png")).std() > 20


def test_both_generators_are_needed(p2c, checkpoint, faces, tmp_path):
    copy_generator(checkpoint, tmp_path / "one")
    told = p2c("translate", "--checkpoint", "one", "--data", faces, "--out", "grids", code=1).stderr
    assert told == "p2c: one: holds no genB2A; it holds genA2B\n"
    told = p2c("translate", "--checkpoint", checkpoint, "--data", faces, "--out", "g", "--split", "all", code=1).stderr
    assert told == "p2c: translate: --split is 'all', expected test or train\n"
    told = p2c("test", "--checkpoint", "one", "--data", faces, "--out", "grids", code=1).stderr
    assert told.startswith("p2c test is called `p2c translate` now")
    assert not (tmp_path / "grids").exists()
