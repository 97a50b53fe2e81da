"""Triton client for asyncio: many calls at once from one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from photo2cartoon.layout import ENSEMBLE
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
)


class AsyncClient:
    """gRPC client that keeps its connection to one Triton server; use it in an `async with` block.

    Args:
        server: HOST:PORT of the server's gRPC endpoint, or grpcs://HOST:PORT for TLS.
    """

    def __init__(self, server: str) -> None:
        from tritonclient.grpc import aio

        self._grpc, self.server = aio, server
        self._client = connect(server, aio)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.close()

    async def cartoonize(
        self, photo: bytes, call: Call | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> list[FaceCartoon]:
        """Make cartoons from a photograph, as `Client.cartoonize` does."""
        return (await self.cartoonize_all([photo], call, timeout))[0].drawn()

    async def cartoonize_all(
        self, photos: Sequence[bytes], call: Call | None = None, timeout: float = TIMEOUT_SECONDS
    ) -> list[Answer]:
        """Make cartoons from up to `MOST_PHOTOS` photographs in one call, as `Client.cartoonize_all` does."""
        from tritonclient.utils import InferenceServerException

        given, request = photo_input(self._grpc, photos), new_request()
        own = {"request_id": request, "parameters": (call or Call()).parameters()}
        refused: ServerError = LateError(f"Triton at {self.server}: no time was left for a call")
        for pause, left in pauses(timeout):
            await asyncio.sleep(pause)
            try:
                return answers_of(await self._client.infer(ENSEMBLE, given, client_timeout=left, **own))
            except InferenceServerException as error:
                refused = as_server_error(self.server, error, request)
                if not isinstance(refused, BusyError):
                    raise refused from None
        raise refused
