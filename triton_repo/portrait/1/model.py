"""Triton model `portrait`: makes portraits from photographs, entirely with `photo2cartoon.portrait`."""

import json
import os

import numpy as np
import triton_python_backend_utils as pb_utils

from photo2cartoon import params
from photo2cartoon.cartoonize.options import DrawOptions
from photo2cartoon.errors import UserError
from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker
from photo2cartoon.portrait.background import COLOUR
from photo2cartoon.portrait.maker import MOST_FACES


class TritonPythonModel:
    """Makes portraits; a photograph it cannot use is answered with INVALID_ARGUMENT and the reason."""

    def initialize(self, args):
        """Load detector, landmarks and segmentation once, as the `portrait` section of params.yaml configures them."""
        portrait = params.load(os.environ.get("P2C_PARAMS") or None).portrait
        self.limits = portrait.max_pixels, portrait.max_bytes
        weights = os.environ.get("P2C_WEIGHTS", "weights")
        self.maker = PortraitMaker.from_params(weights, portrait, threads=1)  # the other instance has the other core

    def execute(self, requests):
        """Answer each request separately, so a bad image fails only its own request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        photos = pb_utils.get_input_tensor_by_name(request, "photo").as_numpy().reshape(-1)
        try:
            options = _options(json.loads(request.parameters() or "{}"))
            made = [options.portraits(self.maker, Photograph(bytes(photo), *self.limits)) for photo in photos]
            portraits = [portrait for of_photo in made for portrait in of_photo]
            if len(portraits) > MOST_FACES:
                raise PictureError("too many", f"{len(portraits)} faces in one call, at most {MOST_FACES} are drawn")
        except PictureError as error:
            return _refusal(f"photo: {error}")
        except UserError as error:
            return _refusal(f"parameters: {error}")
        index = np.repeat(np.arange(len(made), dtype=np.int32), [len(of_photo) for of_photo in made])
        tensors = {
            "portrait": np.stack([portrait.rgba for portrait in portraits]),
            "colour": np.full((len(portraits), 1), options.colour, np.float32),
            "box": np.array([portrait.box for portrait in portraits], np.int32),
            "photo_index": index,
        }
        return pb_utils.InferenceResponse([pb_utils.Tensor(name, values) for name, values in tensors.items()])


def _options(parameters):
    if unknown := parameters.keys() - {"faces", "size", "colour"}:
        raise UserError(f"{', '.join(sorted(unknown))}: unknown; there are faces, size and colour")
    try:
        colour = float(parameters.get("colour", COLOUR))
    except ValueError:
        raise UserError(f"colour '{parameters['colour']}': is not a number") from None
    return DrawOptions(**parameters | {"colour": colour})


def _refusal(text):
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(text, pb_utils.TritonError.INVALID_ARG))
