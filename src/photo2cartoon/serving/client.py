"""Triton client: sends photographs or portraits over gRPC and receives cartoons. `aio` has the same for asyncio."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from photo2cartoon.layout import ENSEMBLE, GENERATOR, PICTURE
from photo2cartoon.portrait.background import COLOUR
from photo2cartoon.portrait.maker import MOST_FACES
from photo2cartoon.serving.call import Call
from photo2cartoon.serving.connection import connect
from photo2cartoon.serving.messages import (
    TIMEOUT_SECONDS,
    Answer,
    BusyError,
    FaceCartoon,
    LateError,
    ServerError,
    answers_of,
    as_server_error,
    new_request,
    pauses,
    photo_input,
    portrait_inputs,
)

READY_SECONDS = 4.0
MOST_AT_ONCE = MOST_FACES  # the generator's max_batch_size


class Client:
    """gRPC client that keeps its connection to one Triton server.

    Args:
        server: HOST:PORT of the server's gRPC endpoint, or grpcs://HOST:PORT for TLS.
        connection: to use; None opens one, see `connect`.

    Raises:
        UserError: the address is no such one.
    """

    def __init__(self, server: str, connection: Any = None) -> None:
        from tritonclient import grpc

        self._grpc, self.server = grpc, server
        self._client = connect(server) if connection is None else connection

    def cartoonize(self, photo: bytes, call: Call | None = None, timeout: float = TIMEOUT_SECONDS) -> list[FaceCartoon]:
        """Make cartoons from a photograph.

        Args:
            photo: an encoded image.
            call: parameters of the call; None draws the largest face as PNG.
            timeout: seconds, with all attempts.

        Returns:
            A cartoon for each face, the largest first; with `paste` the photograph alone.

        Raises:
            PictureError: the server cannot make a portrait from the photograph.
            ServerError: the server cannot be reached, is too busy, does not answer in time, or refuses a parameter.
        """
        return self.cartoonize_all([photo], call, timeout)[0].drawn()

    def cartoonize_all(
        self, photos: Sequence[bytes], call: Call | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> list[Answer]:
        """Make cartoons from up to `MOST_PHOTOS` photographs in one call.

        Args:
            photos: encoded images.
            call, timeout: as for `cartoonize`.

        Returns:
            The cartoons of each photograph, or why it was not drawn.

        Raises:
            ServerError: as for `cartoonize`.
        """
        parameters = (call or Call()).parameters()
        return answers_of(self._infer(ENSEMBLE, photo_input(self._grpc, photos), timeout, parameters))

    def stylize(self, portraits: np.ndarray, colour: float = COLOUR, timeout: float = TIMEOUT_SECONDS) -> np.ndarray:
        """Make cartoons from portraits that were made locally.

        Args:
            portraits: uint8 `[N, S, S, 4]`.
            colour: strength of the photograph's colours, 0 to 1.
            timeout: seconds, for each call.

        Returns:
            uint8 `[N, S, S, 3]`.

        Raises:
            ServerError: as for `cartoonize`.
        """
        cartoons = []
        for first in range(0, len(portraits), MOST_AT_ONCE):
            given = portrait_inputs(self._grpc, portraits[first : first + MOST_AT_ONCE], colour)
            cartoons.append(self._infer(GENERATOR, given, timeout).as_numpy("cartoon"))
        return np.concatenate(cartoons)

    def version(self) -> str:
        """Return the newest version of the generator that the server has loaded.

        Raises:
            ServerError: the server cannot be reached, or has not loaded the generator.
        """
        from tritonclient.utils import InferenceServerException

        try:
            return self._client.get_model_metadata(GENERATOR, client_timeout=TIMEOUT_SECONDS).versions[-1]
        except InferenceServerException as error:
            raise as_server_error(self.server, error) from None

    def has_drawn(self) -> bool:
        """Return whether the server is ready and has drawn a picture since it started, as `p2c serve` makes it do.

        Raises:
            ServerError: the server cannot be reached.
        """
        from tritonclient.utils import InferenceServerException

        try:
            if not self._client.is_model_ready(ENSEMBLE, client_timeout=READY_SECONDS):
                return False
            # Ask the last step: Triton resets the counts of the ensemble and the generator when a version is loaded.
            said = self._client.get_inference_statistics(PICTURE, client_timeout=READY_SECONDS)
        except InferenceServerException as error:
            raise as_server_error(self.server, error) from None
        return any(model.inference_stats.success.count for model in said.model_stats)

    def _infer(self, model: str, given: list[Any], timeout: float, parameters: dict[str, Any] | None = None) -> Any:
        from tritonclient.utils import InferenceServerException

        request = new_request()
        refused: ServerError = LateError(f"Triton at {self.server}: no time was left for a call")
        for pause, left in pauses(timeout):
            time.sleep(pause)
            try:
                return self._client.infer(model, given, request_id=request, client_timeout=left, parameters=parameters)
            except InferenceServerException as error:
                refused = as_server_error(self.server, error, request)
                if not isinstance(refused, BusyError):
                    raise refused from None
        raise refused
