"""Progress bars: live on a terminal, one line every ten seconds in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar, overload

from photo2cartoon.errors import without_credentials

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")


class _Lines:
    """Standard error for logs: each redraw of the bar is written as a new line."""

    def write(self, text: str) -> None:
        text = text.strip("\r\n ")
        if text:
            sys.stderr.write(text + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def note(text: str) -> None:
    """Print a message above the current bar, on standard error; credentials in its URLs are not shown."""
    from tqdm import tqdm

    tqdm.write(without_credentials(text), file=sys.stderr)


@overload
def bar(items: Iterable[Item], **options: Any) -> tqdm[Item]:
    """Over items."""


@overload
def bar(items: None = None, **options: Any) -> tqdm[Any]:
    """That the caller updates."""


def bar(items: Iterable[Any] | None = None, **options: Any) -> tqdm[Any]:
    """Create a tqdm bar over `items`; takes tqdm's own options."""
    from tqdm import tqdm

    if sys.stderr.isatty():
        return tqdm(items, dynamic_ncols=True, **options)
    return tqdm(items, mininterval=10, maxinterval=10, ascii=True, ncols=110, file=_Lines(), **options)
