"""`p2c`: the verbs, nothing else. Everything heavy is imported when a verb needs it."""

from __future__ import annotations

import sys

from photo2cartoon.cli import stages  # isort: skip  # in the order in which --help shows them
from photo2cartoon.cli import models  # isort: skip
from photo2cartoon.cli import extras  # isort: skip
from photo2cartoon.cli.common import app
from photo2cartoon.errors import exit_on_user_error

__all__ = ["app", "extras", "main", "models", "stages"]


def main() -> None:
    """The program: one line for what a user can cause, a traceback for a bug."""
    try:
        with exit_on_user_error("p2c"):
            app()
    except KeyboardInterrupt:
        print("p2c: interrupted", file=sys.stderr)
        sys.exit(130)
