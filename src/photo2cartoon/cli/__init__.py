"""`p2c`, the command line. Heavy modules are imported when a command needs them."""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from photo2cartoon.cli import stages  # isort: skip  # the order of --help
from photo2cartoon.cli import style  # isort: skip
from photo2cartoon.cli import serving  # isort: skip
from photo2cartoon.cli import models  # isort: skip
from photo2cartoon.cli import cartoons  # isort: skip
from photo2cartoon.cli import portraits  # isort: skip
from photo2cartoon.cli import compare  # isort: skip
from photo2cartoon.cli import extras  # isort: skip
from photo2cartoon.cli.common import app
from photo2cartoon.errors import exit_on_user_error

__all__ = ["app", "cartoons", "compare", "extras", "main", "models", "portraits", "serving", "stages", "style"]


def main() -> None:
    """Run the command line: one line for an error that a user can cause, a traceback for a bug."""
    _clean_up_on_sigterm()
    try:
        with exit_on_user_error("p2c"):
            app()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] == "photo2cartoon":
            raise
        print(
            f"p2c: this needs the package {error.name}, which comes with the whole environment: `make env` in a clone, or"
            " `pip install --no-deps -r requirements.txt`; without it p2c draws, and calls servers",
            file=sys.stderr,
        )
        sys.exit(1)
    except KeyboardInterrupt:
        print("p2c: interrupted", file=sys.stderr)
        sys.exit(130)


def _clean_up_on_sigterm() -> None:
    """Let SIGTERM end the command as an error does, so that no half-written folder stays."""
    own = os.getpid()

    def end(number: int, _: Any) -> None:
        if os.getpid() != own:  # a worker that was forked ends as it would without this
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, end)
