"""Remote files through fsspec; failures become one-line errors that name the URL."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from photo2cartoon.atomic import atomic_dir
from photo2cartoon.errors import UserError

# A storage that does not answer is given up after two minutes. The clients' own limits are five tries of five tries of 60 s.
S3_PATIENCE = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 1}}
S3_TRIES = 2
WHOLE = ".whole"  # written last into an uploaded folder, with a hash of its files' names and sizes


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
    """Upload every file below a folder, unless all of them are there already, by name and size.

    Raises:
        UserError: the storage cannot be read or written.
    """
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    listed = "\n".join(f"{name} {path.stat().st_size}" for name, path in files.items())
    digest = hashlib.sha256(listed.encode()).hexdigest()
    with as_user_error(url, "cannot be written"):
        system, root = file_system(url)
        mark = f"{root}/{WHOLE}"
        if system.exists(mark) and system.cat_file(mark) == digest.encode():
            return
        for name, path in files.items():
            system.put_file(str(path), f"{root}/{name}")
        system.pipe_file(mark, digest.encode())


def download_folder(url: str, folder: Path) -> None:
    """Download a folder that `upload_folder` uploaded; the target appears once it is complete.

    Raises:
        UserError: the storage cannot be read, or holds no complete folder there.
    """
    with as_user_error(url, "cannot be read"), atomic_dir(folder, WHOLE) as partial:
        system, root = file_system(url)
        if not system.exists(f"{root}/{WHOLE}"):
            raise UserError(f"{url}: holds no complete folder")
        for found in sorted(system.find(root)):
            target = partial / found[len(root) + 1 :]
            target.parent.mkdir(parents=True, exist_ok=True)
            system.get_file(found, str(target))
