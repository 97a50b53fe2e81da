"""A graph goes to the version of exactly its generator, and to no other that has the same number."""

import pytest

from photo2cartoon.export.registered import add_graph
from photo2cartoon.files import sha256_of
from photo2cartoon.params import Export
from photo2cartoon.tracking import registry, runs

MODEL = "shared-by-dvc"


@pytest.fixture
def files(tmp_path):
    """A generator's weights and its graph; their contents do not matter here."""
    for name in ("weights", "graph"):
        (tmp_path / name).write_text(name)
    return tmp_path / "weights", tmp_path / "graph"


def test_a_generator_of_another_machine_is_not_taken_for_ours(files, tmp_path, capsys):
    weights, graph = files
    parity = {"mean_difference": 0.0, "max_difference": 0.0}
    run = runs.start_run("train")
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "weights").write_text("other weights")
    tags = {"generator_sha256": sha256_of(ours / "weights")}
    version = registry.register(MODEL, ours, run, "models/ours", tags)
    theirs = {"model": MODEL, "version": version, "mlflow_run": "theirs"}
    add_graph(Export(), theirs, weights, graph, None, parity)
    printed = capsys.readouterr().err
    assert "this generator is not registered" in printed and "dvc repro --force --single-item select" in printed
    assert "exported_with" not in registry.read_tags(MODEL, version)
    add_graph(Export(), {**theirs, "mlflow_run": run.run_id}, ours / "weights", graph, None, parity)
    assert "exported_with" in registry.read_tags(MODEL, version)
