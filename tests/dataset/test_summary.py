"""A dataset's summary has the quantiles of its photographs, and the share that was refused."""

import numpy as np
import pytest

from photo2cartoon.dataset.summary import summarise
from photo2cartoon.dataset.table import read_table
from photo2cartoon.params import PortraitParams
from photo2cartoon.portrait import Photograph, PortraitMaker
from photo2cartoon.portrait.numbers import QUANTILES, numbers_of


def test_numbers_of_the_photographs(faces, raw, weights):
    rows = [row for row in read_table(faces / "pictures.csv") if row.domain == "photos"]
    maker = PortraitMaker.from_params(weights, PortraitParams())
    kept = [row for row in rows if row.result == "kept"]
    numbers = [numbers_of(maker.of(Photograph(raw / "photos" / row.picture))) for row in kept]
    summary = summarise(faces)
    for name in ("width", "brightness", "skin", "turn"):
        expected = np.quantile([getattr(each, name) for each in numbers], QUANTILES)
        assert summary[name] == pytest.approx(expected, rel=0.01, abs=0.01)
    assert summary["faces"] == [1, 1, 1] and summary["refused"] == (len(rows) - len(kept)) / len(rows)


def test_portraits_that_came_as_such_have_colours_only(drawn_faces):
    """Pictures with drawings are portraits already, so nobody searched them for faces."""
    rows = [row for row in read_table(drawn_faces / "pictures.csv") if row.domain == "photos"]
    assert all(row.brightness and row.skin for row in rows if row.note == "already a portrait")
    assert not any(row.width or row.faces for row in rows if row.note == "already a portrait")
    assert {"brightness", "skin"} <= summarise(drawn_faces).keys()


def test_without_a_table_there_is_none(faces, tmp_path):
    assert summarise(None) == summarise(tmp_path) == {}
    old = (faces / "pictures.csv").read_text().splitlines()
    (tmp_path / "pictures.csv").write_text("\n".join(",".join(line.split(",")[:5]) for line in old))
    assert summarise(tmp_path) == {}, "written by an earlier release"
