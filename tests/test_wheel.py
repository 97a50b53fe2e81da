"""The wheel of a commit has the same bytes wherever it is built, and holds what `p2c` needs."""

import os
import shutil
import subprocess
import zipfile

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
        "serving/warmup.jpg",
        "cartoonize/static/index.html",
        "cartoonize/static/licences.txt",
    ):
        assert f"photo2cartoon/{name}" in names
    assert not [name for name in names if name.startswith(("tests/", "benchmarks/"))]
