"""Default DVC remote, which keeps a second copy of the data: a folder, or object storage or SSH with one command."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from photo2cartoon.errors import UserError

NAME = "storage"
LOCAL = Path("var/dvc-remote")
# DVC needs a separate package for each of these; the versions match the lock.
PLUGINS = {
    "s3": "dvc-s3==3.3.0",
    "gs": "dvc-gs==3.1.0",
    "azure": "dvc-azure==3.1.1",
    "ssh": "dvc-ssh==4.3.0",
    "http": None,
    "https": None,
    "": None,
}


def add_remote(url: str) -> None:
    """Make a URL or folder the default DVC remote of this clone without changing anything that git tracks.

    Raises:
        UserError: the URL scheme is unknown, or its package cannot be installed.
    """
    if not url:
        raise UserError("remote: name a URL or a folder: make remote URL=s3://bucket/path")
    scheme = urlsplit(url).scheme
    if scheme not in PLUGINS:
        known = ", ".join(f"{name}://" for name in PLUGINS if name)
        raise UserError(f"{url}: DVC remotes here are a folder or {known}")
    plugin = PLUGINS[scheme]
    if plugin:
        lock = Path("requirements.txt")
        constraint = ["-c", str(lock)] if lock.exists() else []
        _run([sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *constraint, plugin], plugin)
    place = url if scheme else str(Path(url).resolve())
    _run([sys.executable, "-m", "dvc", "remote", "add", "--local", "--default", "--force", NAME, place], "dvc")


def _run(command: list[str], what: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip() or "failed").splitlines()
        raise UserError(f"{what}: {lines[-1]}")
