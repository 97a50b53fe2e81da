"""NVIDIA's own server is used if present, otherwise the wheel's; an empty volume becomes a model repository."""

import re
import shutil

from photo2cartoon.serving.installation import find_triton
from photo2cartoon.serving.repository import init_repository, list_versions
from tests.conftest import ROOT


def test_a_server_of_nvidias_image_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_HOME", str(tmp_path))
    wheel = find_triton()
    assert not wheel.native and (wheel.root / "bin/tritonserver").is_file()
    assert sorted(path.name for path in wheel.backends(tmp_path / "made").iterdir()) == [
        "onnxruntime",
        "openvino",
        "python",
    ]
    for name in ("bin/tritonserver", "backends/onnxruntime/libtriton_onnxruntime.so"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    native = find_triton()
    assert native.native and native.root == tmp_path and native.backends(tmp_path / "made") == tmp_path / "backends"


def test_an_empty_folder_is_initialised_and_one_in_use_is_left_alone(tmp_path):
    init_repository(tmp_path / "models", ROOT / "triton_repo")
    made = {
        path.relative_to(tmp_path / "models").as_posix() for path in (tmp_path / "models").rglob("*") if path.is_file()
    }
    assert {"generator/config.pbtxt", "portrait/1/model.py", "photo2cartoon/1/.gitkeep"} <= made
    assert list_versions(tmp_path / "models") == []
    shutil.rmtree(tmp_path / "models/picture")
    init_repository(tmp_path / "models", ROOT / "triton_repo")
    assert not (tmp_path / "models/picture").exists()


def test_promote_initialises_by_the_flags_old_name_too(p2c, tmp_path):
    shutil.copytree(ROOT / "triton_repo", tmp_path / "triton_repo", ignore=shutil.ignore_patterns("[0-9]*"))
    for number, flag in enumerate(("--init", "--furnish")):
        done = p2c("promote", flag, "--repository", f"models-{number}", code=1)
        assert (tmp_path / f"models-{number}/generator/config.pbtxt").is_file()
        assert done.stderr.splitlines()[-1].startswith("p2c: MLflow's model 'photo2cartoon' has no version")
        assert ("--furnish is called --init now" in done.stderr) == (flag == "--furnish")


def test_the_image_to_serve_has_nothing_that_the_lock_does_not_name():
    def names(file):
        lines = (ROOT / file).read_text().splitlines()
        return {re.split(r"[\[=]", line)[0] for line in lines if re.match(r"[a-z]", line)}

    assert names("requirements-serve.txt") <= names("requirements.txt")


def test_what_the_images_copy_is_sent_to_the_builder():
    """`.dockerignore` lets through what it names, and nothing else."""
    sent = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from" not in line:
            copied = [word for word in line.split()[1:-1] if not word.startswith("--")]
            assert all(
                any(f"{word}/".startswith(f"{each}/") or f"{each}/".startswith(f"{word}/") for each in sent)
                for word in copied
            ), line
