"""Remote files through fsspec; failures become one-line errors that name the URL."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError


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

    system, root = fsspec.core.url_to_fs(url)
    system.invalidate_cache()
    return system, root.rstrip("/")
