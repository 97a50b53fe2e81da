"""JSON files, hashes, names, links, and the folders of this project and this user."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from photo2cartoon.atomic import atomic_write
from photo2cartoon.errors import UserError
from photo2cartoon.layout import LOCAL

LONGEST_NAME = 200  # bytes; file systems take 255


def png_names(names: Sequence[str]) -> list[str]:
    """Return unique PNG file names for images, which keep the stem and any folders before it.

    If two images share a stem, the suffix is appended, as in `a-jpg.png`; if that name is taken already, a number.
    Names are made safe (`safe_name`): image libraries crash on some.
    """
    parts = [safe_name(name).rsplit(".", 1) for name in names]
    counts = Counter(stem for stem, _ in parts)
    folders = {stem[:place] for stem, _ in parts for place, sign in enumerate(stem) if sign == "/"}
    made: dict[str, None] = {}  # an ordered set
    for stem, suffix in parts:
        name = wanted = f"{stem}-{suffix.lower()}" if counts[stem] > 1 else stem
        number = 1
        while f"{name}.png" in made or f"{name}.png" in folders:
            number += 1
            name = f"{wanted}-{number}"
        made[f"{name}.png"] = None
    return list(made)


def safe_name(name: str) -> str:
    """Make a file name that every library and file system takes.

    Control characters, and bytes that are not UTF-8 (Python keeps them as surrogates), become `_`; the last part of a name
    that is too long for additions gets a hash in place of its end.
    """
    name = re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "_", name)
    folder, slash, last = name.rpartition("/")
    if len(last.encode()) > LONGEST_NAME:
        stem, dot, suffix = last.rpartition(".")
        stem, dot, suffix = (stem, dot, suffix) if 0 < len(suffix) <= 5 else (last, "", "")
        start = stem.encode()[: LONGEST_NAME - 20].decode(errors="ignore")
        last = f"{start}-{hashlib.sha256(stem.encode()).hexdigest()[:12]}{dot}{suffix}"
    return folder + slash + last


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
