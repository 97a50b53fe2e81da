"""`UserError`, the exception for errors that a user can cause.

Its message is one line that names the file or key, the problem and the remedy. The command line prints that line and
exits with `exit_code`. Any other exception is a bug and keeps its traceback.
"""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator

# A password after a user's name; by HTTP also a lone name, which is how Git's hosts take tokens.
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*:[^/@\s]*(?=@)|(?<=http://)[^/@\s]+(?=@)|(?<=https://)[^/@\s]+(?=@)")


def without_credentials(text: str) -> str:
    """Replace `user:password`, and tokens, in the URLs of a text by `***`."""
    return _CREDENTIALS.sub("***", text)


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or the name of its class if it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class UserError(Exception):
    """Error that a user can cause and fix.

    Args:
        message: one line that names the file or key and the reason; credentials in its URLs are not shown.
        exit_code: exit code of the process; never 0.
    """

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(without_credentials(" ".join(str(message).split())))
        self.exit_code = exit_code


@contextlib.contextmanager
def exit_on_user_error(program: str) -> Iterator[None]:
    """Exit with one line, `program: reason`, and the error's exit code on a `UserError`; bugs keep their traceback.

    A file that must not be read or written, wherever it is met, is the user's, too.
    """
    try:
        yield
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except PermissionError as error:
        print(f"{program}: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
        sys.exit(1)
