"""Keeps a run in object storage, so that any machine can resume it: the newest states, and the results so far.

    URL/state/step-000053/…            everything that resuming needs; the newest two
    URL/checkpoints/step-000050/…      averaged generators, which is what later stages need
    URL/samples/… stats.jsonl run.json

An object appears whole or not at all. The card of a state is written last and removed first, so a state that has one is
complete.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterable
from pathlib import Path

from photo2cartoon.checkpoint import copy_averages, list_checkpoints, step_of
from photo2cartoon.layout import CARD, CHECKPOINTS, RUN, SAMPLES, STATE, STATS
from photo2cartoon.progress import note
from photo2cartoon.urls import as_user_error, file_system, inside

PROBE = ".writable"
KEEP = 2  # states: the newest, and one before it in case the newest is damaged


class RunStorage:
    """A run's place in object storage.

    Args:
        url: fsspec URL, as in s3://bucket/path.

    Raises:
        UserError: a package for that kind of URL is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        with as_user_error(self.url, "cannot be used"):
            self._system, self._root = file_system(self.url)

    def must_be_writable(self) -> None:
        """Write and remove a small object, before hours of training that could not be kept.

        Raises:
            UserError: the storage cannot be written.
        """
        with as_user_error(self.url, "cannot be written"):
            self._system.pipe_file(self._in(PROBE), b"")
            self._system.rm_file(self._in(PROBE))

    def restore(self, run: Path, states: bool = True, results: bool = True) -> None:
        """Download states and results into a run's folder; files that are there already are replaced.

        Args:
            run: the run's folder.
            states: whether to download the states.
            results: whether to download curves, samples and the checkpoints' averages.

        Raises:
            UserError: the storage cannot be read.
        """
        with as_user_error(self.url, "cannot be read"):
            found = self._names("")
            cards = {name.rsplit("/", 1)[0] for name in found if name.endswith(f"/{CARD}")}
            whole = {name for name in cards if (states if name.startswith(f"{STATE}/") else results)}
            wanted = [name for name in found if (results and _is_result(name)) or name.rsplit("/", 1)[0] in whole]
            for name in wanted:
                target = inside(run, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                self._system.get_file(self._in(name), str(target))
        held = [Path(name).name for name in whole if name.startswith(f"{STATE}/")]
        if held and results:
            note(f"train: {self.url} holds {_newest(held)[-1]}")

    def keep_state(self, run: Path, path: Path) -> None:
        """Upload a state, with the curves and `run.json` that go with it, then remove the states before the newest two.

        Args:
            run: the run's folder.
            path: the state in it.

        Raises:
            UserError: the storage cannot be written.
        """
        with as_user_error(self.url, "cannot be written"):
            self._put_records(run)  # first: the MLflow run and the curves of a state are known wherever it is resumed
            self._put_folder(path, f"{STATE}/{path.name}")
            self._keep_only(STATE, _newest(self._folders(STATE))[-KEEP:])

    def keep_results(self, run: Path) -> None:
        """Upload curves, new samples, `run.json` and the averages of new checkpoints; remove those that the run dropped.

        Raises:
            UserError: the storage cannot be written.
        """
        with as_user_error(self.url, "cannot be written"), tempfile.TemporaryDirectory() as folder:
            there = set(self._names(SAMPLES))
            for path in sorted((run / SAMPLES).glob("*.png")):
                if path.name not in there:
                    self._system.put_file(str(path), self._in(f"{SAMPLES}/{path.name}"))
            names = {path.name for path in list_checkpoints(run / CHECKPOINTS)}
            copy_averages(run, Path(folder) / "run", names - self._folders(CHECKPOINTS))
            for path in list_checkpoints(Path(folder) / "run" / CHECKPOINTS):
                self._put_folder(path, f"{CHECKPOINTS}/{path.name}")
            self._keep_only(CHECKPOINTS, names)
            self._put_records(run)

    def _put_records(self, run: Path) -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in (STATS, RUN):
                copy = shutil.copyfile(run / name, Path(folder) / name)  # the original may grow meanwhile
                self._system.put_file(str(copy), self._in(name))

    def _in(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    def _names(self, folder: str) -> list[str]:
        """List the objects below a folder, relative to it."""
        self._system.invalidate_cache()
        start = self._in(folder)
        return [found.split(start, 1)[1].lstrip("/") for found in self._system.find(start)]

    def _folders(self, folder: str) -> set[str]:
        """List the folders in a folder that hold a card."""
        return {name.split("/")[0] for name in self._names(folder) if name.endswith(f"/{CARD}")}

    def _put_folder(self, path: Path, name: str) -> None:
        for file in sorted(path.iterdir(), key=lambda file: file.name == CARD):
            self._system.put_file(str(file), self._in(f"{name}/{file.name}"))

    def _keep_only(self, folder: str, names: Collection[str]) -> None:
        for name in sorted(self._names(folder), key=lambda name: not name.endswith(CARD)):
            if name.split("/")[0] not in names:
                self._system.rm_file(self._in(f"{folder}/{name}"))


def _newest(names: Iterable[str]) -> list[str]:
    """Sort names of states by their steps, the newest last."""
    return sorted(names, key=lambda name: step_of(Path(name)))


def _is_result(name: str) -> bool:
    return name in (STATS, RUN) or name.startswith(f"{SAMPLES}/")
