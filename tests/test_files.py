"""JSON files that people can read, and names for pictures."""

import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.files import png_names, read_json, safe_name, write_json


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


def test_a_picture_does_not_get_the_name_of_a_folder():
    assert png_names(["x.png/deep/a.jpg", "x.jpg"]) == ["x.png/deep/a.png", "x-2.png"]


def test_names_are_made_safe():
    long = "ü" * 120
    names = ["a\udcff\n.jpg", "a__.png", f"deep/{long}.jpg", f"deep/{long}x.jpg"]
    made = png_names(names)
    assert made[:2] == ["a__-jpg.png", "a__-png.png"] and len(set(made)) == 4
    assert all(len(name.rpartition("/")[2].encode()) <= 220 and name.startswith("deep/ü") for name in made[2:])
    assert safe_name(f"{long}.jpeg").endswith(".jpeg") and len(safe_name("x" * 255).encode()) <= 200
