"""A model repository behaves the same in a folder and in object storage; unreachable storage is reported clearly."""

import os
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from photo2cartoon.errors import UserError
from photo2cartoon.params import Select
from photo2cartoon.serving import repository, storage
from photo2cartoon.serving.repository import init_repository, list_versions, promote, with_configurations
from photo2cartoon.serving.session import feed, open_session
from photo2cartoon.serving.storage import Folder, must_be_usable, storage_at
from photo2cartoon.tracking import aliases, version_files
from photo2cartoon.urls import file_system
from tests.conftest import ROOT
from tests.registered import register
from tests.serving.conftest import STORED as MODEL
from tests.serving.conftest import tiny_graph


def files(place):
    """Return the contents of all files by name."""
    system, root = file_system(str(place))
    return {path.split(root, 1)[1].lstrip("/"): system.cat_file(path) for path in system.find(root)}


def test_a_version_that_is_hidden_already_is_not_lost_when_it_is_hidden_again(tmp_path, two_versions):
    init_repository(tmp_path / "models", ROOT / "triton_repo")
    aliases.set_champion("stored", two_versions[0])
    promote(tmp_path / "models", MODEL)
    folder = Folder(tmp_path / "models")
    folder.retire(two_versions[0])
    with pytest.raises(UserError, match="cannot be written"):
        folder.retire(two_versions[0])
    assert folder.was_promoted(two_versions[0])
    folder.restore(two_versions[0])
    assert folder.versions() == [two_versions[0]]


def test_a_server_may_start_after_the_first_version(place, two_versions, capsys):
    """Before the first version a server has nothing to serve; later, one that is away is an error."""
    first, second = two_versions
    init_repository(place, ROOT / "triton_repo")
    aliases.set_champion("stored", first)
    assert promote(place, MODEL, "127.0.0.1:9") == first
    assert "promote: the first version is in place; a server loads it when it starts" in capsys.readouterr().err
    aliases.set_champion("stored", second)
    with pytest.raises(UserError, match="Triton at"):
        promote(place, MODEL, "127.0.0.1:9")


def test_a_server_that_waits_starts_with_the_first_version(place, two_versions, monkeypatch, capsys):
    init_repository(place, ROOT / "triton_repo")
    aliases.set_champion("stored", two_versions[0])
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 2:
            promote(place, MODEL)

    monkeypatch.setattr(storage, "time", SimpleNamespace(sleep=sleep))
    storage.wait_for_version(storage_at(place))
    assert len(slept) == 2
    assert f"serve: waits for the first version in {place}; `p2c promote` puts one there" in capsys.readouterr().err
    storage.wait_for_version(storage_at(place))
    assert len(slept) == 2 and capsys.readouterr().err == ""


def test_a_version_of_another_time_does_not_pass_for_the_promoted_one(place, two_versions, tmp_path):
    init_repository(place, ROOT / "triton_repo")
    (tmp_path / "stale").write_bytes(b"stale")
    storage_at(place).publish(two_versions[0], tmp_path / "stale")
    aliases.set_champion("stored", two_versions[0])
    promote(place, MODEL)
    assert storage_at(place).graph(two_versions[0]).read_bytes() != b"stale"


def test_a_place_that_is_no_repository_is_left_alone(place, two_versions):
    aliases.set_champion("stored", two_versions[0])
    with pytest.raises(UserError, match="no generator/config"):
        promote(place, MODEL)
    assert list_versions(place) == []


def test_a_place_in_use_is_not_initialised_again(place, tmp_path):
    init_repository(place, ROOT / "triton_repo")
    other = tmp_path / "other"
    (other / "generator").mkdir(parents=True)
    for name in ("config.pbtxt", "new.pbtxt"):
        (other / "generator" / name).write_text("something else")
    before = files(place)
    init_repository(place, other)
    assert before["generator/config.pbtxt"] == (ROOT / "triton_repo/generator/config.pbtxt").read_bytes()
    assert files(place) == before


def test_a_place_of_an_earlier_release_is_brought_up_to_date(place, two_versions, tmp_path, capsys):
    """Its configurations ask for less; its versions stay, and return what this release's configuration asks for."""
    earlier = tmp_path / "earlier"
    (earlier / "generator").mkdir(parents=True)
    (earlier / "generator/config.pbtxt").write_text("of an earlier release")
    (tmp_path / "graph").write_bytes(b"damaged")
    for model in ("generator", "gate"):
        storage_at(place).add(f"{model}/config.pbtxt", earlier / "generator/config.pbtxt")
    storage_at(place).publish(5, tiny_graph(tmp_path / "5", 5, earlier=True))
    storage_at(place).publish(6, tmp_path / "graph")
    storage_at(place).publish(7, tiny_graph(tmp_path, 7))
    aliases.set_champion("stored", two_versions[0])
    with pytest.raises(UserError, match="is of an earlier release; `p2c promote --init` puts"):
        promote(place, MODEL)
    init_repository(place, ROOT / "triton_repo")
    assert files(place)["generator/config.pbtxt"] == (ROOT / "triton_repo/generator/config.pbtxt").read_bytes()
    assert files(place)["gate/config.pbtxt"] and list_versions(place) == [5, 6, 7]
    portraits = np.zeros((2, 256, 256, 4), np.uint8)
    session = open_session(storage_at(place).graph(7))
    assert session.run(["version"], feed(portraits))[0].tolist() == [[7], [7]]
    said = capsys.readouterr().err
    assert "generator/6: stays as it is, and cannot be served" in said
    assert "generator/5: stays as it is, and cannot be served: the graph takes portrait, not portrait, colour" in said
    before = files(place)
    init_repository(place, ROOT / "triton_repo")
    assert files(place) == before


def test_the_versions_of_a_clone_are_brought_up_to_date_after_a_pull(tmp_path):
    """git has renewed the configurations, and left the versions as they are."""
    repository = tmp_path / "triton_repo"
    init_repository(repository, ROOT / "triton_repo")
    storage_at(repository).publish(7, tiny_graph(tmp_path, 7))
    init_repository(repository, repository)
    session = open_session(storage_at(repository).graph(7))
    assert session.run(["version"], feed(np.zeros((1, 256, 256, 4), np.uint8)))[0].tolist() == [[7]]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("s3://models/triton", "127.0.0.1:9/"),
        ("gs://models/triton", "gcsfs"),
        ("nothing://models/triton", "Protocol not known"),
    ],
)
def test_what_cannot_be_reached_is_said(p2c, weights, url, said):
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
    keys["AWS_MAX_ATTEMPTS"] = "1"
    done = p2c("serve", "--repository", url, "--weights", weights, code=1, **keys)
    assert url in done.stderr and said in done.stderr


def test_triton_is_told_an_endpoint_in_the_url(monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://storage:8333")
    assert storage_at("s3://models/triton").for_triton() == "s3://http://storage:8333/models/triton"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "https://storage.example")
    assert storage_at("s3://models/triton/").for_triton() == "s3://https://storage.example:443/models/triton"
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert storage_at("s3://models/triton").for_triton() == "s3://models/triton"
    assert storage_at(tmp_path).for_triton() == str(tmp_path)


def test_a_repository_is_tried_before_a_run(storage, tmp_path):
    """Nothing is trained for a place that cannot be reached, or for a server that is not there."""
    empty = f"s3://{storage.bucket}/empty"
    must_be_usable(empty, "127.0.0.1:9")  # before the first version a server has nothing to serve
    must_be_usable(str(tmp_path), "127.0.0.1:9")
    with pytest.raises(UserError, match="repository: is empty"):
        must_be_usable("")
    with pytest.raises(UserError, match="s3://no-such-bucket/triton"):
        must_be_usable("s3://no-such-bucket/triton")
    (tmp_path / "model.onnx").write_bytes(b"x")
    storage.upload(tmp_path / "model.onnx", "served/generator/1/model.onnx")
    place = f"s3://{storage.bucket}/served"
    must_be_usable(place)
    with socket.create_server(("127.0.0.1", 0)) as server:
        must_be_usable(place, f"127.0.0.1:{server.getsockname()[1]}")
    for wrong in ("127.0.0.1:9", "no port"):
        with pytest.raises(UserError, match=f"Triton at {wrong}: does not answer"):
            must_be_usable(place, wrong)


def test_a_graph_that_draws_nothing_is_not_published(place, tmp_path):
    init_repository(place, ROOT / "triton_repo")
    spoilt = (
        ("nothing", None, "its graph draws nothing"),
        ("damaged", b"not a graph", "its graph cannot draw"),
        ("earlier", None, r"takes portrait, not portrait, colour: .* `p2c export --version 1` does so again"),
    )
    for name, spoil, said in spoilt:
        version = register(name, tmp_path / "none", generator_sha256=name)
        file = tiny_graph(tmp_path / name / "data/model", version, 0 if name == "earlier" else 4, name == "earlier")
        if spoil:
            file.write_bytes(spoil)
        version_files.add_files(name, version, file.parents[2], {})
        aliases.set_champion(name, version)
        with pytest.raises(UserError, match=said):
            promote(place, Select(model_name=name))
        assert list_versions(place) == []


def test_a_graph_that_takes_too_long_is_not_published(place, two_versions):
    init_repository(place, ROOT / "triton_repo")
    aliases.set_champion("stored", two_versions[0])
    with pytest.raises(
        UserError, match=r"its graph takes 0.0 s for a portrait on this machine, select.max_seconds is 1e-09"
    ):
        promote(place, Select(model_name="stored", max_seconds=1e-9))
    assert list_versions(place) == []
    assert promote(place, Select(model_name="stored", max_seconds=None)) == two_versions[0]


@pytest.mark.parametrize("error", [repository.RefusedError, UserError])
def test_a_server_that_refuses_a_version_or_ends_keeps_the_one_before(place, two_versions, monkeypatch, error):
    """Also when the champion goes back to an older version: the newer ones, moved aside for it, return."""
    first, second = two_versions
    init_repository(place, ROOT / "triton_repo")
    asked = []

    def refuse(fleet, model):
        asked.append(model)
        raise error(f"Triton at {fleet.server}: version refused")

    aliases.set_champion("stored", second)
    promote(place, MODEL)
    monkeypatch.setattr(repository.Fleet, "check", lambda _: None)
    monkeypatch.setattr(repository.Fleet, "reload", refuse)
    aliases.set_champion("stored", first)
    with pytest.raises(UserError, match="version refused"):
        promote(place, MODEL, "127.0.0.1:9")
    assert list_versions(place) == [second] and len(asked) == 2  # the server was told to look again


def test_a_refused_export_of_the_version_in_place_leaves_the_graph_before(place, two_versions, monkeypatch, tmp_path):
    """Else the next server that starts would have to load what the running one refused."""
    version = two_versions[0]
    init_repository(place, ROOT / "triton_repo")
    aliases.set_champion("stored", version)
    promote(place, MODEL)
    before = storage_at(place).graph(version).read_bytes()
    other = tiny_graph(tmp_path / "other", version)
    other.write_bytes(other.read_bytes() + b"\x82\x01\x00")  # a field that nobody reads
    monkeypatch.setattr(repository, "prepare", lambda *_: other)
    monkeypatch.setattr(repository.Fleet, "check", lambda _: None)
    reload = iter([repository.RefusedError("Triton: refused"), None])

    def refuse_once(*_):
        if error := next(reload):
            raise error

    monkeypatch.setattr(repository.Fleet, "reload", refuse_once)
    with pytest.raises(UserError, match="refused"):
        promote(place, MODEL, "127.0.0.1:9")
    assert storage_at(place).graph(version).read_bytes() == before and list_versions(place) == [version]


def test_a_read_only_folder_of_versions_is_served_with_this_releases_configurations(
    tmp_path, two_versions, monkeypatch
):
    """As KServe mounts a version: `generator/1/model.onnx` alone."""
    aliases.set_champion("stored", two_versions[0])
    whole, mounted = tmp_path / "whole", tmp_path / "mounted"
    init_repository(whole, ROOT / "triton_repo")
    promote(whole, MODEL)
    shutil.copytree(whole / "generator/1", mounted / "generator/1")
    assert with_configurations(mounted, ROOT / "triton_repo", tmp_path / "copy") == mounted  # it can be written to
    monkeypatch.setattr(os, "access", lambda path, mode: not (Path(path) == mounted and mode == os.W_OK))
    made = with_configurations(mounted, ROOT / "triton_repo", tmp_path / "copy")
    assert made == tmp_path / "copy" and storage_at(made).is_initialised() and list_versions(made) == [1]
    assert storage_at(made).graph(1).read_bytes() == storage_at(whole).graph(1).read_bytes()
    (made / "generator/1").unlink()  # a link
    assert {name: content for name, content in files(whole).items() if not name.startswith("generator/1")} == files(
        made
    )
    assert with_configurations(mounted, ROOT / "triton_repo", tmp_path / "copy") == made  # again, after a restart
