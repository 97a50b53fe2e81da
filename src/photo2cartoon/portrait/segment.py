"""Segmentation: separates the person from the background."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from photo2cartoon.errors import UserError, first_line
from photo2cartoon.portrait.litert import Network


class Segmenter:
    """Runs a network on a square RGB image in 0..1 that scores each pixel as person, in 0..1.

    Args:
        side: side of the square in pixels.
        network: float32 `[side, side, 3]` to float32 `[side, side, 1]`.
        enlarge: OpenCV interpolation for images smaller than the square.
    """

    def __init__(self, side: int, network: Callable[[np.ndarray], np.ndarray], enlarge: int = cv2.INTER_LINEAR) -> None:
        self.side, self._network, self._enlarge = side, network, enlarge

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Compute the person mask of an image.

        Args:
            rgb: uint8 `[H, W, 3]`.

        Returns:
            uint8 `[H, W]`; 255 is the person, 0 the background.
        """
        height, width = rgb.shape[:2]
        shrinks = self.side**2 < height * width
        if (height, width) != (self.side,) * 2:
            rgb = cv2.resize(rgb, (self.side,) * 2, interpolation=cv2.INTER_AREA if shrinks else self._enlarge)
        mask = self._network(rgb.astype(np.float32) / 255)[:, :, 0]
        if mask.shape != (height, width):
            mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR)
        return np.rint(np.clip(mask, 0, 1) * 255).astype(np.uint8)


class SelfieSegmenter(Segmenter):
    """MediaPipe's selfie segmentation (Apache-2.0), a small network on 256x256, run by LiteRT.

    Args:
        weights: `selfie_segmentation.tflite`.
        threads: CPU threads.
    """

    def __init__(self, weights: Path, threads: int = 1) -> None:
        network = Network(weights, threads)
        super().__init__(network.side, lambda image: network(image)[0])


class OnnxSegmenter(Segmenter):
    """Runs in onnxruntime another project's network, such as SINet, that `importing.segmenters` converted to ONNX.

    Args:
        graph: ONNX file with one input float32 `[1, S, S, 3]` and one output float32 `[1, S, S, 1]`.
        threads: CPU threads.
        enlarge: as above.

    Raises:
        UserError: the file is not such a graph.
    """

    def __init__(self, graph: Path, threads: int = 1, enlarge: int = cv2.INTER_LINEAR) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        try:
            session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
            (source,), (target,) = session.get_inputs(), session.get_outputs()
            _, side, _, _ = source.shape
        except Exception as error:  # onnxruntime's errors have no common class
            why = first_line(error)
            raise UserError(f"{graph}: damaged ({why}); delete it, and `p2c assets` makes it again") from None
        super().__init__(side, lambda image: session.run([target.name], {source.name: image[None]})[0][0], enlarge)


class Photo2cartoonSegmenter(OnnxSegmenter):
    """photo2cartoon's own U-Net on 384x384. Like its authors' code, it also enlarges with area interpolation."""

    def __init__(self, graph: Path, threads: int = 1) -> None:
        super().__init__(graph, threads, cv2.INTER_AREA)
