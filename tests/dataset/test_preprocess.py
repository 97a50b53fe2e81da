"""Every picture has a row, kept or with the reason for rejection; a person is never in both splits."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from photo2cartoon.dataset.earlier import remember
from photo2cartoon.dataset.faces import faces_fingerprint
from photo2cartoon.dataset.portraits import keep_portrait
from photo2cartoon.dataset.preprocess import collect, face_names, preprocess, preprocess_shard
from photo2cartoon.dataset.subsets import copy_scored
from photo2cartoon.dataset.table import read_table, write_table
from photo2cartoon.errors import UserError
from photo2cartoon.params import PortraitParams, Preprocess
from photo2cartoon.portrait import Photograph
from photo2cartoon.portrait.background import on_white
from tests.conftest import noise


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, hopper):
    """Folder with usable and unusable files, as users have them."""
    folder = tmp_path_factory.mktemp("mixed")
    photo = cv2.imread(str(hopper))
    cv2.imwrite(str(folder / "good.jpg"), photo)
    cv2.imwrite(str(folder / "good.png"), photo)
    cv2.imwrite(str(folder / "noise.png"), noise(300, 300, 3))
    cv2.imwrite(str(folder / "small.png"), cv2.resize(photo, None, fx=0.2, fy=0.2))
    cv2.imwrite(str(folder / "icon.png"), photo[:12, :12])
    cv2.imwrite(str(folder / "huge.png"), np.zeros((3000, 3000, 3), np.uint8))
    (folder / "broken.jpg").write_bytes(hopper.read_bytes()[:20_000])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.webp").write_text("no picture")
    small = cv2.resize(photo, None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    both = np.hstack([photo, cv2.copyMakeBorder(small, 0, len(photo) - len(small), 0, 0, cv2.BORDER_REPLICATE)])
    cv2.imwrite(str(folder / "two.png"), both)
    shutil.copy(folder / "good.jpg", os.fsencode(folder) + b"/bytes\xff.jpg")
    (folder / "notes.txt").write_text("a caption")
    (folder / ".DS_Store").write_text("not listed")
    os.mkfifo(folder / "pipe.jpg")
    return folder


def test_a_row_for_every_picture(mixed, weights, tmp_path):
    out = tmp_path / "faces"
    limits = PortraitParams(max_pixels=4_000_000)
    rows = preprocess(mixed, None, weights, out, limits, Preprocess(test_share=0.0, workers=2))
    assert [row.face for row in rows] == [row.face for row in read_table(out / "pictures.csv")]
    assert {row.picture: row.result for row in rows} == {
        "broken.jpg": "unreadable",
        "bytes\udcff.jpg": "kept",
        "empty.png": "unreadable",
        "good.jpg": "kept",
        "good.png": "kept",
        "huge.png": "too large",
        "icon.png": "too small",
        "noise.png": "no face",
        "notes.txt": "no picture",
        "pipe.jpg": "unreadable",
        "small.png": "too small",
        "text.webp": "unreadable",
        "two.png": "kept",
    }
    notes = {row.picture: row.note for row in rows}
    assert notes["two.png"] == "several faces (2): largest taken"
    assert notes["empty.png"] == "empty file" and notes["pipe.jpg"] == "not a regular file"
    # Two pictures with the same stem are both kept, under different names.
    assert sorted(path.name for path in (out / "trainA").iterdir()) == [
        "bytes_.png",
        "good-jpg.png",
        "good-png.png",
        "two.png",
    ]
    face = cv2.imread(str(out / "trainA/two.png"), cv2.IMREAD_UNCHANGED)
    assert face.shape == (256, 256, 4) and face.dtype == np.uint8


def test_portraits_of_512_pixels(raw, weights, tmp_path):
    preprocess(raw / "photos", raw / "cartoons", weights, tmp_path / "faces", PortraitParams(), Preprocess(size=512))
    written = [cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in (tmp_path / "faces").rglob("*.png")]
    assert len(written) == 14 and {picture.shape for picture in written} == {(512, 512, 4)}


def test_a_person_is_never_on_both_sides(faces):
    train, test = (
        {path.name.split("--")[0] for path in (faces / f"{split}A").iterdir()} for split in ("train", "test")
    )
    assert train and test and not train & test
    assert len(list((faces / "trainB").iterdir())) + len(list((faces / "testB").iterdir())) == 8


def test_cartoons_are_kept_as_they_are_or_aligned(raw, weights, tmp_path):
    kept = tmp_path / "kept"
    preprocess(None, raw / "cartoons", weights, kept, PortraitParams(), Preprocess(test_share=0.0))
    source = cv2.imread(str(raw / "cartoons/head-1.png"), cv2.IMREAD_UNCHANGED)
    got = cv2.imread(str(kept / "trainB/head-1.png"), cv2.IMREAD_UNCHANGED)
    person = source[..., 3] == 255
    assert (got[..., 3] == source[..., 3]).all() and (got[person] == source[person]).all()
    assert not (kept / "trainA").exists()
    params = Preprocess(cartoons="align", test_share=0.0)
    rows = preprocess(None, raw / "photos", weights, tmp_path / "aligned", PortraitParams(), params)
    assert {row.result for row in rows} == {"kept"}
    assert not {row.note for row in rows} & {"already a portrait"}


def test_one_process_and_two_give_the_same_bytes(raw, weights, tmp_path):
    for workers in (1, 2):
        preprocess(
            raw / "photos", None, weights, tmp_path / str(workers), PortraitParams(), Preprocess(workers=workers)
        )
    for path in (tmp_path / "1").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "2" / path.relative_to(tmp_path / "1")).read_bytes()


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_second_run_makes_only_the_new_ones(raw, weights, tmp_path):
    """A portrait that was marked in the first dataset shows whether it was made again."""
    photos, out, records = tmp_path / "photos", tmp_path / "faces", tmp_path / "records"
    shutil.copytree(raw / "photos", photos)
    (photos / "bad.png").write_text("no picture")
    given = photos, raw / "cartoons", weights, out

    def run(portrait=None, size=256):
        params = Preprocess(test_share=0.4, size=size)
        return preprocess(*given, portrait or PortraitParams(), params, records=records)

    rows = run()
    assert all(row.sha256 == hashlib.sha256((photos / row.picture).read_bytes()).hexdigest() for row in rows[:7])
    undisturbed = content(out)
    (marked,) = out.glob("*A/hopper--left.png")
    cv2.imwrite(str(marked), np.zeros((256, 256, 4), np.uint8))
    (cut,) = out.glob("*A/hopper--right.png")
    cut.write_bytes(cut.read_bytes()[:-100])
    (photos / "collins--left.png").rename(photos / "collins--renamed.png")
    shutil.copy(photos / "collins--straight.png", photos / "smith.png")
    rows = run()
    assert not cv2.imread(str(next(out.glob("*A/hopper--left.png")))).any()
    assert next(out.glob("*A/hopper--right.png")).read_bytes() == undisturbed[cut.relative_to(out).as_posix()]
    results = {row.picture: row.result for row in rows}
    assert results["bad.png"] == "unreadable" and results["collins--renamed.png"] == results["smith.png"] == "kept"
    assert next(out.glob("*A/smith.png")).read_bytes() == next(out.glob("*A/collins--straight.png")).read_bytes()

    (photos / "collins--renamed.png").rename(photos / "collins--left.png")
    (photos / "smith.png").unlink()
    cv2.imwrite(str(next(out.glob("*A/hopper--left.png"))), np.zeros((256, 256, 4), np.uint8))
    run(PortraitParams(min_face=65))  # other settings: all are made again
    assert content(out) == undisturbed
    run(size=512)
    assert cv2.imread(str(next(out.glob("*A/hopper--left.png")))).shape == (512, 512, 3)


def test_a_run_that_was_killed_is_resumed(raw, weights, tmp_path):
    """Killed without warning when some portraits are there: the next run keeps them, and no process or file stays."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in (raw / "photos").iterdir():
        picture = cv2.imread(str(path))
        for number in range(8):  # each a little different
            picture[0, 0] = number
            cv2.imwrite(str(photos / f"{path.stem}-{number}.png"), picture)
    command = [sys.executable, "-m", "photo2cartoon", "preprocess", "--photos", "photos", "--weights", str(weights)]
    subprocess.run([*command, "--out", "undisturbed"], cwd=tmp_path, check=True, capture_output=True)
    process = subprocess.Popen([*command, "--out", "faces"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    pattern = ".faces.*.partial/trainA/*.png"
    while len(list(tmp_path.glob(pattern))) < 10:
        assert process.poll() is None
        time.sleep(0.01)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    process.kill()
    process.wait()
    for _ in range(100):
        if not any(Path(f"/proc/{worker}").exists() for worker in workers):
            break
        time.sleep(0.1)
    assert len(workers) >= 2 and not [worker for worker in workers if Path(f"/proc/{worker}").exists()]
    (folder,) = tmp_path.glob(".faces.*.partial")
    done = read_table(folder / "pictures.csv")
    assert 0 < len(done) < 48
    marked = done[0].face
    cv2.imwrite(str(folder / "trainA" / marked), np.zeros((256, 256, 4), np.uint8))
    subprocess.run([*command, "--out", "faces"], cwd=tmp_path, check=True, capture_output=True)
    got, expected = content(tmp_path / "faces"), content(tmp_path / "undisturbed")
    (kept,) = (name for name in got if got[name] != expected[name])
    assert got.keys() == expected.keys() and Path(kept).name == marked
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces", "photos", "undisturbed", "var"]


def test_nothing_is_half_written(weights, tmp_path):
    bad = tmp_path / "bad"
    bad.mkdir()
    cv2.imwrite(str(bad / "noise.png"), noise(300, 300, 3))
    with pytest.raises(UserError, match="bad: not one of 1 pictures could be used: 1 no face"):
        preprocess(bad, None, weights, tmp_path / "out", PortraitParams(), Preprocess())
    with pytest.raises(UserError, match="missing: no such folder"):
        preprocess(tmp_path / "missing", None, weights, tmp_path / "out", PortraitParams(), Preprocess())
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]


def test_somebodys_own_folder_is_never_replaced(raw, weights, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters/mine.txt").write_text("mine")
    with pytest.raises(UserError, match="letters: holds other files"):
        preprocess(raw / "photos", None, weights, tmp_path / "letters", PortraitParams(), Preprocess())
    with pytest.raises(UserError, match="photos: holds other files"):
        preprocess(raw / "photos", None, weights, raw / "photos", PortraitParams(), Preprocess())
    assert (tmp_path / "letters/mine.txt").read_text() == "mine" and len(list((raw / "photos").iterdir())) == 6


def test_damaged_weights_are_refused_in_one_line(p2c, raw, weights, tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    for path in weights.iterdir():
        (folder / path.name).write_bytes(path.read_bytes()[: -1 if path.name.startswith("selfie") else None])
    done = p2c("preprocess", "--photos", raw / "photos", "--weights", folder, "--out", "out", code=1)
    assert done.stderr.startswith(f"p2c: {folder}/selfie_segmentation.tflite: sha256 is ")
    assert len(done.stderr.splitlines()) == 1


def test_the_command_says_what_became_of_them(p2c, mixed, weights):
    done = p2c("preprocess", "--photos", mixed, "--weights", weights, "--out", "faces")
    assert done.stdout.startswith("faces: 4 kept, 4 unreadable, 2 no face, 2 too small, 1 no picture;")


def test_names():
    assert face_names(["a.jpg", "b/c.png", "a.png", "d.e.jpg"]) == ["a-jpg.png", "b__c.png", "a-png.png", "d.e.png"]
    assert len(set(face_names(["a__b.jpg", "a/b.jpg"]))) == 2


def test_a_photograph_with_a_drawing_is_a_portrait_already(drawn_faces, faces):
    rows = {(row.domain, row.picture): row for row in read_table(drawn_faces / "pictures.csv")}
    assert rows["photos", "hopper--right.png"].note == "already a portrait"
    assert rows["photos", "collins--right.png"].note != "already a portrait"
    assert rows["drawings", "hopper--right.webp"].face == "drawnA/hopper--right.png"
    assert sorted(path.stem for path in (drawn_faces / "drawnA").iterdir()) == [
        "hopper--left", "hopper--right", "hopper--straight",
    ]  # fmt: skip
    kept = cv2.imread(str(drawn_faces / "trainA/hopper--right.png"))
    original = next(faces.glob("*A/hopper--right.png"))
    assert np.array_equal(kept, cv2.imread(str(original)))


def test_a_list_says_what_is_held_out(drawn_faces):
    held_out = sorted(path.stem for letter in "AB" for path in (drawn_faces / f"test{letter}").iterdir())
    assert held_out == ["collins--left", "head-3", "hopper--left"]


def test_names_of_a_list_that_nobody_has_are_noted(raw, weights, tmp_path, capfd):
    (tmp_path / "held-out.txt").write_text("hopper--left\ncollins--left.png\nnobody\n")
    params = Preprocess(test_list=str(tmp_path / "held-out.txt"))
    preprocess(raw / "photos", None, weights, tmp_path / "faces", PortraitParams(), params)
    assert "held-out.txt: no portrait is called collins--left.png, nobody (names without" in capfd.readouterr().err
    assert [path.stem for path in (tmp_path / "faces/testA").iterdir()] == ["hopper--left"]


def test_one_photograph_in_two_formats_is_one_person(raw, weights, tmp_path):
    """`a.jpg` and `a.png` become `a-jpg` and `a-png`, which are not two people."""
    (tmp_path / "photos").mkdir()
    encoded = cv2.imread(str(raw / "photos/hopper--left.png"))
    for number in range(6):
        for suffix in ("jpg", "png"):
            cv2.imwrite(str(tmp_path / f"photos/person{number}.{suffix}"), encoded)
    preprocess(tmp_path / "photos", None, weights, tmp_path / "faces", PortraitParams(), Preprocess(test_share=0.5))
    people = [
        {path.stem.rsplit("-", 1)[0] for path in (tmp_path / "faces" / split).iterdir()}
        for split in ("trainA", "testA")
    ]
    assert len(people[0]) == len(people[1]) == 3 and not people[0] & people[1]


def test_drawings_of_nobody_and_a_missing_list_are_refused(raw, weights, tmp_path):
    with pytest.raises(UserError, match=r"cartoons: no drawing has the name of a photograph"):
        preprocess(raw / "photos", None, weights, tmp_path / "out", PortraitParams(), Preprocess(), raw / "cartoons")
    with pytest.raises(UserError, match=r"preprocess\.test_list: nowhere\.txt: No such file"):
        preprocess(
            raw / "photos", None, weights, tmp_path / "out", PortraitParams(), Preprocess(test_list="nowhere.txt")
        )
    with pytest.raises(UserError, match=r"nowhere\.txt: No such file"):  # before portraits are made, so in every shard
        given = raw / "photos", None, weights, tmp_path / "out", PortraitParams()
        preprocess_shard(*given, Preprocess(test_list="nowhere.txt"), None, 0, 2)
    (tmp_path / "empty.txt").write_text("# nobody yet\n")
    with pytest.raises(UserError, match=r"empty\.txt: names nobody"):
        params = Preprocess(test_list=str(tmp_path / "empty.txt"))
        preprocess(raw / "photos", None, weights, tmp_path / "out", PortraitParams(), params)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("parts", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_made_in_shards_it_is_the_same_dataset(raw, drawn_faces, weights, tmp_path, parts):
    """Also when object storage, which keeps files only, has dropped the empty folders of the shards."""
    folder = drawn_faces.parent
    given = folder / "photos", raw / "cartoons", weights
    params = Preprocess(test_list=str(folder / "held-out.txt"))
    made = [tmp_path / f"part-{number}" for number in range(parts)]
    for number, part in enumerate(made):
        preprocess_shard(*given, part, PortraitParams(), params, folder / "drawings", number, parts)
        empty = [path for path in part.iterdir() if path.is_dir() and not any(path.iterdir())]
        assert empty  # testA, at least
        for path in empty:
            path.rmdir()
    collect(made, tmp_path / "faces", params)
    assert faces_fingerprint(tmp_path / "faces") == faces_fingerprint(drawn_faces)
    assert read_table(tmp_path / "faces/pictures.csv") == read_table(drawn_faces / "pictures.csv")
    with pytest.raises(UserError, match="part-x: is no shard of a dataset"):
        collect([made[0], tmp_path / "part-x"], tmp_path / "faces", params)


def test_a_transparent_portrait_keeps_its_colours(tmp_path):
    """What training sees, the portrait on white, is the picture on white: the edges are not blended twice."""
    draw = np.random.default_rng(0)
    rgba = draw.integers(0, 256, (64, 64, 4), np.uint8)
    rgba[..., 3] = draw.choice([0, 60, 128, 255], (64, 64))
    cv2.imwrite(str(tmp_path / "head.png"), rgba)
    kept = keep_portrait(Photograph(tmp_path / "head.png"), 64)
    alpha = rgba[..., 3:] / 255
    expected = rgba[..., 2::-1] * alpha + 255 * (1 - alpha)
    assert np.array_equal(kept[..., 3], rgba[..., 3])
    assert np.abs(on_white(kept).astype(float) - expected).max() <= 2
    assert (kept[..., :3][rgba[..., 3] == 0] == 255).all()


def test_what_only_a_busy_machine_refused_is_tried_again(raw, weights, tmp_path):
    out, records = tmp_path / "faces", tmp_path / "records"
    given = (raw / "photos", None, weights, out, PortraitParams(), Preprocess(workers=1))
    rows = preprocess(*given, records=records)
    slow = [
        replace(row, result="too slow", face="") if row == rows[0] else row for row in read_table(out / "pictures.csv")
    ]
    settings = next(records.iterdir()).read_text()
    write_table(out / "pictures.csv", slow)
    remember(records, out / "pictures.csv", settings)
    assert [row.result for row in preprocess(*given, records=records)] == [row.result for row in rows]


def test_every_drawing_has_a_row(drawn_faces, weights, tmp_path):
    """One that no photograph belongs to, one that is damaged, and a file that is no picture."""
    photos, drawings = tmp_path / "photos", tmp_path / "drawings"
    photos.mkdir(), drawings.mkdir()
    for stem in ("hopper--right", "hopper--left"):
        shutil.copy(next(drawn_faces.glob(f"*A/{stem}.png")), photos)
        shutil.copy(drawn_faces / f"drawnA/{stem}.png", drawings)
    (drawings / "hopper--left.png").write_bytes(b"damaged")
    shutil.copy(drawings / "hopper--right.png", drawings / "nobody.png")
    (drawings / "notes.txt").write_text("a caption")
    given = (photos, None, weights, tmp_path / "out", PortraitParams(), Preprocess(workers=1, test_share=0.0), drawings)
    preprocess(*given)
    rows = {row.picture: row for row in read_table(tmp_path / "out/pictures.csv") if row.domain == "drawings"}
    assert {name: (row.result, row.face) for name, row in rows.items()} == {
        "hopper--right.png": ("kept", "drawnA/hopper--right.png"),
        "hopper--left.png": ("unreadable", ""),
        "nobody.png": ("no photograph", ""),
        "notes.txt": ("no picture", ""),
    }
    (drawings / "hopper--right.png").write_bytes(b"damaged")
    with pytest.raises(UserError, match=r"drawings: not one of 2 pictures could be used: 2 unreadable"):
        preprocess(*given)


def test_the_scored_part_has_the_drawings_and_the_portraits_that_they_are_of(drawn_faces, tmp_path):
    copy_scored(drawn_faces, tmp_path / "scored", "test")
    files = {path.relative_to(tmp_path / "scored").as_posix() for path in (tmp_path / "scored").glob("*/*")}
    whole = {path.relative_to(drawn_faces).as_posix() for path in drawn_faces.glob("*/*")}
    drawn = {f"trainA/{path.name}" for path in (drawn_faces / "drawnA").iterdir()}
    assert files == {name for name in whole if not name.startswith("trainA/") or name in drawn}
    assert "trainA/hopper--right.png" in files and "trainA/collins--right.png" not in files
    copy_scored(drawn_faces, tmp_path / "all", "all")
    assert {path.relative_to(tmp_path / "all").as_posix() for path in (tmp_path / "all").glob("*/*")} == whole
