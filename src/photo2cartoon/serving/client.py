"""Triton client: sends photographs or portraits over gRPC and receives cartoons."""

from __future__ import annotations

import numpy as np

from photo2cartoon.errors import UserError
from photo2cartoon.layout import ENSEMBLE, GENERATOR
from photo2cartoon.portrait import PictureError

TIMEOUT_SECONDS = 60.0
MOST_AT_ONCE = 8  # the generator's max_batch_size


class Client:
    """gRPC client that keeps its connection to one Triton server.

    Args:
        server: HOST:PORT of the server's gRPC endpoint.
    """

    def __init__(self, server: str) -> None:
        from tritonclient import grpc

        self._grpc, self.server = grpc, server
        try:
            self._client = grpc.InferenceServerClient(server)
        except ValueError as error:
            raise UserError(f"{server}: not HOST:PORT: {error}") from None

    def cartoonize(self, photo: bytes, timeout: float = TIMEOUT_SECONDS) -> bytes:
        """Make a cartoon from a photograph.

        Args:
            photo: an encoded image.
            timeout: seconds.

        Returns:
            PNG, 256x256.

        Raises:
            PictureError: the server cannot make a portrait from the photograph.
            UserError: the server cannot be reached or does not answer.
        """
        given = self._grpc.InferInput("photo", [1], "BYTES")
        given.set_data_from_numpy(np.array([photo], dtype=np.object_))
        return self._infer(ENSEMBLE, given, timeout)[0]

    def stylize(self, portraits: np.ndarray, timeout: float = TIMEOUT_SECONDS) -> np.ndarray:
        """Make cartoons from portraits that were made locally.

        Args:
            portraits: uint8 `[N, 256, 256, 4]`.
            timeout: seconds, for each call.

        Returns:
            uint8 `[N, 256, 256, 3]`.

        Raises:
            UserError: the server cannot be reached or does not answer.
        """
        cartoons = []
        for first in range(0, len(portraits), MOST_AT_ONCE):
            part = np.ascontiguousarray(portraits[first : first + MOST_AT_ONCE])
            given = self._grpc.InferInput("portrait", list(part.shape), "UINT8")
            given.set_data_from_numpy(part)
            cartoons.append(self._infer(GENERATOR, given, timeout))
        return np.concatenate(cartoons)

    def version(self) -> str:
        """Return the newest version of the generator that the server has loaded.

        Raises:
            UserError: the server cannot be reached, or has not loaded the generator.
        """
        from tritonclient.utils import InferenceServerException

        try:
            return self._client.get_model_metadata(GENERATOR, client_timeout=TIMEOUT_SECONDS).versions[-1]
        except InferenceServerException as error:
            raise UserError(f"Triton at {self.server}: {error.message()}") from None

    def _infer(self, model: str, given: object, timeout: float) -> np.ndarray:
        from tritonclient.utils import InferenceServerException

        try:
            return self._client.infer(model, [given], client_timeout=timeout).as_numpy("cartoon")
        except InferenceServerException as error:
            if "INVALID_ARGUMENT" in str(error.status()) and model == ENSEMBLE:
                text = error.message().split("photo: ", 1)[-1]
                raise PictureError(*text.split(": ", 1)) from None
            raise UserError(f"Triton at {self.server}: {error.message()}") from None
