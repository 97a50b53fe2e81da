"""A stamped graph draws as before, and returns its version and the photographs of its training."""

import json

import numpy as np
import onnx
import pytest

from photo2cartoon.serving.session import feed, open_session
from photo2cartoon.serving.stamp import SUMMARY, TRAINING, stamp

SUMMARISED = {"width": [60, 120, 300], "skin": [-40.5, 20, 60], "refused": 0.25}


@pytest.fixture
def graph(repository, tmp_path):
    """A stamped graph whose metadata describe other photographs."""
    model = onnx.load(str(next(repository.glob("generator/[0-9]*/model.onnx"))))
    del model.metadata_props[:]
    model.metadata_props.add(key=SUMMARY, value=json.dumps(SUMMARISED))
    onnx.save(model, str(tmp_path / "graph.onnx"))
    return tmp_path / "graph.onnx"


@pytest.mark.parametrize("rows", [1, 3])
def test_every_row_has_the_constants(graph, tmp_path, rows):
    stamp(graph, 17, tmp_path / "stamped.onnx")
    portraits = np.random.default_rng(0).integers(0, 256, (rows, 128, 128, 4), np.uint8)
    before = open_session(graph).run(["cartoon"], feed(portraits))[0]
    cartoon, version, training = open_session(tmp_path / "stamped.onnx").run(
        ["cartoon", "version", "training"], feed(portraits)
    )
    assert np.array_equal(cartoon, before) and version.tolist() == [[17]] * rows
    assert training.shape == (rows, len(TRAINING) + 1) and training.dtype == np.float32
    found = dict(zip((*TRAINING, "refused"), training[0], strict=True))
    assert (found["width", 0.05], found["width", 0.5], found["skin", 0.05]) == (60, 120, -40.5)
    assert found["refused"] == 0.25 and np.isnan(found["faces", 0.5])


def test_the_same_graph_and_number_give_the_same_bytes(graph, tmp_path):
    for name, number in (("a", 17), ("b", 17), ("c", 18)):
        stamp(graph, number, tmp_path / name)
    stamp(tmp_path / "c", 17, tmp_path / "again")
    a, b, c, again = ((tmp_path / name).read_bytes() for name in ("a", "b", "c", "again"))
    assert a == b == again != c
