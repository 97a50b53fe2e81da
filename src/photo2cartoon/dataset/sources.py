"""Image sources: folders, object storage, DVC repositories."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from photo2cartoon.errors import UserError
from photo2cartoon.portrait.decode import SUFFIXES
from photo2cartoon.urls import as_user_error, file_system


class NoPicturesError(UserError):
    """Error of a source that can be reached and holds no pictures."""


def list_folder(source: Path) -> list[str]:
    """List every image below a folder by its relative path.

    Raises:
        UserError: there is no such folder, or no image in it.
    """
    if not source.is_dir():
        raise UserError(f"{source}: no such folder of pictures")
    names = [path.relative_to(source).as_posix() for path in sorted(source.rglob("*")) if path.is_file()]
    return pictures_among(names, source)


@contextlib.contextmanager
def open_url(url: str) -> Iterator[tuple[Any, str]]:
    """Open the file system behind a URL and yield it with the path in it; errors become one line that names the URL.

    Args:
        url: an fsspec URL (`s3://bucket/path`, `gs://`, `zip::https://…`), or `dvc+REPOSITORY#PATH`, or the same at a
            git revision, `dvc+REPOSITORY#PATH@REVISION`.

    Raises:
        UserError: it cannot be reached or read.
    """
    with as_user_error(url, "cannot be read"):
        if url.startswith("dvc+"):
            from dvc.api import DVCFileSystem

            repository, _, place = url.removeprefix("dvc+").partition("#")
            root, _, revision = place.partition("@")
            yield DVCFileSystem(repository, rev=revision or None), root.rstrip("/")
        else:
            yield file_system(url)


def pictures_among(names: Iterable[str], source: object) -> list[str]:
    """Return the names that have an image suffix.

    Raises:
        NoPicturesError: there are none.
    """
    chosen = [name for name in names if PurePosixPath(name).suffix.lower() in SUFFIXES]
    if not chosen:
        raise NoPicturesError(f"{source}: holds no pictures ({', '.join(sorted(SUFFIXES))})")
    return chosen
