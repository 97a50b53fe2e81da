"""A graph goes to the version of exactly its generator, and to no other that has the same number."""

import pytest

from photo2cartoon.checkpoint import copy_generator
from photo2cartoon.errors import UserError
from photo2cartoon.export.export import export_version
from photo2cartoon.export.registered import add_graph
from photo2cartoon.files import sha256_of
from photo2cartoon.params import Export, PortraitParams, Select
from photo2cartoon.serving.repository import init_repository, list_versions, promote
from photo2cartoon.tracking import aliases, registry, runs
from photo2cartoon.tracking.logged_models import Checkpoint, log_checkpoint
from tests.conftest import ROOT
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


def test_a_version_that_a_person_registered_is_exported(checkpoint, faces, weights, traced_once, tmp_path):
    """On MLflow's page a person registers a checkpoint that `select` did not choose; nothing but its files is known."""
    copy_generator(checkpoint, tmp_path / "files")
    run = runs.begin("train", None, "train").whole
    logged = log_checkpoint(run, Checkpoint("by hand", 4, {}, tmp_path / "files"))
    client = run.client
    client.create_registered_model("by-hand")
    client.create_model_version("by-hand", f"models:/{logged}", model_id=logged)
    with pytest.raises(UserError, match=r"has no version 2 of 'by-hand'; `p2c versions` lists them"):
        export_version(Export(), "by-hand", 2, faces, None, PortraitParams(), weights)
    aliases.set_champion("by-hand", 1)
    repository, model = tmp_path / "repository", Select(model_name="by-hand")
    init_repository(repository, ROOT / "triton_repo")
    with pytest.raises(UserError, match="`p2c export --version 1` puts it there"):
        promote(repository, model)
    with traced_once():
        assert export_version(Export(), "by-hand", 1, faces, None, PortraitParams(), weights).passed
    assert promote(repository, model) == 1 and list_versions(repository) == [1]
