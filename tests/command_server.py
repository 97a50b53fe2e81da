"""Runs Python programs for the tests without the seconds that imports take.

A process that has imported the slow packages forks for each call; the fork then does what `python -m MODULE` or `python -c CODE`
does, and ends as that does.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


class CommandServer:
    """The process that forks.

    Args:
        imports: modules to import first; none whose threads have to survive a fork, as those of onnxruntime and grpc.
        folder: gets what programs print.
    """

    def __init__(self, imports: Iterable[str], folder: Path) -> None:
        self._printed = [folder / "stdout", folder / "stderr"]
        self._command = [sys.executable, __file__, *imports, *map(str, self._printed)]
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *program: object, cwd: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Run a program, `-m MODULE` or `-c CODE` with its arguments, to its end."""
        assert self._process.stdin and self._process.stdout
        words = [str(word) for word in program]
        call = {"program": words, "cwd": str(cwd), "environment": dict(environment)}
        self._process.stdin.write(json.dumps(call) + "\n")
        self._process.stdin.flush()
        try:
            code = int(self._process.stdout.readline())
        except BaseException:  # a test that took too long: its answer must not be the next one's
            os.killpg(self._process.pid, signal.SIGKILL)
            self._start()
            raise
        return subprocess.CompletedProcess(words, code, *(path.read_text(encoding="utf-8") for path in self._printed))

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def next_call() -> dict[str, Any] | None:
    """Return, in a fork, the call that it is for; in the process itself, None after the last call."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            return json.loads(line)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return None


def run(kind: str, program: str, arguments: list[str]) -> int:
    """Run a program as Python would, and return its exit status."""
    sys.path[0] = ""  # the folder of this file until now
    sys.argv[:] = [kind, *arguments]
    try:
        if kind == "-m":
            runpy.run_module(program, run_name="__main__", alter_sys=True)
        else:
            exec(program, {"__name__": "__main__"})
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def main() -> None:
    """Import what is slow, and serve calls until the input ends."""
    *imports, out, errors = sys.argv[1:]
    for name in imports:
        importlib.import_module(name)
    gc.freeze()  # forks share the memory of what was imported for as long as nobody writes to it
    call = next_call()
    if call is None:
        return
    for number, path in enumerate([os.devnull, out, errors]):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC), number)
    os.chdir(call["cwd"])
    os.environ.clear()
    os.environ.update(call["environment"])
    kind, program, *arguments = call["program"]
    code = run(kind, program, arguments)
    # The end of a Python process, without taking apart what was imported, which would copy all of it.
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    main()
