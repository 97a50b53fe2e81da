"""`p2c doctor` names what is there and what is not, changes nothing, and fails only if nothing can work."""

import platform
import shutil

from photo2cartoon import doctor


def test_it_says_what_this_machine_has_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = []
    assert doctor.report(lines.append)
    said = "\n".join(lines)
    assert "✓ system       Linux on x86_64" in said and "✓ Triton" in said and "p2c style new" in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_lacking_says_what_it_costs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    found = {each.what: each for each in doctor.examine()}
    assert found["git"].state == doctor.LACKS and "versions" in found["git"].said
    assert found["packages"].state == doctor.OK
    monkeypatch.setattr(doctor, "PACKAGES", {"torch": "training", "not_there": "the page"})
    (packages,) = [each for each in doctor.examine() if each.what == "packages"]
    assert packages.state == doctor.LACKS and packages.said == "no not_there: it draws, without the page; `make env`"
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    lines = []
    assert not doctor.report(lines.append)
    assert any(line.startswith("✗ system") and "x86-64" in line for line in lines)


def test_a_server_of_mlflow_that_is_away_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    found = {each.what: each for each in doctor.examine()}
    assert found["MLflow"].state == doctor.FAILS and "127.0.0.1:9" in found["MLflow"].said
    assert found["model"].state == doctor.LACKS and "dvc repro" in found["model"].said


def test_no_password_is_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}")
    monkeypatch.setattr("photo2cartoon.tracking.server.must_answer", lambda: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://alice:s3cret@127.0.0.1:9")
    (said,) = (each.said for each in doctor.examine() if each.what == "MLflow")
    assert "127.0.0.1:9" in said and "s3cret" not in said
