"""Triton model `gate`: checks a call's parameters, and lets in as many photographs as the server has places for."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from photo2cartoon.errors import UserError
from photo2cartoon.serving.call import MOST_BYTES, MOST_PHOTOS, Admitted, Call
from photo2cartoon.serving.metrics import Metrics, log_line
from photo2cartoon.serving.slots import Slots

LONGEST_NAME, LONGEST_DETAIL = 64, 200  # in the log: both have words of the caller


class TritonPythonModel:
    """Answers at once: INVALID_ARGUMENT to a call that no server could answer, UNAVAILABLE if this one is busy."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the places."""
        self.slots = Slots.of_server()
        self.metrics = Metrics(pb_utils)

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Let calls in, or refuse them."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        name = request.request_id()[:LONGEST_NAME] or uuid.uuid4().hex
        photos = pb_utils.get_input_tensor_by_name(request, "photo").as_numpy().reshape(-1)
        count, size = len(photos), sum(map(len, photos))
        try:
            call = Call.parse(json.loads(request.parameters() or "{}"))
            if not 1 <= count <= MOST_PHOTOS:
                raise UserError(f"photo: {count} photographs in a call, 1 to {MOST_PHOTOS} are taken")
            if size > MOST_BYTES:
                raise UserError(f"photo: {size / 1e6:.0f} MB in a call, {MOST_BYTES / 1e6:.0f} are taken")
        except UserError as error:
            return self._refusal(name, "invalid", f"parameters: {error}", pb_utils.TritonError.INVALID_ARG)
        places = self.slots.take(count) if self.slots else []
        if places is None:
            text = "busy: the server already processes as many photographs as it takes at once"
            return self._refusal(name, "busy", text, pb_utils.TritonError.UNAVAILABLE)
        tensors = {
            "call": np.array([Admitted(call, name, time.monotonic()).to_json()], np.object_),
            "ticket": np.array(places or [-1], np.int32),
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in tensors.items()])

    def _refusal(self, name: str, result: str, text: str, code: Any) -> pb_utils.InferenceResponse:
        self.metrics.count("p2c_calls_total", result)
        log_line(request=name, result=result, detail=text[:LONGEST_DETAIL])
        return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, code))
