"""Atomic writes of files and folders that never leave partial results or replace unrelated files."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError
from photo2cartoon.layout import LOCAL


@contextlib.contextmanager
def atomic_dir(target: Path, mark: str) -> Iterator[Path]:
    """Yield a folder to write into, which replaces `target` on success and is deleted on failure.

    The previous contents of `target` stay until then. What a process that was killed left behind is removed first.

    Args:
        target: the folder.
        mark: name of a file that marks a folder as written by this stage; a non-empty folder without it is refused.

    Raises:
        UserError: the target is a file or holds something else, or the disk is full or not writable.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is a file, a folder is to be written there")
    target = target.resolve()
    with contextlib.suppress(OSError):  # what cannot be read or written is named below
        _remove_leftovers(target)
    if target.exists() and any(target.iterdir()) and not (target / mark).exists():
        raise UserError(f"{target}: holds other files, which would be lost; name a new or empty folder")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    lock = None
    try:
        partial.mkdir(parents=True)
        lock = _lock(partial)
        yield partial
        replace_folder(partial, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder until its descriptor is closed or its process ends; None if another process has it.

    Process ids would not do: containers that share a volume have their own, and the first is always 1.
    """
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # also where the file system has no locks
        os.close(lock)
        return None
    return lock


def _remove_leftovers(target: Path) -> None:
    """Remove what killed processes left beside a folder; a predecessor that one had moved aside comes back."""
    name = f".{glob.escape(target.name)}.[0-9]*"
    for partial in target.parent.glob(f"{name}.partial"):
        if (lock := _lock(partial)) is not None:
            shutil.rmtree(partial, ignore_errors=True)
            os.close(lock)
    for old in target.parent.glob(f"{name}.old"):
        if old.with_suffix(".partial").exists():
            continue  # its process is about to take its place
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)


def replace_folder(source: Path, target: Path) -> None:
    """Rename a folder to its final name; an existing folder of that name is moved aside first and removed last."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a file name to write to, which is renamed to `target` on success.

    Raises:
        UserError: the target is a folder, or the disk is full or not writable.
    """
    if target.is_dir():
        raise UserError(f"{target}: is a folder, a file is to be written there")
    partial = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        partial.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def png_names(names: Sequence[str]) -> list[str]:
    """Return unique PNG file names for images, which keep the stem and any folders before it.

    If two images share a stem, the suffix is appended, as in `a-jpg.png`; if that name is taken already, a number.
    """
    parts = [name.rsplit(".", 1) for name in names]
    counts = Counter(stem for stem, _ in parts)
    made: dict[str, None] = {}  # an ordered set
    for stem, suffix in parts:
        name = wanted = f"{stem}-{suffix.lower()}" if counts[stem] > 1 else stem
        number = 1
        while f"{name}.png" in made:
            number += 1
            name = f"{wanted}-{number}"
        made[f"{name}.png"] = None
    return list(made)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that people can read and diff."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, hint: str = "") -> Any:
    """Read JSON.

    Raises:
        UserError: the file is missing or damaged; `hint` tells the user how to create it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{f'; {hint}' if hint else ''}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None


def sha256_of(path: Path) -> str:
    """Return the hex sha256 of a file, read in chunks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def folder_hash(folder: Path, pattern: str = "**/*") -> str:
    """Return the sha256 over the relative names and contents of all files below a folder that match a pattern."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.glob(pattern) if path.is_file()):
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()


def link_folder(source: Path, target: Path) -> None:
    """Copy a folder into an existing one with hard links where the file system has them, which takes no space."""

    def link(file: str, copy: str) -> None:
        try:
            os.link(file, copy)
        except OSError:
            shutil.copy2(file, copy)

    shutil.copytree(source, target, copy_function=link, dirs_exist_ok=True)


def local_folder() -> Path:
    """Return `var/` of the project in the working directory.

    DVC runs a queued experiment in a temporary copy of the project, `.dvc/tmp/exps/…`, and deletes it; the experiment
    uses the project's own `var/`.
    """
    here = Path.cwd()
    copies = (folder for folder in (here, *here.parents) if folder.parts[-3:] == (".dvc", "tmp", "exps"))
    return next((copy.parents[2] / LOCAL for copy in copies), LOCAL)


def cache_folder() -> Path:
    """Return `photo2cartoon` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photo2cartoon"
