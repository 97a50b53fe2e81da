"""Requests to the served model and its responses, shared by `client` and `aio`."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from photo2cartoon.errors import UserError
from photo2cartoon.portrait import PictureError
from photo2cartoon.serving.call import OK, error_of
from photo2cartoon.serving.connection import AUTHORITY, TOKEN
from photo2cartoon.serving.session import feed

if TYPE_CHECKING:
    from tritonclient.utils import InferenceServerException

TIMEOUT_SECONDS = 60.0
ATTEMPTS = 8  # of a call that a server is too busy for, or that does not reach it
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0  # seconds before the second attempt; each further pause is twice as long
OUTPUTS = ("cartoon", "box", "photo_index", "code", "detail", "version")


class ServerError(UserError):
    """The server answered with an error, or not at all."""


class BusyError(ServerError):
    """The server cannot be reached, has more to do than it takes, or replaces a process that died, after all attempts."""


class LateError(ServerError):
    """The answer did not come in time."""


class FaceCartoon(NamedTuple):
    """A cartoon.

    Args:
        cartoon: encoded, as the call asked for.
        box: left, top, right, bottom of the face's landmarks, in pixels of the photograph; pasted, of all its faces'.
    """

    cartoon: bytes
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Answer:
    """Server's answer for one photograph.

    Args:
        cartoons: the largest face first; empty if it was not drawn.
        error: why it was not drawn.
        version: of the generator that drew, as in MLflow.
        request: names the call in the server's log.
    """

    cartoons: list[FaceCartoon]
    error: PictureError | None
    version: int
    request: str

    def drawn(self) -> list[FaceCartoon]:
        """Return the cartoons.

        Raises:
            PictureError: the photograph was not drawn.
        """
        if self.error:
            raise self.error
        return self.cartoons


def photo_input(grpc: Any, photos: Sequence[bytes]) -> list[Any]:
    """Return the ensemble's input for encoded photographs."""
    given = grpc.InferInput("photo", [len(photos)], "BYTES")
    given.set_data_from_numpy(np.array(photos, dtype=np.object_))
    return [given]


def portrait_inputs(grpc: Any, portraits: np.ndarray, colour: float) -> list[Any]:
    """Return the generator's inputs for portraits, uint8 `[N, S, S, 4]`."""
    given = []
    for (name, values), kind in zip(
        feed(np.ascontiguousarray(portraits), colour).items(), ("UINT8", "FP32"), strict=True
    ):
        given.append(grpc.InferInput(name, list(values.shape), kind))
        given[-1].set_data_from_numpy(values)
    return given


def answers_of(result: Any) -> list[Answer]:
    """Return the answer for each photograph of a call."""
    values = {name: result.as_numpy(name) for name in OUTPUTS}
    version, request = int(values["version"][0]), result.get_response().id
    answers = []
    for number, (code, detail) in enumerate(zip(values["code"], values["detail"], strict=True)):
        own = np.flatnonzero(values["photo_index"] == number)
        cartoons = [FaceCartoon(values["cartoon"][i], _box(values["box"][i])) for i in own]
        error = None if code.decode() == OK else error_of(code.decode(), detail.decode())
        answers.append(Answer(cartoons, error, version, request))
    return answers


def _box(edges: np.ndarray) -> tuple[int, int, int, int]:
    left, top, right, bottom = (int(edge) for edge in edges)
    return left, top, right, bottom


def new_request() -> str:
    """Return a name for a call, which the server logs and errors mention."""
    return uuid.uuid4().hex[:16]


def as_server_error(server: str, error: InferenceServerException, request: str = "") -> ServerError:
    """Return the error of a call as one of ours."""
    status, said = str(error.status()), f"Triton at {server}: {error.message()}{request and f' (request {request})'}"
    if "This protocol is restricted" in said:
        return ServerError(f"Triton at {server}: wants a token: give it by {TOKEN}")
    if "Hostname Verification" in said:
        return ServerError(f"Triton at {server}: its certificate is for another name")
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return ServerError(
            f"Triton at {server}: its certificate is not trusted: {AUTHORITY} names a file with its authority's"
        )
    # A server that starts or ends answers, and has not loaded the model yet, or no longer.
    if "UNAVAILABLE" in status or any(words in said for words in ("is not healthy", "Request for unknown model")):
        return BusyError(said)
    if "DEADLINE_EXCEEDED" in status:
        return LateError(said)
    return ServerError(said)


def pauses(timeout: float) -> Iterator[tuple[float, float]]:
    """Yield, for each attempt of a call, the pause before it and the seconds that it may then take."""
    deadline = time.monotonic() + timeout
    for attempt in range(ATTEMPTS):
        # At random, so that clients which were refused together do not come back together.
        pause = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1.5) if attempt else 0.0
        left = deadline - time.monotonic() - pause
        if left <= 0:
            return
        yield pause, left
