"""Atomic writes of files and folders that never leave partial results or replace unrelated files.

Until it is whole, a file or folder has a hidden name with the process's id beside its target and is locked, so that the
next process can tell what is being written from what a killed one left.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from photo2cartoon.errors import UserError

_PARTIAL_FOLDER = re.compile(r"\.(?P<target>.+)\.(?P<process>\d+)(-\d+)?\.(?P<state>partial|old)")
_PARTIAL_FILE = re.compile(r"\..+\.\d+\.partial(\.\w+)?")
_swept: set[Path] = set()


class ResumableError(UserError):
    """Error that ends work which the next run can resume: a resumable folder stays."""


@contextlib.contextmanager
def atomic_dir(target: Path, mark: str, resumable: bool = False) -> Iterator[Path]:
    """Yield a folder to write into, which replaces `target` on success and is deleted on failure.

    The previous contents of `target` stay until then. What a process that was killed left behind is removed.

    Args:
        target: the folder.
        mark: name of a file that marks a folder as written by this stage; a non-empty folder without it is refused.
        resumable: a folder that an interruption leaves stays, to be found by `unfinished`, until a later run succeeds.

    Raises:
        UserError: the target is a file or holds something else, another process is writing it, or the disk is full or
            not writable.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target}: is a file; expected a folder")
    target = target.resolve()
    with contextlib.suppress(OSError):  # what cannot be read or written is named below
        _clear(target, resumable)
    if target.exists() and any(target.iterdir()) and not (target / mark).exists():
        raise UserError(f"{target}: holds other files, which would be lost; name a new or empty folder")
    partial = _free_name(target)
    lock, keep = None, False
    try:
        partial.mkdir(parents=True)
        lock = _lock(partial)
        _refuse_if_held(target, but=partial)  # one that has started since
        yield partial
        replace_folder(partial, target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {_reason(error, partial)}") from error
    except BaseException as error:
        keep = resumable and (isinstance(error, ResumableError) or not isinstance(error, Exception))
        raise
    finally:
        if not keep:
            shutil.rmtree(partial, ignore_errors=True)
        if lock is not None:
            os.close(lock)
    if resumable:
        with contextlib.suppress(OSError, UserError):  # the work is done, whoever starts it again
            _clear(target)


def make_folder(folder: Path) -> Path:
    """Make a folder, and those above it, unless it is there; return it.

    Raises:
        UserError: it cannot be made, as on a read-only disk, or is a file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UserError(f"{folder}: is a file; expected a folder") from None
    except OSError as error:
        raise UserError(f"{folder}: cannot be made: {error.strerror}") from None
    return folder


def unfinished(partial: Path) -> list[Path]:
    """Return the folders that interrupted processes left beside a resumable `partial`, the newest first."""
    target = partial.with_name(_part_of_name(partial, "target"))
    found = [path for path in _siblings(target, "partial") if path != partial]
    return sorted(found, key=lambda path: path.stat().st_mtime, reverse=True)


def replace_folder(source: Path, target: Path) -> None:
    """Rename a folder to its final name; an existing folder of that name is moved aside first and removed last."""
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        target.rename(old)
    source.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _free_name(target: Path) -> Path:
    """Return the hidden name for this process. A process of a container, whose id is always 1, may have left the first."""
    own = f".{target.name}.{os.getpid()}"
    names = itertools.chain([own], (f"{own}-{number}" for number in itertools.count(1)))
    return next(path for name in names if not (path := target.with_name(f"{name}.partial")).exists())


def _siblings(target: Path, state: str) -> list[Path]:
    if not target.parent.is_dir():
        return []
    names = ((entry.path, _PARTIAL_FOLDER.fullmatch(entry.name)) for entry in os.scandir(target.parent))
    return [Path(path) for path, name in names if name and (name["target"], name["state"]) == (target.name, state)]


def _lock(path: Path) -> int | None:
    """Lock a file or folder until its descriptor is closed or its process ends; None where there are no locks.

    Process ids would not do: containers that share a volume have their own, and the first is always 1.

    Raises:
        BlockingIOError: another process has it.
    """
    lock = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        if error.errno == errno.EWOULDBLOCK:
            raise
        return None
    return lock


def _clear(target: Path, keep_partials: bool = False) -> None:
    """Remove what killed processes left beside a folder; a predecessor that one had moved aside comes back.

    Raises:
        UserError: another process is writing it.
    """
    _refuse_if_held(target)
    partials = _siblings(target, "partial")
    for old in _siblings(target, "old"):
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
        else:
            old.rename(target)
    for partial in partials if not keep_partials else ():
        with contextlib.suppress(BlockingIOError):
            if (lock := _lock(partial)) is not None:
                shutil.rmtree(partial, ignore_errors=True)
                os.close(lock)


def _refuse_if_held(target: Path, but: Path | None = None) -> None:
    for partial in _siblings(target, "partial"):
        if partial == but:
            continue
        try:
            lock = _lock(partial)
        except BlockingIOError:
            raise UserError(f"{target}: {_holder(partial)} is writing it; wait until it has ended") from None
        except FileNotFoundError:
            continue  # it has just been finished
        if lock is not None:
            os.close(lock)


def _part_of_name(partial: Path, part: str) -> str:
    """Return `target`, `process` or `state` from the name of a partial folder."""
    match = _PARTIAL_FOLDER.fullmatch(partial.name)
    assert match is not None  # `_free_name` makes such names, `_siblings` finds them
    return match[part]


def _holder(partial: Path) -> str:
    """Describe the process that writes a folder: its id and command, where this machine knows it."""
    process = _part_of_name(partial, "process")
    try:
        words = Path(f"/proc/{process}/cmdline").read_text().split("\0")
    except OSError:
        return "another process"
    return f"process {process} ({' '.join(Path(word).name for word in words[:3]).strip()})"


@contextlib.contextmanager
def atomic_write(target: Path) -> Iterator[Path]:
    """Yield a file name to write to, which is renamed to `target` on success.

    Raises:
        UserError: the target is a folder, or the disk is full or not writable.
    """
    if target.is_dir():
        raise UserError(f"{target}: is a folder, a file is to be written there")
    start = target.stem.encode(errors="replace")[:200].decode(errors="ignore")  # a long name takes no additions
    partial = target.with_name(f".{start}.{os.getpid()}.partial{target.suffix}")
    lock = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target.parent)
        partial.touch()
        lock = _lock(partial)
        yield partial
        partial.replace(target)
    except OSError as error:
        raise UserError(f"{target}: cannot be written: {_reason(error, partial)}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if lock is not None:
            os.close(lock)


def _sweep(folder: Path) -> None:
    """Remove the files that killed processes were writing into a folder, once in the life of this process."""
    if folder in _swept:
        return
    _swept.add(folder)
    for entry in os.scandir(folder):
        if _PARTIAL_FILE.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
            with contextlib.suppress(OSError):
                if (lock := _lock(partial := Path(entry.path))) is not None:
                    partial.unlink()
                    os.close(lock)


def _reason(error: OSError, partial: Path) -> str:
    """Return what the system says, and of which file, if that is not the one that was being written."""
    said = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EROFS) or not error.filename:
        return said
    return said if Path(error.filename).is_relative_to(partial) else f"{said}: {error.filename}"
