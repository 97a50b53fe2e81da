"""Every third-party file is pinned, and a file with another hash is refused."""

import hashlib

import pytest

from photo2cartoon.assets.catalogue import Asset, find_asset, git_blob_of, read_catalogue, verify
from photo2cartoon.errors import UserError


def test_every_entry_is_pinned_and_licensed():
    from photo2cartoon.dataset.sample import photographs

    for entry in [*read_catalogue().values(), *photographs()]:
        assert entry.licence and entry.what, entry.name
        assert len(entry.sha256) == 64 or (entry.optional and len(entry.pin) >= 10), entry.name
        package = "==" in entry.package if entry.package else "@" in entry.npm if entry.npm else False
        assert (package and entry.member) or entry.url.startswith("https://"), entry.name


def test_collected_weights_are_verified(weights):
    for entry in read_catalogue().values():
        if not (entry.optional or entry.on_demand):
            assert find_asset(entry.name, weights).stat().st_size > 1000


def test_a_git_blob_id_is_a_pin_too(tmp_path):
    path = tmp_path / "thing.dat"
    path.write_bytes(b"weights")
    blob = hashlib.sha1(b"blob 7\0weights").hexdigest()
    assert git_blob_of(path) == blob
    thing = Asset("thing", "thing.dat", git_blob=blob)
    assert verify(path, thing) == path
    path.write_bytes(b"weighty")
    with pytest.raises(UserError, match=rf"thing\.dat: git's id is .* expected {blob}: refused"):
        verify(path, thing)
    with pytest.raises(ValueError, match="neither"):
        verify(path, Asset("thing", "thing.dat"))


def test_a_damaged_file_in_the_weights_folder_is_refused(weights, tmp_path):
    entry = read_catalogue()["selfie_segmentation"]
    data = bytearray((weights / entry.file).read_bytes())
    data[1000] ^= 1
    (tmp_path / entry.file).write_bytes(data)
    with pytest.raises(UserError, match="refused"):
        find_asset("selfie_segmentation", tmp_path)
    with pytest.raises(UserError, match="missing"):
        find_asset("dlib_face", tmp_path)
