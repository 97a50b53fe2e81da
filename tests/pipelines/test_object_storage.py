"""Artifacts pass through a real object store, as on a cluster; components do not rely on what it loses."""

import contextlib
import os
from types import SimpleNamespace

import psutil
import pytest
import requests

from components.preprocess import collect_faces, preprocess, preprocess_shard
from photo2cartoon.dataset.source_version import data_version
from photo2cartoon.errors import UserError
from photo2cartoon.params.arguments import ingest_of
from pipelines.object_storage import round_trip


def test_what_object_storage_does_not_keep_is_lost(storage, tmp_path):
    artifact = tmp_path / "artifact"
    (artifact / "full").mkdir(parents=True)
    (artifact / "empty").mkdir()
    (artifact / "full/file").write_text("content")
    (artifact / "full/file").chmod(0o700)
    os.utime(artifact / "full/file", (1, 1))
    (artifact / "link").symlink_to("full/file")
    round_trip(storage, artifact, tmp_path)
    found = {path.relative_to(artifact).as_posix() for path in artifact.rglob("*")}
    assert found == {"full", "full/file", "link"}
    assert not (artifact / "link").is_symlink() and (artifact / "link").read_text() == "content"
    status = (artifact / "full/file").stat()
    assert status.st_mtime > 1 and not status.st_mode & 0o100


def test_without_keys_nothing_can_be_read_or_written(storage):
    """SeaweedFS has other doors than S3: its filer would serve every bucket to anybody."""
    storage.client.put_object(Bucket=storage.bucket, Key="secret", Body=b"secret")
    (server,) = (child for child in psutil.Process().children() if child.name() == "weed")
    ports = {each.laddr.port for each in server.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    assert len(ports) > 5
    for url in (f"http://127.0.0.1:{port}/{path}/{storage.bucket}/" for port in ports for path in ("buckets", ".")):
        with contextlib.suppress(requests.ConnectionError, requests.exceptions.InvalidHeader):  # gRPC
            assert not requests.get(f"{url}secret", timeout=5).ok, url
            assert not requests.post(f"{url}mine", files={"file": b"mine"}, timeout=5).ok, url
    found = storage.client.list_objects_v2(Bucket=storage.bucket, Prefix="mine")
    assert found["KeyCount"] == 0


def test_a_link_to_a_folder_is_refused_as_the_launcher_refuses_it(storage, tmp_path):
    (tmp_path / "artifact").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "artifact/link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="link to a folder"):
        round_trip(storage, tmp_path / "artifact", tmp_path)


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_shards_make_the_same_dataset_after_object_storage(storage, raw, weights, tmp_path):
    """A shard's testA is empty, so it is lost on the way; the dataset is complete all the same."""

    def artifact(name, path=None):
        return SimpleNamespace(path=str(path or tmp_path / name), metadata={})

    def outputs(of):
        (tmp_path / of).mkdir(parents=True)
        return {name: artifact(f"{of}/{name}") for name in ("faces", "scored", "examples")}

    def stored(artifacts):
        for each in artifacts.values():
            round_trip(storage, tmp_path / each.path, tmp_path)
        return artifacts

    given = {"params": {"test_share": 0.4}, "score_on": "test"}
    source = {"photos": str(raw / "photos"), "cartoons": str(raw / "cartoons"), "revision": "", "ingest": {}}
    version = data_version(ingest_of({}, source["photos"], source["cartoons"]))
    places = {"portrait": {}, "weights": artifact("weights", weights), "data_version": version, **source}
    places["sources"] = artifact("sources")
    shards = {f"shard_{number}": artifact(f"shards/{number}") for number in range(3)}
    for number, shard in enumerate(shards.values()):
        preprocess_shard.python_func(given["params"], **places, number=number, shards=3, shard=shard)
    merged = outputs("merged")
    collect_faces.python_func(**given, **stored(shards), **merged)
    whole = outputs("whole")
    preprocess.python_func(**given, **places, **whole)
    for name, each in stored(merged).items():
        assert contents(tmp_path / each.path) == contents(tmp_path / stored({name: whole[name]})[name].path)
    assert sorted(path.name for path in (tmp_path / "merged/scored").iterdir()) == [
        "pictures.csv", "testA", "testB", "trainB"
    ]  # fmt: skip
