"""The one kind of error a user can cause.

Whatever raises `UserError` knows what is wrong and says it in one line that names the file or key and the way out; the
command line prints that line and exits with `exit_code`. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


class UserError(Exception):
    """Something a user can cause and put right.

    Args:
        message: one line, naming the file or key and the reason.
        exit_code: what the process exits with; never 0.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(" ".join(str(message).split()))
        self.exit_code = exit_code


@contextlib.contextmanager
def exit_on_user_error(program: str) -> Iterator[None]:
    """What a user can cause ends the process with one line, `program: reason`, and its exit code; a bug keeps its traceback."""
    try:
        yield
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
