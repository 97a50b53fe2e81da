"""Follows the alias `champion`: whoever moves it in MLflow deploys that version within a minute."""

from __future__ import annotations

import contextlib
import http.server
import signal
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from photo2cartoon.errors import UserError
from photo2cartoon.ports import LOOPBACK
from photo2cartoon.progress import note
from photo2cartoon.tracking import aliases, webhooks

RETRY_SECONDS = 60.0  # between tries of a version that could not be deployed


class FinalError(UserError):
    """A version cannot be deployed, and another try would not change that."""


def follow(
    place: str,
    model: str,
    deploy: Callable[[], int],
    every: float,
    webhook: str | None = None,
    catch_up: Callable[[int], bool] | None = None,
    interrupt: bool = False,
) -> None:
    """Deploy what `champion` points at, now and whenever it is moved, until SIGTERM or Ctrl-C.

    A version that `deploy` refuses is not served, and what was served stays: tags of the version and of the registered
    model say why, until the alias is moved or the version can be deployed. Without a champion, and while MLflow does not
    answer, the served version is unchanged as well.

    Args:
        place: what serves, for messages.
        model: name of the registered model.
        deploy: deploys the champion and returns its version; raises UserError if it cannot.
        every: seconds between looks at MLflow.
        webhook: address at which MLflow's server reaches this process, so that it looks at once; None only polls.
        catch_up: called at every look with the version that is deployed, for servers that came later; returns whether all
            serve it. If not, somebody else has promoted another version meanwhile, and it is deployed again.
        interrupt: whether SIGTERM and Ctrl-C end `deploy` in the middle, by SystemExit; otherwise it ends first.

    Raises:
        UserError: the webhook's address cannot be listened at.
    """
    moved, stop, busy = threading.Event(), threading.Event(), threading.Event()

    def end(number: int, _: object) -> None:
        stop.set()
        moved.set()
        if interrupt and busy.is_set():
            raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    follower = Follower(place, model, deploy, catch_up)
    with _listening(webhook, model, moved.set) if webhook else contextlib.nullcontext():
        note(f"promote: follows '{aliases.CHAMPION}' of {model}; Ctrl-C stops")
        while not stop.is_set():
            moved.clear()
            busy.set()
            follower.look()
            busy.clear()
            moved.wait(every)


class Follower:
    """The state of `follow`: what was deployed last, and what could not be.

    Args:
        place, model, deploy, catch_up: as for `follow`.
    """

    def __init__(
        self, place: str, model: str, deploy: Callable[[], int], catch_up: Callable[[int], bool] | None = None
    ) -> None:
        self.place, self.model, self._deploy, self._catch_up = place, model, deploy, catch_up
        self._deployed: str | None = None
        self._failed: str | None = None
        self._final = False
        self._tries = 0.0
        self._said: str | None = None

    def look(self) -> None:
        """Look at the alias once, and deploy its version if it is not deployed yet."""
        try:
            state = aliases.champion_state(self.model)
        except UserError as error:
            self._say(f"promote: {error}; the served version is unchanged")
            return
        if state is None:
            self._say(f"promote: {self.model} has no champion; the served version is unchanged")
            return
        is_deployed = state == self._deployed and not self._failed
        if is_deployed and (not self._catch_up or self._catch_up(int(state.split()[0]))):
            return
        if state == self._failed and (self._final or time.monotonic() - self._tries < RETRY_SECONDS):
            return
        self._tries, self._deployed = time.monotonic(), None
        try:
            version = self._deploy()
        except UserError as error:
            self._failed, self._final = state, isinstance(error, FinalError)
            self._say(f"promote: {error}; what was served before stays")
            with contextlib.suppress(UserError):
                if aliases.champion_state(self.model) != state:
                    return  # it is not wanted any more
                aliases.mark_refused(self.model, int(state.split()[0]), str(error))
            return
        with contextlib.suppress(UserError):
            # If somebody has moved the alias or exported the version anew meanwhile, the next look deploys again.
            self._deployed = state if aliases.champion_state(self.model) == state else None
        self._failed = None
        self._say(f"promote: version {version} is in service in {self.place}")

    def _say(self, text: str) -> None:
        if text != self._said:
            note(text)
            self._said = text


@contextlib.contextmanager
def _listening(address: str, model: str, wake: Callable[[], None]) -> Iterator[None]:
    """Listen for MLflow's webhook, which only makes the follower look: the message itself is not trusted or used."""

    class _Listener(http.server.BaseHTTPRequestHandler):
        timeout = 5

        def do_POST(self) -> None:
            """Make the follower look."""
            self.send_response(204)
            self.end_headers()
            wake()

        def log_message(self, *_: object) -> None:
            """Print nothing for a request."""

    parts = urlsplit(address)
    port = None
    with contextlib.suppress(ValueError):  # not a number, or too large
        port = parts.port
    if parts.scheme not in ("http", "https") or not parts.hostname or not port:
        raise UserError(f"promote: --webhook {address}: expected http://HOST:PORT")
    own = parts.hostname in (LOOPBACK, "localhost")
    try:
        server = http.server.ThreadingHTTPServer((LOOPBACK if own else "", port), _Listener)
    except OSError as error:
        raise UserError(f"promote: --webhook {address}: cannot listen at port {port}: {error.strerror}") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    name = f"photo2cartoon-{model}-{parts.hostname}-{port}"
    try:
        refused = webhooks.subscribe(name, address)
        note(
            f"promote: MLflow has no webhooks for {address} ({refused}): polls only"
            if refused
            else "promote: by webhook"
        )
        yield
    finally:
        webhooks.unsubscribe(name)
        server.shutdown()
        server.server_close()
