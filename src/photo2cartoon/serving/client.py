"""One call: an encoded photograph to Triton, an encoded cartoon back."""

from __future__ import annotations

import numpy as np

from photo2cartoon.errors import UserError
from photo2cartoon.portrait import PictureError
from photo2cartoon.serving.repository import ENSEMBLE

TIMEOUT_SECONDS = 60.0


class Client:
    """Talks to a server; keeps its connection.

    Args:
        server: HOST:PORT of its gRPC.
    """

    def __init__(self, server: str) -> None:
        from tritonclient import grpc

        self._grpc, self.server = grpc, server
        try:
            self._client = grpc.InferenceServerClient(server)
        except ValueError as error:
            raise UserError(f"{server}: not HOST:PORT: {error}") from None

    def cartoonize(self, photo: bytes, timeout: float = TIMEOUT_SECONDS) -> bytes:
        """Draw a photograph.

        Args:
            photo: an encoded picture.
            timeout: seconds.

        Returns:
            PNG, 256x256.

        Raises:
            PictureError: the server could make no portrait of it.
            UserError: the server cannot be reached or does not answer.
        """
        from tritonclient.utils import InferenceServerException

        given = self._grpc.InferInput("photo", [1], "BYTES")
        given.set_data_from_numpy(np.array([photo], dtype=np.object_))
        try:
            answer = self._client.infer(ENSEMBLE, [given], client_timeout=timeout)
        except InferenceServerException as error:
            if "INVALID_ARGUMENT" in str(error.status()):
                text = error.message().split("photo: ", 1)[-1]
                raise PictureError(*text.split(": ", 1)) from None
            raise UserError(f"Triton at {self.server}: {error.message()}") from None
        return answer.as_numpy("cartoon")[0]
