"""MLflow is used where MLFLOW_TRACKING_URI points, and an unreachable server is named in one line."""

import json

from photo2cartoon.tracking import registry, runs

NOWHERE = {"MLFLOW_TRACKING_URI": "http://127.0.0.1:9", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


def test_an_unreachable_server_is_named(p2c, tmp_path, faces, weights):
    (tmp_path / "triton_repo/generator").mkdir(parents=True)
    (tmp_path / "triton_repo/generator/config.pbtxt").write_text("")
    (tmp_path / "params.yaml").write_text("train: {size: 128, channels: 4, steps: 1}")
    for arguments in (["promote"], ["train", "--data", faces, "--weights", weights, "--out", "out"]):
        done = p2c(*arguments, code=1, **NOWHERE)
        assert done.stderr.startswith("p2c: MLflow at http://127.0.0.1:9: "), done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_database_by_a_relative_path_keeps_its_files_beside_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///here/runs.db")
    run = runs.start_run("first")
    (tmp_path / "note.json").write_text(json.dumps("note"))
    run.files(tmp_path / "note.json", "notes")
    run.finish()
    assert list(tmp_path.glob("here/mlartifacts/*/artifacts/notes/note.json"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "note.json"]


def test_a_run_that_is_gone_is_replaced():
    first = runs.start_run("first")
    assert runs.find_run(first.run_id, "again").run_id == first.run_id
    assert runs.find_run("0" * 32, "again").run_id not in ("0" * 32, first.run_id)


def test_no_model_and_no_alias_is_no_version():
    assert registry.find_alias("nobody", "champion") is None


def test_nested_values_are_flattened():
    assert runs.flatten({"a": 1, "b": {"c": 2, "d": {"e": 3}}}) == {"a": 1, "b.c": 2, "b.d.e": 3}
