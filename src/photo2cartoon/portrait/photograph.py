"""An encoded photograph, decoded when it is needed and no finer than is needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from photo2cartoon.portrait.decode import MAX_BYTES, MAX_PIXELS, decode_coarsely, read_picture

Decoder = Callable[[bytes, int | None, int, int], tuple[np.ndarray, float]]  # `decode_coarsely` or a `Sandbox`


class Photograph:
    """An encoded photograph. It is read at once, decoded on demand, and decoded at its full size once at most.

    Args:
        picture: an encoded image, or the path of one.
        max_pixels, max_bytes: limits, as for `decode`.
        decoder: decodes; a `Sandbox` for pictures of strangers.

    Raises:
        PictureError: it is empty, too large, or cannot be read.
    """

    def __init__(
        self,
        picture: bytes | Path,
        max_pixels: int = MAX_PIXELS,
        max_bytes: int = MAX_BYTES,
        decoder: Decoder = decode_coarsely,
    ) -> None:
        self.encoded = read_picture(picture, max_bytes)
        self._limits, self._decoder = (max_pixels, max_bytes), decoder
        self._rgb: np.ndarray | None = None

    @property
    def rgb(self) -> np.ndarray:
        """All pixels, upright: uint8 `[H, W, 3]`.

        Raises:
            PictureError: it cannot be decoded.
        """
        if self._rgb is None:
            self._rgb = self._decoder(self.encoded, None, *self._limits)[0]
        return self._rgb

    def coarse(self, side: int) -> tuple[np.ndarray, float]:
        """Decode a JPEG at a fraction of its size.

        Args:
            side: length in pixels that the longer side has to keep.

        Returns:
            uint8 `[H, W, 3]`, and its scale: 1, or the share of the full size.

        Raises:
            PictureError: it cannot be decoded.
        """
        if self._rgb is not None:
            return self._rgb, 1.0
        rgb, scale = self._decoder(self.encoded, side, *self._limits)
        if scale == 1:
            self._rgb = rgb
        return rgb, scale
