"""One command sets a folder or object storage as the DVC remote."""

import subprocess
import sys

import pytest

from photo2cartoon.dataset.remote import PLUGINS, add_remote
from photo2cartoon.errors import UserError


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], check=True)
    return tmp_path


def dvc(*arguments):
    return subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True, text=True).stdout


def test_a_folder_holds_what_was_pushed(project):
    add_remote("second-copy")
    (project / "data.txt").write_text("precious")
    dvc("add", "data.txt")
    dvc("push")
    (project / "data.txt").unlink()
    subprocess.run(["rm", "-r", ".dvc/cache"], check=True)
    dvc("pull")
    assert (project / "data.txt").read_text() == "precious"
    add_remote("another")
    assert str(project / "another") in dvc("remote", "list")


@pytest.mark.usefixtures("project")
def test_other_kinds_of_urls_are_refused_by_name():
    with pytest.raises(
        UserError, match=r"ftp://host/x: DVC remotes here are a folder or s3://, gs://, azure://, ssh://"
    ):
        add_remote("ftp://host/x")
    assert set(PLUGINS) >= {"s3", "gs", "azure", "ssh"}
