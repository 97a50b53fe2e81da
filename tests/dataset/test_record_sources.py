"""The `sources` stage notices every change of the pictures, quickly, and keeps what it knows of a source out of reach."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest

from photo2cartoon.dataset import source_version
from photo2cartoon.dataset.record_sources import record_files, record_versions
from photo2cartoon.errors import UserError
from photo2cartoon.params import Ingest, Params, Preprocess, Train
from tests.conftest import git_and_dvc


@pytest.fixture
def folder(raw, tmp_path):
    return shutil.copytree(raw / "photos", tmp_path / "photos")


def asked(params, tmp_path):
    return record_versions(params, tmp_path / "sources.json", tmp_path / "hashes")["photos"]["version"]


def test_contents_of_named_files_are_recorded_by_key(tmp_path):
    held_out, checkpoint = tmp_path / "held-out.txt", tmp_path / "checkpoint"
    held_out.write_text("hopper\n")
    checkpoint.mkdir()
    params = Params(preprocess=Preprocess(test_list=str(held_out)), train=Train(start_from=str(checkpoint)))

    def recorded():
        made = record_files(params, tmp_path / "named.json")
        assert made == json.loads((tmp_path / "named.json").read_text())
        return made["preprocess"]["test_list"], made["train"]["start_from"]

    first = recorded()
    assert first[0] == hashlib.sha256(b"hopper\n").hexdigest()
    (checkpoint / "checkpoint.json").write_text("{}")
    second = recorded()
    assert first[0] == second[0] and first[1] != second[1]
    held_out.unlink()  # a colleague has not the list, but the dataset that was made by it
    assert recorded() == second
    assert record_files(Params(), tmp_path / "named.json") == {
        "preprocess": {"test_list": None},
        "train": {"start_from": None},
    }


def add(folder):
    (folder / "new.png").write_bytes(b"new")


def change(folder):
    """Another content of the same size, as an editor saves it."""
    path = folder / "hopper--left.png"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def take(folder):
    (folder / "hopper--left.png").unlink()


@pytest.mark.parametrize("what", [add, change, take])
@pytest.mark.parametrize("kind", ["folder", "file URL", "DVC repository"])
def test_a_picture_added_changed_or_taken_is_noticed(what, kind, folder, tmp_path, request):
    if kind == "DVC repository":
        repository = request.getfixturevalue("dvc_repository")
        folder = repository / "photos"
    places = {"folder": folder, "file URL": f"file://{folder}", "DVC repository": f"dvc+{folder.parent}#photos"}
    params = Ingest(photos="folder" if kind == "folder" else "url", photos_at=str(places[kind]))
    before = asked(params, tmp_path)
    assert asked(params, tmp_path) == before
    what(folder)
    if kind == "DVC repository":
        git_and_dvc(folder.parent, ["dvc", "add", "-q", "photos"])
    assert asked(params, tmp_path) != before


def test_in_object_storage(storage, folder, tmp_path):
    storage.client.create_bucket(Bucket="watched")
    for path in folder.iterdir():
        storage.client.upload_file(str(path), "watched", f"photos/{path.name}")
    params = Ingest(photos="url", photos_at="s3://watched/photos")
    before = asked(params, tmp_path)
    assert asked(params, tmp_path) == before
    change(folder)
    storage.client.upload_file(str(folder / "hopper--left.png"), "watched", "photos/hopper--left.png")
    assert asked(params, tmp_path) != before


def test_only_new_and_changed_files_are_read(folder, tmp_path, monkeypatch):
    params, read = Ingest(photos="folder", photos_at=str(folder)), []
    real = source_version.sha256_of
    monkeypatch.setattr(source_version, "sha256_of", lambda path: read.append(path.name) or real(path))
    asked(params, tmp_path)
    assert {path.name for path in folder.iterdir()} <= set(read)
    read.clear()
    add(folder)
    change(folder)
    os.utime(folder / "collins--left.png", ns=(1, 1))  # an older copy of the same size restored from a backup
    asked(params, tmp_path)
    assert set(read) - {"sample.yaml"} == {"new.png", "hopper--left.png", "collins--left.png"}


def test_a_source_out_of_reach_keeps_its_version_and_says_so(folder, tmp_path, capsys):
    params = Ingest(photos="folder", photos_at=str(folder))
    before = asked(params, tmp_path)
    folder.rename(tmp_path / "elsewhere")
    assert asked(params, tmp_path) == before
    assert f"{folder}: no such folder of pictures; the photos stay as they were" in capsys.readouterr().err
    # Another folder, or one that has lost all its pictures, is an error: it is not out of reach.
    with pytest.raises(UserError, match="no such folder"):
        asked(Ingest(photos="folder", photos_at=f"{folder}2"), tmp_path)
    folder.mkdir()
    with pytest.raises(UserError, match="holds no pictures"):
        asked(params, tmp_path)
    assert json.loads((tmp_path / "sources.json").read_text())["photos"]["version"] == before


def test_a_file_that_cannot_be_read_is_named(folder, tmp_path, monkeypatch):
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(source_version, "sha256_of", lambda path: "0" if path.suffix == ".yaml" else refuse(path))
    with pytest.raises(UserError, match=r"hopper--\w+\.png|collins--\w+\.png: cannot be read: Permission denied"):
        asked(Ingest(photos="folder", photos_at=str(folder)), tmp_path)
