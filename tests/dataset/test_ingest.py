"""Pictures are ingested from folders, URLs, DVC repositories and a git commit, each with a card of its sources."""

import os
import shutil
import socket
import subprocess
import time
import zipfile

import pytest

from photo2cartoon.dataset import ingest as module
from photo2cartoon.dataset import sample
from photo2cartoon.dataset.ingest import from_folder, from_url, from_worldwide, ingest
from photo2cartoon.dataset.preprocess import preprocess, raw_folders
from photo2cartoon.errors import UserError
from photo2cartoon.params import Ingest, PortraitParams, Preprocess


@pytest.fixture
def out(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_taken_whole_and_stems_survive(raw, out, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(raw / "photos", source / "family" / "us")
    shutil.copy(raw / "cartoons/head-0.png", source / "head.png")
    (source / "notes.txt").write_text("not a picture")
    assert from_folder(source, out) == 7
    assert names(out)[:2] == ["family__us__collins--left.png", "family__us__collins--right.png"]


def test_both_domains_and_the_card(raw, tmp_path):
    params = Ingest(photos="folder", photos_at=str(raw / "photos"), cartoons="sample", sample_cartoons=3)
    assert ingest(params, tmp_path / "raw") == {"photos": 6, "cartoons": 3}
    card = (tmp_path / "raw/CARD.md").read_text()
    assert str(raw / "photos") in card and "python_avatars (MIT)" in card


def test_a_file_that_is_no_picture_has_a_row_in_the_end(raw, weights, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(raw / "photos", source)
    (source / "notes.txt").write_text("a caption")
    (source / ".DS_Store").write_text("hidden")
    os.mkfifo(source / "pipe.jpg")
    with (source / "huge.png").open("wb") as file:
        file.truncate(2_000_000_000)
    with zipfile.ZipFile(tmp_path / "heads.zip", "w") as file:
        file.write(raw / "cartoons/head-1.png", "head.png")
        file.writestr("read.me", "not a picture")
    params = Ingest(
        photos="folder", photos_at=str(source), cartoons="url", cartoons_at=f"zip://::file://{tmp_path}/heads.zip"
    )
    ingest(params, tmp_path / "raw")
    photos, cartoons, _ = raw_folders(tmp_path / "raw")
    rows = preprocess(photos, cartoons, weights, tmp_path / "faces", PortraitParams(), Preprocess())
    assert [(row.domain, row.picture) for row in rows if not row.sha256] == [
        ("photos", "notes.txt"), ("photos", "pipe.jpg"), ("photos", "huge.png"), ("cartoons", "read.me"),
    ]  # fmt: skip


def test_a_url_of_fsspec(raw, out, tmp_path):
    with zipfile.ZipFile(tmp_path / "heads.zip", "w") as file:
        for path in (raw / "cartoons").iterdir():
            file.write(path, f"heads/{path.name}")
    assert from_url(f"zip://heads::file://{tmp_path}/heads.zip", out) == 8
    assert (out / "head-3.png").read_bytes() == (raw / "cartoons/head-3.png").read_bytes()


def test_a_dvc_repository_at_a_revision(dvc_repository, out):
    assert from_url(f"dvc+{dvc_repository}#photos@v1", out) == 6
    with pytest.raises(UserError, match="v2"):
        from_url(f"dvc+{dvc_repository}#photos@v2", out)


def test_what_cannot_be_read_is_named_and_leaves_nothing(tmp_path, out):
    (tmp_path / "empty").mkdir()
    for place, reason in ((tmp_path / "missing", "no such folder"), (tmp_path / "empty", "holds no pictures")):
        with pytest.raises(UserError, match=f"{place.name}: {reason}"):
            ingest(Ingest(photos="folder", photos_at=str(place)), tmp_path / "raw")
        assert not list(tmp_path.glob("*raw*"))
    for url in ("nosuch://bucket/x", f"file://{tmp_path}/missing"):
        with pytest.raises(UserError, match=url):
            from_url(url, out)


def test_a_failure_keeps_what_was_there(tmp_path, raw):
    good = Ingest(photos="folder", photos_at=str(raw / "photos"), sample_cartoons=2)
    ingest(good, tmp_path / "raw")
    with pytest.raises(UserError):
        ingest(Ingest(photos="folder", photos_at="missing"), tmp_path / "raw")
    assert len(names(tmp_path / "raw/photos")) == 6


@pytest.fixture
def portraits_server(tmp_path, raw):
    """Git server on loopback with a repository laid out like the worldwide portraits; yields its URL and commit."""
    work = tmp_path / "served"
    for number, path in enumerate(sorted((raw / "photos").iterdir())):
        target = work / ("female" if number % 2 else "male") / "512" / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (work / "README.md").write_text("portraits")
    git = ["git", "-C", str(work), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "init", "-q", str(work)], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "portraits"], check=True)
    subprocess.run([*git, "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["git", "daemon", "--listen=127.0.0.1", f"--port={port}", f"--base-path={tmp_path}", "--export-all"]
    daemon = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"git://127.0.0.1:{port}/served/.git", commit
    os.killpg(daemon.pid, 15)


def test_worldwide_takes_a_pinned_commit_from_a_server(portraits_server, out):
    url, commit = portraits_server
    card = from_worldwide(out, url, commit)
    assert names(out) == ["female_1.png", "female_3.png", "female_5.png", "male_0.png", "male_2.png", "male_4.png"]
    assert commit in card and "CC0" in card
    assert names(out.parent) == ["out", "served"]


def test_worldwide_at_a_commit_the_server_has_not(portraits_server, out):
    with pytest.raises(UserError, match="worldwide photographs: git://"):
        from_worldwide(out, portraits_server[0], "0" * 40)
    assert names(out.parent) == ["out", "served"]


def test_worldwide_is_pinned():
    assert len(module.WORLDWIDE_COMMIT) == 40


def test_the_sample_is_many_people_with_stated_licences():
    pictures = sample.photographs()
    people = {item.file.split("--")[0] for item in pictures}
    assert len(people) >= 15 and len(pictures) >= 25
    assert all(item.licence and len(item.sha256) == 64 for item in pictures)


def test_a_head_is_the_same_every_time_and_unlike_the_next():
    assert (sample.draw_head(5) == sample.draw_head(5)).all()
    assert (sample.draw_head(5) != sample.draw_head(6)).any()
    assert sample.draw_head(5).shape == (256, 256, 4)


def test_the_sample_comes_out_of_packages(tmp_path):
    assert ingest(Ingest(sample_cartoons=2), tmp_path / "raw") == {"photos": len(sample.photographs()), "cartoons": 2}
    card = (tmp_path / "raw/CARD.md").read_text()
    for item in sample.photographs():
        assert f"| {item.file} | {item.what} | {item.package} | {item.licence} |" in card


def test_drawings_come_along_under_the_photographs_names(raw, tmp_path):
    params = Ingest(
        photos="folder", photos_at=str(raw / "photos"), cartoons="folder", cartoons_at=str(raw / "cartoons"),
        drawings="folder", drawings_at=str(raw / "photos"),
    )  # fmt: skip
    counts = ingest(params, tmp_path / "raw")
    assert counts == {"photos": 6, "cartoons": 8, "drawings": 6}
    assert raw_folders(tmp_path / "raw")[2] == tmp_path / "raw/drawings"
    assert "## Drawings: 6 pictures" in (tmp_path / "raw/CARD.md").read_text()
    without = params.model_copy(update={"drawings": "none", "drawings_at": None})
    assert ingest(without, tmp_path / "raw") == {"photos": 6, "cartoons": 8}
    assert raw_folders(tmp_path / "raw")[2] is None
