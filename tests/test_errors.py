"""Errors are one line, without the credentials of the URLs in it."""

import pytest

from photo2cartoon.errors import UserError, exit_on_user_error, first_line, without_credentials
from photo2cartoon.params import load
from photo2cartoon.progress import note
from photo2cartoon.tracking.client import link


def test_credentials_are_not_shown(capsys, monkeypatch):
    text = "MLflow at https://me:word@mlflow.example/a and s3://key:s3cret@bucket: away; http://host:80/a@b stays"
    shown = "MLflow at https://***@mlflow.example/a and s3://***@bucket: away; http://host:80/a@b stays"
    assert without_credentials(text) == str(UserError(text)) == shown
    token = "dvc+https://ghp_abc@github.com/org/faces.git#photos and ssh://git@host/path"
    assert without_credentials(token) == "dvc+https://***@github.com/org/faces.git#photos and ssh://git@host/path"
    note(text)
    assert capsys.readouterr().err.strip() == shown
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:word@mlflow.example")
    assert link("models/a").startswith("https://mlflow.example/#/models/a")


def test_a_password_in_params_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("ingest: {photos: url, photos_at: 's3://key:word@bucket/photos'}")
    with pytest.raises(
        UserError, match="photos_at has a password or token, which git and MLflow would keep"
    ) as refused:
        load(tmp_path / "params.yaml")
    assert "word@" not in str(refused.value)


def test_an_error_that_says_nothing_is_named_by_its_class():
    assert first_line(ValueError("\n first\nsecond")) == "first"
    assert first_line(TimeoutError()) == "TimeoutError"


def test_a_file_that_must_not_be_read_is_the_users(capsys):
    with pytest.raises(SystemExit) as ended, exit_on_user_error("p2c"):
        raise PermissionError(13, "Permission denied", "secret.onnx")
    assert ended.value.code == 1 and capsys.readouterr().err == "p2c: secret.onnx: Permission denied\n"
