"""DVC without git, and with a remote, a cache or a lock that is damaged: an error that says what to do, and nothing lost."""

import shutil
import subprocess

import pytest

from photo2cartoon.dataset.remote import add_remote
from photo2cartoon.files import folder_hash
from tests.workspace import Workspace

RAW = "data/raw"


@pytest.fixture
def make(tmp_path, tiny_params):
    """Function that makes a workspace with these pictures as source."""

    def make(name="project", **options):
        folder = tmp_path / name
        folder.mkdir()
        space = Workspace(folder, **options)
        if "origin" not in options:
            space.params(tiny_params)
        return space

    return make


@pytest.fixture
def shared(make, tmp_path):
    """A workspace with raw pictures in its cache and in a remote, committed."""
    space = make()
    space.repro("ingest")
    space.dvc("remote", "add", "-d", "team", str(tmp_path / "remote"))
    space.dvc("remote", "modify", "team", "verify", "true")
    space.git("add", "-A")
    space.git("commit", "-qm", "v1")
    space.dvc("push", "ingest")
    return space


def objects(folder):
    """The objects of a cache or remote that are pictures."""
    found = [path for path in folder.glob("files/md5/*/*") if path.suffix != ".dir"]
    return sorted(found, key=lambda path: path.stat().st_size, reverse=True)


@pytest.mark.slow
def test_without_git_everything_works_but_the_diffs(make):
    space = make(git=False)
    assert "is not a git repository" in space.repro("params", code=255)[2]
    assert space.p2c("dvc-setup").stdout.startswith("No git repository here: everything works but comparing versions")
    assert space.repro("ingest")[0] == ["params", "sources", "ingest"]
    assert "Commit" not in space.p2c("repro", "ingest").stdout
    space.git("init", "-q")
    space.git("config", "user.name", "somebody")
    space.git("config", "user.email", "somebody@example.org")
    assert space.p2c("dvc-setup").stdout == ""
    space.git("add", "-A")
    space.git("commit", "-qm", "v1")
    assert space.dvc("diff").returncode == 0


def test_a_remote_that_is_gone(shared, make, tmp_path):
    (tmp_path / "remote").rename(tmp_path / "away")
    clone = make("clone", origin=shared)
    done = clone.dvc("pull", "ingest", code=1)
    assert "failed to pull data from the cloud" in done.stderr and RAW in done.stderr
    assert not (clone.folder / RAW).exists()
    (tmp_path / "away").rename(tmp_path / "remote")
    clone.dvc("pull", "ingest")
    assert folder_hash(clone.folder / RAW) == folder_hash(shared.folder / RAW)


def test_a_damaged_object_in_a_remote_is_not_taken_for_a_picture(shared, make, tmp_path):
    damaged = objects(tmp_path / "remote")[0]
    whole = damaged.read_bytes()
    damaged.chmod(0o644)
    damaged.write_bytes(whole[:-1])
    clone = make("clone", origin=shared)
    done = clone.dvc("pull", "ingest", code=1)
    assert "Checkout failed" in done.stderr and RAW in done.stderr
    assert not any(path.read_bytes() == whole[:-1] for path in clone.folder.rglob("*") if path.is_file())
    damaged.write_bytes(whole)
    clone.dvc("pull", "ingest")
    assert folder_hash(clone.folder / RAW) == folder_hash(shared.folder / RAW)


@pytest.mark.slow
def test_a_remote_that_refuses_the_credentials(shared, storage):
    keys = {"access_key_id": "somebody", "secret_access_key": "else", "endpointurl": storage.client.meta.endpoint_url}
    shared.dvc("remote", "add", "-d", "store", f"s3://{storage.bucket}/dvc")
    for key, value in keys.items():
        shared.dvc("remote", "modify", "--local", "store", key, value)
    done = shared.dvc("push", "ingest", code=None)
    assert done.returncode != 0
    line = next(line for line in done.stderr.splitlines() if line.startswith("ERROR"))
    assert "Forbidden" in line or "InvalidAccessKeyId" in line or "Access" in line
    assert shared.repro("ingest")[0] == ["sources"]
    for key in ("access_key_id", "secret_access_key"):
        shared.dvc("remote", "modify", "--local", "--unset", "store", key)
    shared.dvc("push", "ingest")
    assert any(key.startswith("dvc/files/md5/") for key in storage.keys("dvc"))


@pytest.mark.slow
def test_a_cache_on_a_full_disk_is_an_error_and_loses_nothing(make, tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    space = make()
    script = f"""
        mount -t tmpfs -o size=1m tmpfs {small}
        dvc config --local cache.dir {small}/cache
        env PYTHONPATH=src python -m photo2cartoon repro ingest; echo "exit status $?"
        ls data/raw/photos | wc -l
        mount -o remount,size=64m {small}
        dvc commit data/raw && dvc status ingest
    """
    space.git("add", "-A")
    space.git("commit", "-qm", "v1")
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "bash", "-c", script],
        cwd=space.folder, env=space.environment, capture_output=True, text=True,
    )  # fmt: skip
    if "unshare: " in done.stderr:
        pytest.skip(done.stderr)
    assert "DVC's cache lacks files of data/raw, mostly because its disk is full" in done.stderr
    assert "`dvc commit data/raw`" in done.stderr
    assert "exit status 1\n6\n" in done.stdout
    assert done.returncode == 0, done.stderr
    assert "not in cache" not in done.stdout.split("exit status")[1]


def test_a_lock_with_conflicts_or_edited_by_hand(shared):
    lock = shared.folder / "dvc.lock"
    text = lock.read_text()
    lock.write_text(f"<<<<<<< ours\n{text}=======\n{text}>>>>>>> theirs\n")
    assert "'./dvc.lock' is invalid (possible merge conflicts)" in shared.repro("ingest", code=255)[2].replace(
        "\n", " "
    )
    before = folder_hash(shared.folder / RAW)
    start = text.index("md5: ", text.index("path: data/raw"))
    lock.write_text(text[: start + 5] + "0" * 32 + text[start + 37 :])
    assert shared.repro("ingest")[0] == ["sources", "ingest"]
    assert folder_hash(shared.folder / RAW) == before and lock.read_text() == text


def test_a_remote_is_for_all_clones_or_for_this_one_alone(shared, tmp_path, monkeypatch):
    monkeypatch.chdir(shared.folder)
    shutil.copy(".dvc/config", tmp_path / "config")
    add_remote(str(tmp_path / "mine"), local=True)
    assert (shared.folder / ".dvc/config").read_text() == (tmp_path / "config").read_text()
    assert str(tmp_path / "mine") in shared.dvc("remote", "list").stdout
    add_remote(str(tmp_path / "ours"))
    assert str(tmp_path / "ours") in (shared.folder / ".dvc/config").read_text()
    assert str(tmp_path / "mine") not in shared.dvc("remote", "list").stdout
    shared.dvc("push", "ingest")
    assert objects(tmp_path / "ours")
