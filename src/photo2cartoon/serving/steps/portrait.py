"""Triton model `portrait`: makes portraits from photographs, entirely with `photo2cartoon.portrait`."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import triton_python_backend_utils as pb_utils

from photo2cartoon import params
from photo2cartoon.portrait import Photograph, PictureError, Portrait, PortraitMaker
from photo2cartoon.portrait.align import resized
from photo2cartoon.portrait.background import PHOTOGRAPH
from photo2cartoon.portrait.maker import MOST_FACES, SIZES, STEP
from photo2cartoon.portrait.numbers import numbers_of
from photo2cartoon.portrait.sandbox import Sandbox
from photo2cartoon.serving.call import (
    MOST_PHOTOS,
    MOST_PIXELS,
    OK,
    WARM_UP,
    Admitted,
    Call,
    FacePlan,
    PhotoPlan,
    Plan,
    code_of,
)
from photo2cartoon.serving.metrics import Metrics
from photo2cartoon.serving.slots import LEASE_SECONDS, Slots


class TritonPythonModel:
    """Makes portraits. A photograph it cannot use gets a code and the reason; the others of its call are drawn."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load detector, landmarks and segmentation once, as the `portrait` section of params.yaml configures them."""
        portrait = params.load(os.environ.get("P2C_PARAMS") or None).portrait
        self.limits = portrait.max_pixels, portrait.max_bytes
        threads = json.loads(args["model_config"]).get("parameters", {}).get("threads", {}).get("string_value", "1")
        cv2.setNumThreads(int(threads))
        weights = os.environ.get("P2C_WEIGHTS", "weights")
        self.maker = PortraitMaker.from_params(weights, portrait, threads=int(threads))
        self.slots = Slots.of_server()
        self.metrics = Metrics(pb_utils)
        self.decoder = Sandbox()
        self.decoding = 0.0  # seconds of the call in work
        with contextlib.suppress(PictureError):  # limits of params.yaml may refuse it
            self.maker.of(Photograph(WARM_UP, decoder=self.decoder))  # the networks' first call is slow

    def finalize(self) -> None:
        """End the decoder."""
        self.decoder.close()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request separately."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        photos, call, ticket = (
            pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)
            for name in ("photo", "call", "ticket")
        )
        if len(photos) > MOST_PHOTOS:  # `gate` lets no such call in: the model is called by itself
            text = f"photo: {len(photos)} photographs in a call, at most {MOST_PHOTOS} are taken"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG))
        admitted = Admitted.from_json(call[0])
        if self.slots and time.monotonic() - admitted.since > LEASE_SECONDS:  # its places may be somebody else's by now
            text = f"busy: the call waited longer than {LEASE_SECONDS:g} s"
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, pb_utils.TritonError.UNAVAILABLE))
        try:
            tensors = self._draw(photos, admitted.call)
        except BaseException:
            if self.slots and ticket[0] >= 0:
                self.slots.free(ticket)
            raise
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in tensors.items()])

    def _decode(self, *given: Any) -> tuple[np.ndarray, float]:
        since = time.perf_counter()
        try:
            return self.decoder(*given)
        finally:
            self.decoding += time.perf_counter() - since

    def _draw(self, photos: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        since, self.decoding = time.perf_counter(), 0.0
        outcomes, canvases, pixels = list[PhotoPlan](), list[bytes](), 0
        boxes, portraits = list[tuple[int, Sequence[int]]](), list[tuple[np.ndarray, np.ndarray]]()
        for number, encoded in enumerate(photos):
            try:
                photo = Photograph(bytes(encoded), *self.limits, self._decode)
                made = call.portraits(self.maker, photo)
                if len(portraits) + len(made) > MOST_FACES:
                    raise PictureError("too many", f"more than {MOST_FACES} faces in the photographs of one call")
                needs_photo = call.paste or call.background == PHOTOGRAPH
                canvas = photo.rgb if needs_photo else np.zeros((0, 0, 3), np.uint8)
                if pixels + canvas[..., 0].size > MOST_PIXELS:
                    raise PictureError(
                        "too large", f"photographs to draw into have {MOST_PIXELS} pixels at most in a call"
                    )
                pixels += canvas[..., 0].size
            except PictureError as error:
                self._observe(code_of(error), [])
                outcomes.append({"code": code_of(error), "detail": error.detail, "shape": [0, 0, 3]})
                canvases.append(b"")
                continue
            self._observe(OK, made)
            outcomes.append({"code": OK, "detail": "", "shape": canvas.shape})
            canvases.append(canvas.tobytes())
            portraits += [_as_large_as_served(portrait) for portrait in made]
            boxes += [(number, portrait.box) for portrait in made]
        size = max((len(rgba) for rgba, _ in portraits), default=STEP)
        portraits = [_enlarged(rgba, matrix, size) for rgba, matrix in portraits]
        faces: list[FacePlan] = [
            {"photo": number, "box": box, "matrix": matrix.tolist()}
            for (number, box), (_, matrix) in zip(boxes, portraits, strict=True)
        ]
        # The generator needs a row: without a face it draws the smallest blank one, which `picture` drops.
        rgba = np.stack([rgba for rgba, _ in portraits] or [np.zeros((STEP, STEP, 4), np.uint8)])
        took: dict[str, float] = {"decode": self.decoding, "portrait": time.perf_counter() - since - self.decoding}
        for step, seconds in took.items():
            self.metrics.observe("p2c_step_duration_seconds", seconds, step)
        plan: Plan = {"photos": outcomes, "faces": faces, "seconds": took}
        return {
            "portrait": rgba,
            "colour": np.full((len(rgba), 1), call.colour, np.float32),
            "plan": np.array([json.dumps(plan)], np.object_),
            "canvas": np.array(canvases, np.object_),
        }

    def _observe(self, code: str, made: list[Portrait]) -> None:
        """Count a photograph by the code of its answer, and measure its portraits."""
        self.metrics.count("p2c_photographs_total", code)
        if made:
            self.metrics.observe("p2c_faces", made[0].faces)
        for portrait in made:
            for name, number in numbers_of(portrait)._asdict().items():
                self.metrics.observe(f"p2c_portrait_{name}", number)


def _as_large_as_served(portrait: Portrait) -> tuple[np.ndarray, np.ndarray]:
    """Return pixels and matrix of a portrait, at the largest size that can be chosen if it is larger."""
    most = SIZES[-1]
    if len(portrait.rgba) <= most:
        return portrait.rgba, portrait.matrix
    rgba = cv2.resize(portrait.rgba, (most, most), interpolation=cv2.INTER_AREA)
    return rgba, resized(portrait.matrix, len(portrait.rgba), most)


def _enlarged(rgba: np.ndarray, matrix: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return a portrait at the size of the largest of its call, as the generator draws all of a call at one size."""
    if len(rgba) == size:
        return rgba, matrix
    return cv2.resize(rgba, (size, size), interpolation=cv2.INTER_CUBIC), resized(matrix, len(rgba), size)
