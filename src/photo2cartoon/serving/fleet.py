"""Model control of every server behind a name, such as the replicas of a Deployment."""

from __future__ import annotations

import socket
from collections.abc import Callable

from photo2cartoon.errors import UserError
from photo2cartoon.layout import GENERATOR
from photo2cartoon.progress import note
from photo2cartoon.serving.connection import SECURE, connect
from photo2cartoon.serving.control import Control, RefusedError


def addresses(server: str) -> list[str]:
    """Resolve the name of a server, which may stand for several.

    Args:
        server: HOST:PORT, or grpcs://HOST:PORT for TLS.

    Returns:
        The server itself if its name has one address or cannot be resolved; else one entry for each address.
    """
    secure, bare = server.startswith(SECURE), server.removeprefix(SECURE)
    host, _, port = bare.rpartition(":")
    try:
        found = socket.getaddrinfo(host, int(port), socket.AF_INET, socket.SOCK_STREAM)
    except (OSError, ValueError):
        return [server]  # an error when it is called says more
    each = sorted({place[0] for *_, place in found})
    return [server] if len(each) == 1 else [f"{SECURE if secure else ''}{address}:{port}" for address in each]


class Fleet:
    """Every server behind a name. The name is resolved for each action, because servers come and go.

    Args:
        server: HOST:PORT, or grpcs://HOST:PORT for TLS.
        key: of their model control; None looks for it, see `control.find_key`.
    """

    def __init__(self, server: str, key: str | None = None) -> None:
        self.server, self.key = server, key
        self._said = ""

    def controls(self) -> list[Control]:
        """Open model control of every server.

        Raises:
            UserError: the name is not HOST:PORT.
        """
        name = self.server.removeprefix(SECURE).rpartition(":")[0]
        found = addresses(self.server)
        return [Control(each, self.key, None if each == self.server else connect(each, name=name)) for each in found]

    def check(self) -> None:
        """Check that at least one server answers, and that each that does takes the key.

        Raises:
            RefusedError: a server wants another key.
            UserError: none answers.
        """
        self._all(Control.check)

    def reload(self, model: str) -> None:
        """Load new versions of a model into every server, see `Control.reload`.

        A server that does not answer while another does is left out with a note: it may be ending, and one that starts
        loads the newest version by itself.

        Raises:
            RefusedError: a server wants another key, or cannot load the model.
            UserError: none answers.
        """
        self._all(lambda control: control.reload(model))

    def catch_up(self, version: int) -> bool:
        """Make every server that draws with another version load its repository's; those that do not answer are left out.

        Returns:
            Whether no server draws with another version then: if one does, its repository holds another as its newest.
        """
        caught_up = True
        for control in self.controls():
            try:
                if control.served(GENERATOR) != version:
                    control.reload(GENERATOR)
                    now = control.served(GENERATOR)
                    caught_up = caught_up and now == version
                    note(f"promote: {control.server}: reloaded, now serves version {now}")
            except UserError as error:
                logged = str(error)
                if logged != self._said:
                    note(f"promote: {logged}; it is left out")
                    self._said = logged
        return caught_up

    def _all(self, act: Callable[[Control], object]) -> None:
        controls, lost = self.controls(), list[UserError]()
        for control in controls:
            try:
                act(control)
            except RefusedError:
                raise
            except UserError as error:
                lost.append(error)
        if len(lost) == len(controls):
            raise lost[0]
        for failure in lost:
            note(f"promote: {failure}; it is left out")
