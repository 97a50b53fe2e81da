"""Triton model `portrait`: makes portraits from photographs, entirely with `photo2cartoon.portrait`."""

import os

import numpy as np
import triton_python_backend_utils as pb_utils

from photo2cartoon import params
from photo2cartoon.portrait import PictureError, PortraitMaker


class TritonPythonModel:
    """Makes portraits; a photograph it cannot use is answered with INVALID_ARGUMENT and the reason."""

    def initialize(self, args):
        """Load detector, landmarks and segmentation once, as the `portrait` section of params.yaml configures them."""
        portrait = params.load(os.environ.get("P2C_PARAMS") or None).portrait
        self.limits = portrait.max_pixels, portrait.max_bytes
        weights = os.environ.get("P2C_WEIGHTS", "weights")
        self.maker = PortraitMaker.from_params(weights, portrait)

    def execute(self, requests):
        """Answer each request separately, so a bad image fails only its own request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        photos = pb_utils.get_input_tensor_by_name(request, "photo").as_numpy().reshape(-1)
        try:
            portraits = [self.maker.of(bytes(photo), *self.limits).rgba for photo in photos]
        except PictureError as error:
            code = pb_utils.TritonError.INVALID_ARG
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(f"photo: {error}", code))
        return pb_utils.InferenceResponse([pb_utils.Tensor("portrait", np.stack(portraits))])
