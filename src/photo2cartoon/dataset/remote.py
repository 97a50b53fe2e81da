"""Default DVC remote, which keeps a second copy of the data: a folder, or object storage or SSH with one command."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import urlsplit

from photo2cartoon.dataset.dvc_project import run, run_dvc
from photo2cartoon.errors import UserError
from photo2cartoon.layout import LOCAL

NAME = "storage"
LOCAL_REMOTE = LOCAL / "dvc-remote"
# The package that DVC needs for each of these, if the lock does not hold it; the versions match the lock.
PLUGINS = {
    "s3": None,
    "gs": "dvc-gs==3.1.0",
    "azure": "dvc-azure==3.1.1",
    "ssh": "dvc-ssh==4.3.0",
    "http": None,
    "https": None,
    "": None,
}


def has_remote() -> bool:
    """Return whether this clone has a default remote.

    Raises:
        UserError: DVC cannot read its configuration.
    """
    return "core.remote" in run_dvc("config", "--list")


def add_remote(url: str, local: bool = False) -> None:
    """Make a URL or folder the default DVC remote.

    Args:
        url: the URL or folder.
        local: for this clone alone; otherwise in `.dvc/config`, which git tracks, so that other clones have it too.

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
        run([sys.executable, "-m", "uv", "pip", "install", "--python", sys.executable, *constraint, plugin], plugin)
    place = url if scheme else str(Path(url).resolve())
    level = "--local" if local else "--project"
    if not local and f"remote.{NAME}." in run_dvc("config", "--local", "--list"):
        run_dvc("remote", "remove", "--local", NAME)  # it would hide the other
    run_dvc("remote", "add", level, "--default", "--force", NAME, place)
    # DVC would otherwise take a damaged object of a remote for whole, and put it into the cache and the folders.
    run_dvc("remote", "modify", level, NAME, "verify", "true")
