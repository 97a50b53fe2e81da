"""Triton model `picture`: puts cartoons on their background or into the photograph, and encodes and marks them."""

import json

import numpy as np
import triton_python_backend_utils as pb_utils

from photo2cartoon.portrait import Portrait
from photo2cartoon.portrait.background import put_on
from photo2cartoon.portrait.paste import paste
from photo2cartoon.provenance.encode import encode
from photo2cartoon.provenance.mark import Mark
from photo2cartoon.serving.call import Call
from photo2cartoon.serving.slots import Slots


class TritonPythonModel:
    """Makes the answer of a call."""

    def initialize(self, args):
        """Open the places, to give back those of a call."""
        self.slots = Slots.of_server()

    def execute(self, requests):
        """Answer each request separately."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        given = {
            name: pb_utils.get_input_tensor_by_name(request, name).as_numpy()
            for name in ("stylized", "version", "portrait", "plan", "canvas", "call", "ticket")
        }
        try:
            tensors = _answer(given)
        finally:
            if self.slots and given["ticket"][0] >= 0:
                self.slots.free(given["ticket"])
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in tensors.items()])


def _answer(given):
    """Return the tensors of the answer to a call."""
    call, plan = Call.parse(json.loads(given["call"][0])), json.loads(given["plan"][0])
    version = int(given["version"].reshape(-1)[0])
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
            boxes.append(face["box"])
            index.append(number)
    mark = Mark(f"version {version}", composite=call.paste)
    return {
        "cartoon": np.array([encode(picture, call.format, mark) for picture in pictures], np.object_),
        "box": np.array(boxes, np.int32).reshape(-1, 4),
        "photo_index": np.array(index, np.int32),
        "code": np.array([photo["code"] for photo in plan["photos"]], np.object_),
        "detail": np.array([photo["detail"] for photo in plan["photos"]], np.object_),
        "version": np.array([version], np.int32),
    }
