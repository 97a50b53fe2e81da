"""Replaces processes of Triton's python backend that died: Triton 2.51 answers with errors for them until it is restarted."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from photo2cartoon.errors import UserError
from photo2cartoon.progress import note

EVERY_SECONDS = 0.25
_INSTANCE = re.compile(r"([a-z]+)_\d+_\d+")  # of a model, as Triton names it to the process


class Watch:
    """Looks at a server's processes from a thread of its own, until `stop`.

    Args:
        server: process id of the server.
        instances: of each model, as configured; those of native backends have no process and are not watched.
        restart: starts a model's processes anew, by its name.
        forget: gives back the places of calls that were lost with the process.
    """

    def __init__(
        self, server: int, instances: Mapping[str, int], restart: Callable[[str], None], forget: Callable[[], None]
    ) -> None:
        self._server, self._restart, self._forget = server, restart, forget
        there = processes(server)  # one that was replaced while loading may still be ending
        self._expected = {model: min(count, there[model]) for model, count in instances.items()}
        self._suspected: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a restart that is under way finishes."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        restarted = False
        while not self._stop.wait(EVERY_SECONDS):
            if not _is_alive(self._server):
                return
            now = processes(self._server)
            missing = {model for model, count in self._expected.items() if now[model] < count}
            if restarted:
                self._forget()  # of calls that still waited for the process when the new ones were ready
            restarted = False
            # Missing twice: a version that is being replaced may be between its old and its new processes.
            for model in sorted(missing & self._suspected):
                note(f"serve: a process of '{model}' died; new ones are started")
                try:
                    self._restart(model)
                except UserError as error:
                    note(f"serve: {error}")
                restarted = True
            self._suspected = missing


def _is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def processes(server: int) -> Counter[str]:
    """Count the living processes of each model of a server.

    Args:
        server: process id of the server.
    """
    found: Counter[str] = Counter()
    for place in Path("/proc").iterdir():
        if not place.name.isdigit():
            continue
        try:
            words = (place / "cmdline").read_text(errors="replace").split("\0")
            parent = int((place / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has ended meanwhile
        if parent == server and words[0].endswith("triton_python_backend_stub"):
            found.update(match[1] for match in map(_INSTANCE.fullmatch, words) if match)
    return found
