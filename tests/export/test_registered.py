"""A graph goes to the version of exactly its generator, and to no other that has the same number."""

import pytest

from photo2cartoon.export.registered import add_graph
from photo2cartoon.files import sha256_of
from photo2cartoon.params import Export, PortraitParams
from photo2cartoon.tracking import registry, runs
from tests.registered import register

MODEL = "shared-by-dvc"


@pytest.fixture
def files(tmp_path):
    """A generator's weights and its graph; their contents do not matter here."""
    for name in ("weights", "graph"):
        (tmp_path / name).write_text(name)
    return tmp_path / "weights", tmp_path / "graph"


def test_a_generator_of_another_machine_is_not_taken_for_ours(files, weights, tmp_path, capsys):
    generator, graph = files
    parity = {"mean_difference": 0.0, "max_difference": 0.0}
    run = runs.begin("train", None, "train").whole
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "weights").write_text("other weights")
    version = register(MODEL, ours, run, generator_sha256=sha256_of(ours / "weights"))
    theirs = {"model": MODEL, "version": version, "mlflow_run": "theirs"}
    add_graph(Export(), theirs, generator, graph, None, parity, PortraitParams(), weights)
    printed = capsys.readouterr().err
    assert "this generator is not registered" in printed and "dvc repro --force --single-item select" in printed
    assert "exported_with" not in registry.read_tags(MODEL, version)
    theirs["mlflow_run"] = run.run_id
    add_graph(Export(), theirs, ours / "weights", graph, None, parity, PortraitParams(), weights)
    assert "exported_with" in registry.read_tags(MODEL, version)
