"""The wheel of a commit has the same bytes wherever it is built, and holds what `p2c` needs."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import av
import pytest

from photo2cartoon.portrait import decode
from tests.conftest import ROOT


def built(folder, umask, date):
    """Build the wheel in a clone with its own modes and times; return its bytes and the names in it."""
    before = os.umask(umask)
    try:
        subprocess.run(["git", "clone", "-q", ROOT, folder], check=True)
        for path in (folder / "src").rglob("*.py"):
            os.utime(path, (date, date))
        shutil.copy(ROOT / "src/wheel.sh", folder / "src/wheel.sh")
        done = subprocess.run(["bash", "src/wheel.sh", "dist"], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    finally:
        os.umask(before)
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        return wheel.read_bytes(), set(file.namelist())


def test_it_is_reproducible_and_whole(tmp_path):
    one, names = built(tmp_path / "one", 0o022, 1_500_000_000)
    other, _ = built(tmp_path / "other", 0o077, 1_600_000_000)
    assert one == other
    for name in (
        "assets/catalogue.yaml",
        "dataset/sample.yaml",
        "pretrained/slim/checkpoint.json",
        "pretrained/slim/generator.onnx",
        "serving/warmup.jpg",
        "style/template/stages.yaml",
        "style/template/gitignore",
        "style/template/plots/curves.json",
        "style/template/triton_repo/gate/1/model.py",
        "style/template/triton_repo/photo2cartoon/1/.gitkeep",
        "cartoonize/static/index.html",
        "cartoonize/static/licences.txt",
    ):
        assert f"photo2cartoon/{name}" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]


@pytest.mark.slow
def test_in_a_bare_environment_it_draws_and_says_what_else_is_needed(tmp_path, astronaut):
    """`pip install` of the wheel alone, far from the repository, with the newest packages that it allows."""
    built(tmp_path / "clone", 0o022, 1_500_000_000)
    (wheel,) = (tmp_path / "clone/dist").glob("*.whl")
    uv, bare = Path(sys.executable).with_name("uv"), tmp_path / "bare"
    links = ["--find-links", os.environ["PIP_FIND_LINKS"]] if "PIP_FIND_LINKS" in os.environ else []
    subprocess.run([sys.executable, "-m", "venv", bare], check=True)
    subprocess.run([uv, "pip", "install", "-q", "--python", bare / "bin/python", *links, wheel], check=True)
    (tmp_path / "elsewhere").mkdir()
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": os.environ["PATH"]}
    home |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}

    def p2c(*words):
        command = [bare / "bin/p2c", *words]
        return subprocess.run(command, cwd=tmp_path / "elsewhere", env=home, capture_output=True, text=True)

    done = p2c("cartoonize", str(astronaut), "--out", "cartoon.png")
    assert done.returncode == 0, done.stderr
    assert not list(bare.glob("lib/*/site-packages/torch"))
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["cartoon.png"]
    assert (tmp_path / "cache/photo2cartoon/weights/face_landmark.tflite").is_file()
    film = tmp_path / "film.mp4"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 512, 512, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(decode(astronaut), format="rgb24")))
        container.mux(stream.encode(None))
    done = p2c("cartoonize", str(film), "--out", "film.mp4")
    assert "film.mp4: 3 of 3 frames drawn by full" in done.stdout, done.stderr
    for words, package in ((["versions"], "mlflow"), (["cartoonize", str(astronaut), "--checkpoint", "full"], "torch")):
        done = p2c(*words)
        assert done.returncode == 1 and f"package {package}" in done.stderr and "Traceback" not in done.stderr
