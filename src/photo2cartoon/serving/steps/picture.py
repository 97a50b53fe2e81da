"""Triton model `picture`: puts cartoons on their background or into the photograph, and encodes and marks them."""

from __future__ import annotations

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils

from photo2cartoon.portrait import Portrait
from photo2cartoon.portrait.background import put_on
from photo2cartoon.portrait.paste import paste
from photo2cartoon.provenance.encode import FormatError, encode
from photo2cartoon.provenance.mark import Mark
from photo2cartoon.serving.call import TOO_LARGE, Admitted, Call, Plan
from photo2cartoon.serving.metrics import Metrics, log_line
from photo2cartoon.serving.slots import Slots
from photo2cartoon.serving.stamp import TRAINING

SHOW_SECONDS = 10


class TritonPythonModel:
    """Makes the answer of a call."""

    def initialize(self, args: dict[str, str]) -> None:
        """Open the places, to give back those of a call."""
        self.slots = Slots.of_server()
        self.metrics = Metrics(pb_utils)
        # Version whose training photographs the metrics describe, and since when.
        self.shown: tuple[int | None, float] = None, 0.0

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        """Answer each request separately."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        given = {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in ("stylized", "version", "training", "portrait", "plan", "canvas", "call", "ticket")
        }
        try:
            admitted, plan = Admitted.from_json(given["call"][0]), json.loads(given["plan"][0])
            tensors = self._make(given, admitted, plan)
            self._report(admitted, plan, tensors)
            self._show_training(int(tensors["version"][0]), given["training"].reshape(-1)[: len(TRAINING) + 1])
        finally:
            if self.slots and given["ticket"][0] >= 0:
                self.slots.free(given["ticket"])
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in tensors.items()])

    def _make(self, given: dict[str, np.ndarray], admitted: Admitted, plan: Plan) -> dict[str, np.ndarray]:
        """Return the tensors of the answer to a call; adds the times of its steps to the plan."""
        call, version = admitted.call, int(given["version"].reshape(-1)[0])
        started = time.perf_counter()
        pictures, boxes, index = _pictures(given, call, plan)
        made = time.perf_counter()
        mark = Mark(f"version {version}", composite=call.paste)
        encoded, refused = list[bytes](), dict[int, str]()
        for picture, number in zip(pictures, index, strict=True):
            try:
                encoded.append(encode(picture, call.format, mark))
            except FormatError as error:  # a photograph that its cartoon is pasted into: the only picture of it
                refused[number] = str(error)
        kept = [place for place, number in enumerate(index) if number not in refused]
        boxes, index = [boxes[place] for place in kept], [index[place] for place in kept]
        for number, detail in refused.items():
            plan["photos"][number] |= {"code": TOO_LARGE, "detail": detail}
        plan["seconds"] |= {"picture": made - started, "encode": time.perf_counter() - made}
        return {
            "cartoon": np.array(encoded, np.object_),
            "box": np.array(boxes, np.int32).reshape(-1, 4),
            "photo_index": np.array(index, np.int32),
            "code": np.array([photo["code"] for photo in plan["photos"]], np.object_),
            "detail": np.array([photo["detail"] for photo in plan["photos"]], np.object_),
            "version": np.array([version], np.int32),
        }

    def _report(self, admitted: Admitted, plan: Plan, tensors: dict[str, np.ndarray]) -> None:
        """Count the call, and log it."""
        seconds, version = time.monotonic() - admitted.since, int(tensors["version"][0])
        self.metrics.count("p2c_calls_total", "answered")
        self.metrics.observe("p2c_call_duration_seconds", seconds)
        for step in ("picture", "encode"):
            self.metrics.observe("p2c_step_duration_seconds", plan["seconds"][step], step)
        cartoons = len(tensors["cartoon"])
        if cartoons:
            self.metrics.count("p2c_cartoons_total", version, admitted.call.format, number=cartoons)
        log_line(
            request=admitted.request,
            result="answered",
            codes=tensors["code"].tolist(),
            cartoons=cartoons,
            version=version,
            seconds={name: round(value, 4) for name, value in (plan["seconds"] | {"all": seconds}).items()},
        )

    def _show_training(self, version: int, values: np.ndarray) -> None:
        """Show the photographs that a version was trained on; again now and then, as other processes may show another's."""
        if version == self.shown[0] and time.monotonic() - self.shown[1] < SHOW_SECONDS:
            return
        for (number, quantile), value in zip(TRAINING, values, strict=False):
            self.metrics.set("p2c_training", number, quantile, number=float(value))
        self.metrics.set("p2c_training_refused", number=float(values[-1]))
        self.shown = version, time.monotonic()


def _pictures(
    given: dict[str, np.ndarray], call: Call, plan: Plan
) -> tuple[list[np.ndarray], list[list[int]], list[int]]:
    """Return the pictures of a call, the boxes of their faces, and the number of each one's photograph."""
    canvases = [
        np.frombuffer(pixels, np.uint8).reshape(photo["shape"])
        for photo, pixels in zip(plan["photos"], given["canvas"].reshape(-1), strict=True)
    ]
    drawn = [
        (face, Portrait(rgba, 0, 0, np.array(face["matrix"]), np.empty((0, 2))), cartoon)
        for face, rgba, cartoon in zip(plan["faces"], given["portrait"], given["stylized"], strict=False)
    ]
    pictures, boxes, index = [], [], []
    for number, canvas in enumerate(canvases):
        own = [one for one in drawn if one[0]["photo"] == number]
        if call.paste and own:
            for _, portrait, cartoon in reversed(own):  # the largest face is in front
                canvas = paste(canvas, portrait, cartoon)
            edges = np.array([face["box"] for face, _, _ in own])
            pictures.append(canvas)
            boxes.append([*edges[:, :2].min(axis=0), *edges[:, 2:].max(axis=0)])
            index.append(number)
            continue
        for face, portrait, cartoon in own:
            pictures.append(put_on(cartoon, portrait, call.background, canvas))
            boxes.append(list(face["box"]))
            index.append(number)
    return pictures, boxes, index
