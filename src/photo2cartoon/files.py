"""Writing so that nothing is ever half there, and nothing in place of something else."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from photo2cartoon.errors import UserError


@contextlib.contextmanager
def atomic_dir(target: Path, mark: str) -> Iterator[Path]:
    """A folder to write into, which takes the place of `target` when all went well and vanishes when not.

    What `target` held before stays until then.

    Args:
        target: the folder.
        mark: name of a file that tells a folder written by this stage: one with other things in it is somebody's own.

    Raises:
        UserError: the target is a file or holds something else, or the disk is full or cannot be written.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is a file, a folder is to be written there")
    target = target.resolve()
    if target.exists() and any(target.iterdir()) and not (target / mark).exists():
        raise UserError(f"{target}: holds other files, which would be lost; name a new or empty folder")
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        yield partial
        replace_folder(partial, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def replace_folder(source: Path, target: Path) -> None:
    """Rename a folder to its final name; one of that name is moved aside first and removed last."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """A file name to write to, renamed to `target` when all went well.

    Raises:
        UserError: the target is a folder, or the disk is full or cannot be written.
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
    """Names of the PNG files that pictures become, all different: the stem survives, and folders before it.

    Where two pictures share the stem, the suffix joins in, `a-jpg.png`; where that is another's name already, a number does.
    """
    parts = [name.rsplit(".", 1) for name in names]
    counts = Counter(stem for stem, _ in parts)
    made: dict[str, None] = {}  # in order
    for stem, suffix in parts:
        name = wanted = f"{stem}-{suffix.lower()}" if counts[stem] > 1 else stem
        number = 1
        while f"{name}.png" in made:
            number += 1
            name = f"{wanted}-{number}"
        made[f"{name}.png"] = None
    return list(made)


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read and a diff can compare."""
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path, hint: str = "") -> Any:
    """Read JSON.

    Raises:
        UserError: the file is missing or damaged; `hint` says what makes it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file{f'; {hint}' if hint else ''}") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from None


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def cache_folder() -> Path:
    """`photo2cartoon` in XDG_CACHE_HOME, or in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "photo2cartoon"
