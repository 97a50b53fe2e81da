"""Remote files through fsspec; failures become one-line errors that name the URL."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.errors import UserError
from photo2cartoon.files import sha256_of

# A storage that does not answer is given up after two minutes. The clients' own limits are five tries of five tries of 60 s.
S3_PATIENCE = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 1}}
S3_TRIES = 2
LISTED = ".files.json"  # written last into an uploaded folder: its files' names and sha256


def is_url(place: object) -> bool:
    """Return whether this is a URL rather than a local path."""
    return "://" in str(place)


def place(text: str) -> Path | str:
    """Parse a command-line argument: a path, or a URL, which stays text because `Path` would drop slashes."""
    return text if is_url(text) else Path(text)


@contextlib.contextmanager
def as_user_error(url: str, what: str) -> Iterator[None]:
    """Turn any failure inside into a `UserError`, because each fsspec file system has its own exceptions.

    Args:
        url: URL to name in the message.
        what: the failure, as in "cannot be read".
    """
    try:
        yield
    except UserError:
        raise
    except ImportError as error:
        raise UserError(f"{url}: needs another package: {error}") from None
    except Exception as error:
        raise UserError(f"{url}: {what}: {type(error).__name__}: {error}") from None


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system behind an fsspec URL (`s3://bucket/path`, `gs://`, …), cache cleared, and the path in it.

    The file system's own package reads endpoints and credentials from the environment.
    """
    import fsspec

    fsspec.config.conf.setdefault("s3", {}).setdefault("config_kwargs", S3_PATIENCE)
    system, root = fsspec.core.url_to_fs(url)
    if "s3" in system.protocol:
        system.retries = S3_TRIES
    system.invalidate_cache()
    return system, root.rstrip("/")


def upload_folder(folder: Path, url: str) -> None:
    """Upload every file below a folder, unless the same files are there already.

    A list of the files and their hashes is written last. What is there besides, as of an earlier upload, stays and is not
    downloaded.

    Raises:
        UserError: the storage cannot be read or written.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    listed = json.dumps({name: sha256_of(path) for name, path in files.items()}, indent=1).encode()
    with as_user_error(url, "cannot be written"):
        system, root = file_system(url)
        place = f"{root}/{LISTED}"
        if system.exists(place) and system.cat_file(place) == listed:
            return
        for name, path in files.items():
            system.put_file(str(path), f"{root}/{name}")
        system.pipe_file(place, listed)


def is_downloaded(url: str, folder: Path) -> bool:
    """Return whether `download_folder` has already made this folder, from what was uploaded last.

    Raises:
        UserError: the storage cannot be read.
    """
    if not (folder / LISTED).exists():
        return False
    with as_user_error(url, "cannot be read"):
        system, root = file_system(url)
        return system.cat_file(f"{root}/{LISTED}") == (folder / LISTED).read_bytes()


def inside(folder: Path, name: str) -> Path:
    """Return the path of an object in a folder; a storage that others write may hold names with `..`.

    Raises:
        UserError: the name leads out of the folder.
    """
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{name}: this object's name leads out of its folder")
    return path


def download_folder(url: str, folder: Path) -> None:
    """Download a folder that `upload_folder` uploaded; the target appears once it is complete.

    Raises:
        UserError: the storage cannot be read, holds no complete folder there, or a file is not the one that was uploaded.
    """
    with as_user_error(url, "cannot be read"), atomic_dir(folder, LISTED) as partial:
        system, root = file_system(url)
        if not system.exists(f"{root}/{LISTED}"):
            raise UserError(f"{url}: holds no complete folder")
        system.get_file(f"{root}/{LISTED}", str(partial / LISTED))
        for name, sha256 in json.loads((partial / LISTED).read_text(encoding="utf-8")).items():
            target = inside(partial, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(f"{root}/{name}", str(target))
            if sha256_of(target) != sha256:
                raise UserError(f"{url}/{name}: is not the file that was uploaded; upload the folder again")
