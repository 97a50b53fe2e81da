"""Model control of a running Triton. Whoever loads or unloads a model needs the key that `p2c serve` set."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path
from typing import Any

from photo2cartoon.atomic import atomic_write
from photo2cartoon.errors import UserError
from photo2cartoon.layout import CONTROL_KEY, TRITON_RUN
from photo2cartoon.serving.connection import check_secret, connect

VARIABLE = "P2C_TRITON_KEY"
ANSWER_SECONDS, LOAD_SECONDS = 10.0, 600.0  # for which a server is waited for; TensorRT builds an engine while it loads
# What can unload models, run code or read memory. Triton has the same names for gRPC and HTTP.
RESTRICTED = "model-repository,shared-memory,trace,logging"
_NAME = "p2c-key"


class RefusedError(UserError):
    """The server answered, and does not load the model."""


def server_key(run_folder: Path) -> str:
    """Return the key for a server to start with: P2C_TRITON_KEY, else that of its run folder, which is made once.

    Raises:
        UserError: the key is weak, see `check_secret`.
    """
    given = os.environ[VARIABLE].strip() if VARIABLE in os.environ else None
    if given is None and (run_folder / CONTROL_KEY).is_file():
        given = (run_folder / CONTROL_KEY).read_text().strip()
    if given is None:
        given = secrets.token_hex(16)
        with atomic_write(run_folder / CONTROL_KEY) as partial:
            partial.chmod(0o600)  # while it is empty
            partial.write_text(given)
    check_secret(VARIABLE, given)
    return given


def find_key(file: Path | None = None) -> str:
    """Return the key of a server on this machine or elsewhere: of a file, else P2C_TRITON_KEY, else `make serve`'s.

    Raises:
        UserError: the file cannot be read.
    """
    if file is None and VARIABLE in os.environ:
        return _printable(VARIABLE, os.environ[VARIABLE])
    place = file or TRITON_RUN / CONTROL_KEY
    try:
        return _printable(str(place), place.read_text())
    except (OSError, UnicodeDecodeError) as error:
        if file is None:
            return ""  # a server without restrictions needs none
        raise UserError(f"{file}: the key cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _printable(place: str, key: str) -> str:
    """Return a key that can be sent. Errors never show one."""
    key = key.strip()
    if not (key.isascii() and key.isprintable()):
        raise UserError(f"{place}: is no key: it has characters that cannot be sent")
    return key


def restrictions(key: str, http: bool) -> list[str]:
    """Return Triton's options that restrict model control to whoever sends the key."""
    options = [f"--grpc-restricted-protocol={RESTRICTED}:{_NAME}={key}"]
    return options + [f"--http-restricted-api={RESTRICTED}:{_NAME}={key}"] * http


class Control:
    """Model control of one server.

    Args:
        server: HOST:PORT of its gRPC endpoint.
        key: the server's key; None looks for it, see `find_key`.
        connection: to use; None opens one, see `connect`.

    Raises:
        UserError: the address is not HOST:PORT.
    """

    def __init__(self, server: str, key: str | None = None, connection: Any = None) -> None:
        self.server = server
        self.client = connect(server) if connection is None else connection
        self._headers = {f"triton-grpc-protocol-{_NAME}": find_key() if key is None else key}

    def check(self) -> None:
        """Check that the server answers and takes the key.

        Raises:
            RefusedError: it wants another key.
            UserError: it does not answer.
        """
        self._call(self.client.get_model_repository_index, headers=self._headers, client_timeout=ANSWER_SECONDS)

    def load(self, model: str, config: dict[str, Any] | None = None) -> None:
        """Load a model's newest version, or what its configuration selects; requests in progress finish first.

        Args:
            model: its name.
            config: configuration to use instead of the repository's, as a dictionary of Triton's ModelConfig.

        Raises:
            RefusedError: the server wants another key, or cannot load the model.
            UserError: it does not answer.
        """
        own = {"config": json.dumps(config)} if config else {}
        self._call(self.client.load_model, model, headers=self._headers, client_timeout=LOAD_SECONDS, **own)

    def reload(self, model: str) -> None:
        """Load new versions of a model with the configuration that the server has now.

        `p2c serve` adapts instances, threads and backend to its machine; the repository does not know them.

        Raises:
            RefusedError, UserError: as for `load`.
        """
        try:
            found = self._call(self.client.get_model_config, model, as_json=True, client_timeout=ANSWER_SECONDS)
        except RefusedError:
            found = {"config": None}  # not loaded yet
        self.load(model, found["config"])

    def served(self, model: str) -> int | None:
        """Return the newest version of a model that the server has loaded, or None.

        Raises:
            UserError: it does not answer, or has not loaded the model.
        """
        found = self._call(self.client.get_model_metadata, model, as_json=True, client_timeout=ANSWER_SECONDS)
        versions = found.get("versions", [])
        return max(map(int, versions), default=None)

    def restart(self, model: str) -> None:
        """Start a loaded model's processes anew; the old ones answer until the new ones are ready.

        Triton keeps the processes of a model whose configuration is the same, so a parameter that means nothing changes.

        Raises:
            RefusedError, UserError: as for `load`.
        """
        found = self._call(self.client.get_model_config, model, as_json=True, client_timeout=ANSWER_SECONDS)
        config = found["config"]
        config.setdefault("parameters", {})["restarted"] = {"string_value": secrets.token_hex(4)}
        self.load(model, config)

    def _call(self, function: Any, *given: Any, **named: Any) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return function(*given, **named)
        except InferenceServerException as error:
            if "This protocol is restricted" in error.message():
                raise RefusedError(
                    f"Triton at {self.server}: model control wants the server's key: give it by {VARIABLE} or --key-file"
                    f" ({TRITON_RUN / CONTROL_KEY} of the folder that `p2c serve` runs in)"
                ) from None
            lost = any(status in str(error.status()) for status in ("UNAVAILABLE", "DEADLINE_EXCEEDED"))
            kind = UserError if lost else RefusedError
            raise kind(f"Triton at {self.server}: {error.message()}") from None
