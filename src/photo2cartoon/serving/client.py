"""Triton client: sends photographs or portraits over gRPC and receives cartoons."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from photo2cartoon.errors import UserError
from photo2cartoon.layout import ENSEMBLE, GENERATOR
from photo2cartoon.portrait import PictureError
from photo2cartoon.portrait.background import COLOUR
from photo2cartoon.portrait.maker import MOST_FACES, SIZE
from photo2cartoon.serving.session import feed

TIMEOUT_SECONDS = 60.0
MOST_AT_ONCE = MOST_FACES  # the generator's max_batch_size


class FaceCartoon(NamedTuple):
    """The cartoon of one face.

    Args:
        cartoon: PNG on white.
        box: left, top, right, bottom of the face's landmarks, in pixels of the photograph.
    """

    cartoon: bytes
    box: tuple[int, int, int, int]


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

    def cartoonize(
        self,
        photo: bytes,
        faces: str = "largest",
        size: int = SIZE,
        colour: float = COLOUR,
        timeout: float = TIMEOUT_SECONDS,
    ) -> list[FaceCartoon]:
        """Make cartoons from a photograph.

        Args:
            photo: an encoded image.
            faces: `largest` or `all`.
            size: side of the cartoons in pixels, one of `SIZES`.
            colour: strength of the photograph's colours, 0 to 1.
            timeout: seconds.

        Returns:
            A cartoon for each face, the largest first.

        Raises:
            PictureError: the server cannot make a portrait from the photograph.
            UserError: the server cannot be reached or does not answer, or a parameter is unknown.
        """
        given = self._grpc.InferInput("photo", [1], "BYTES")
        given.set_data_from_numpy(np.array([photo], dtype=np.object_))
        answer = self._infer(ENSEMBLE, [given], timeout, {"faces": faces, "size": size, "colour": str(colour)})
        pairs = zip(answer.as_numpy("cartoon"), answer.as_numpy("box"), strict=True)
        return [FaceCartoon(cartoon, tuple(int(edge) for edge in box)) for cartoon, box in pairs]

    def stylize(self, portraits: np.ndarray, colour: float = COLOUR, timeout: float = TIMEOUT_SECONDS) -> np.ndarray:
        """Make cartoons from portraits that were made locally.

        Args:
            portraits: uint8 `[N, S, S, 4]`.
            colour: strength of the photograph's colours, 0 to 1.
            timeout: seconds, for each call.

        Returns:
            uint8 `[N, S, S, 3]`.

        Raises:
            UserError: the server cannot be reached or does not answer.
        """
        cartoons = []
        for first in range(0, len(portraits), MOST_AT_ONCE):
            part = np.ascontiguousarray(portraits[first : first + MOST_AT_ONCE])
            given = []
            for (name, values), kind in zip(feed(part, colour).items(), ("UINT8", "FP32"), strict=True):
                given.append(self._grpc.InferInput(name, list(values.shape), kind))
                given[-1].set_data_from_numpy(values)
            cartoons.append(self._infer(GENERATOR, given, timeout).as_numpy("cartoon"))
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

    def _infer(self, model: str, given: list[Any], timeout: float, parameters: dict[str, Any] | None = None) -> Any:
        from tritonclient.utils import InferenceServerException

        try:
            return self._client.infer(model, given, client_timeout=timeout, parameters=parameters)
        except InferenceServerException as error:
            if "INVALID_ARGUMENT" in str(error.status()) and "photo: " in error.message():
                text = error.message().split("photo: ", 1)[-1]
                raise PictureError(*text.split(": ", 1)) from None
            raise UserError(f"Triton at {self.server}: {error.message()}") from None
