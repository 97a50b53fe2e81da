"""Triton model `picture`: encodes cartoons as PNG."""

import numpy as np
import triton_python_backend_utils as pb_utils

from photo2cartoon.pictures import encode_png


class TritonPythonModel:
    """Encodes cartoons as PNG."""

    def execute(self, requests):
        """Encode uint8 `[N, S, S, 3]` as N PNG files."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        stylized = pb_utils.get_input_tensor_by_name(request, "stylized").as_numpy()
        files = np.array([encode_png(picture) for picture in stylized], dtype=np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("cartoon", files)])
