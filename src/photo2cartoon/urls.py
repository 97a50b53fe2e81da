"""Files elsewhere, by fsspec: what goes wrong there is told in a line that names the URL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError


def is_url(place: object) -> bool:
    """Whether it is more than a path of this machine."""
    return "://" in str(place)


def place(text: str) -> Path | str:
    """What somebody wrote on a command line: a path, or a URL, whose slashes a path would lose."""
    return text if is_url(text) else Path(text)


@contextlib.contextmanager
def as_user_error(url: str, what: str) -> Iterator[None]:
    """Make any failure inside a `UserError`: each of fsspec's file systems has errors of its own.

    Args:
        url: is named.
        what: could not be done, as in "cannot be read".
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
    """The file system behind a URL of fsspec (`s3://bucket/path`, `gs://`, …), with nothing remembered, and the path in it.

    Endpoints and credentials are what the file system's own package reads from the environment.
    """
    import fsspec

    system, root = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    return system, root.rstrip("/")
