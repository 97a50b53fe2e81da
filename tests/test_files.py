"""Files and folders are written atomically; until then the previous content stays."""

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.files import atomic_dir, atomic_write, png_names, read_json, write_json


def test_a_folder_takes_the_place_of_its_predecessor(tmp_path):
    for text in ("first", "second"):
        with atomic_dir(tmp_path / "out", "mark") as partial:
            (partial / "mark").write_text(text)
            assert (tmp_path / "out").exists() == (text == "second")
    assert (tmp_path / "out/mark").read_text() == "second"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_failure_leaves_what_was_there_and_nothing_else(tmp_path):
    with atomic_dir(tmp_path / "out", "mark") as partial:
        (partial / "mark").write_text("first")
    with pytest.raises(RuntimeError), atomic_dir(tmp_path / "out", "mark") as partial:
        (partial / "mark").write_text("second")
        raise RuntimeError
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "file.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert (tmp_path / "out/mark").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_other_peoples_files_are_not_replaced(tmp_path):
    (tmp_path / "file").write_text("mine")
    for write, target in ((lambda path: atomic_dir(path, "mark"), "file"), (atomic_write, ".")):
        with pytest.raises(UserError, match="is a"), write(tmp_path / target):
            pass
    with pytest.raises(UserError, match="holds other files"), atomic_dir(tmp_path, "mark"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_what_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    for write in (lambda path: atomic_dir(path, "mark"), atomic_write):
        with pytest.raises(UserError, match="cannot be written"), write(tmp_path / "file" / "below"):
            pass


def test_json(tmp_path):
    write_json(tmp_path / "a.json", {"a": 1})
    assert read_json(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(UserError, match=r"a\.json: not readable as JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(UserError, match=r"b\.json: no such file; run this"):
        read_json(tmp_path / "b.json", "run this")


def test_no_two_pictures_become_one_file():
    assert png_names(["a.jpg", "a.png", "b.c.webp", "deep/a.jpg"]) == [
        "a-jpg.png",
        "a-png.png",
        "b.c.png",
        "deep/a.png",
    ]
    # Also when a name already contains the joined suffix, or suffixes differ only in case.
    for names in (["a-jpg.png", "a.jpg", "a.png"], ["a.jpg", "a.png", "a-jpg.webp"], ["a.JPG", "a.jpg", "a-jpg-2.png"]):
        assert len(set(png_names(names))) == 3, names
