"""Files are extracted from archives by exact name."""

import zipfile

import pytest

from photo2cartoon.assets.fetch import read_members
from photo2cartoon.errors import UserError


def test_members_come_out_of_archives_by_exact_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as file:
        file.writestr("package/thing.dat", b"weights")
    assert read_members(tmp_path / "a.whl", ["package/thing.dat"]) == {"package/thing.dat": b"weights"}
    with pytest.raises(UserError, match="other"):
        read_members(tmp_path / "a.whl", ["other"])
