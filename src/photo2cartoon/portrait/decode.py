"""Bytes of a picture to upright RGB, whatever a camera, a scanner or a web page made of it."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
DECODED = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")  # MPO comes as JPEG
MAX_PIXELS = 50_000_000
MAX_BYTES = 64_000_000
MIN_SIDE = 16


class PictureError(Exception):
    """A picture that no portrait can be made of.

    Args:
        reason: a word for tables: `unreadable`, `too large`, `too small`, `no face`.
        detail: what a person should know beside it.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def decode(picture: bytes | Path, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Read a picture as upright RGB on white.

    EXIF orientation is applied, transparency is laid on white, 16-bit, palette, grey and CMYK become 8-bit RGB. Limits
    are checked before anything is decoded.

    Args:
        picture: an encoded picture, or a file that holds one.
        max_pixels: largest width times height.
        max_bytes: largest encoded size.

    Returns:
        uint8 `[H, W, 3]`, RGB.

    Raises:
        PictureError: it is no picture, is damaged, or is outside the limits.
    """
    data = read_picture(picture, max_bytes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(data), formats=DECODED) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise PictureError("too large", f"{width}x{height} pixels, at most {max_pixels} are decoded")
                if min(width, height) < MIN_SIDE:
                    raise PictureError("too small", f"{width}x{height} pixels")
                image.load()
                return _upright_rgb(image)
        except PictureError:
            raise
        except Image.DecompressionBombError:
            raise PictureError("too large", f"at most {max_pixels} pixels are decoded") from None
        except UnidentifiedImageError:
            raise PictureError("unreadable", "not a picture of a known format") from None
        except (OSError, ValueError, SyntaxError, EOFError, TypeError, IndexError, MemoryError) as error:
            raise PictureError("unreadable", f"damaged picture ({error})") from None


def read_picture(picture: bytes | Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The encoded bytes of a picture. The size is checked before a file is read.

    Raises:
        PictureError: it is empty, larger than `max_bytes`, or cannot be read.
    """
    try:
        size = len(picture) if isinstance(picture, bytes) else picture.stat().st_size
        if size > max_bytes:
            raise PictureError("too large", f"{size} bytes, at most {max_bytes} are read")
        data = picture if isinstance(picture, bytes) else picture.read_bytes()
    except OSError as error:
        raise PictureError("unreadable", error.strerror or str(error)) from None
    if not data:
        raise PictureError("unreadable", "empty file")
    return data


def _upright_rgb(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_to_8_bit(np.asarray(image), image.mode)[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


def _to_8_bit(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey of 16 or 32 bits, or of floats in 0..1 or 0..255, to 8 bits."""
    values = np.nan_to_num(values.astype(np.float64))
    top = values.max(initial=0.0)
    scale = 1.0
    if mode.startswith("I;16") or (mode == "I" and top > 255):
        scale = 255.0 / 65535.0
    elif mode == "F" and top <= 1.0:
        scale = 255.0
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
