"""Decodes encoded images from cameras, scanners and web pages to upright RGB."""

from __future__ import annotations

import contextlib
import functools
import io
import math
import stat
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

COMMON = ("JPEG", "PNG", "WEBP", "AVIF", "HEIF")  # what strangers may send; Pillow opens MPO as JPEG
COMMON_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif"})
DECODED = (*COMMON, "BMP", "TIFF", "GIF")
SUFFIXES = COMMON_SUFFIXES | {".bmp", ".tif", ".tiff", ".gif"}
MAX_PIXELS = 50_000_000
MAX_BYTES = 64_000_000
MIN_SIDE = 16
# What makes an image upright, by its EXIF orientation.
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PictureError(Exception):
    """Error for an image that no portrait can be made from.

    Args:
        reason: short category for tables: `unreadable`, `too large`, `too small`, `too slow`, `no face`; `too many` (faces)
            from a server.
        detail: explanation for people.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


def decode(picture: bytes | Path, max_pixels: int = MAX_PIXELS, max_bytes: int = MAX_BYTES) -> np.ndarray:
    """Decode an image to upright RGB on white.

    Applies the EXIF orientation and the colour profile, composites transparency on white, and converts 16-bit, palette,
    grey and CMYK images to 8-bit sRGB. Of a file with several images, such as a motion photograph, it takes the primary
    one. Checks the limits before decoding.

    Args:
        picture: an encoded image, or the path of one.
        max_pixels: maximum width times height.
        max_bytes: maximum encoded size.

    Returns:
        uint8 `[H, W, 3]`, RGB.

    Raises:
        PictureError: it is not an image, is damaged, or exceeds the limits.
    """
    return decode_coarsely(picture, None, max_pixels, max_bytes)[0]


def decode_coarsely(
    picture: bytes | Path,
    side: int | None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
    formats: tuple[str, ...] = DECODED,
) -> tuple[np.ndarray, float]:
    """Decode an image as `decode` does; a JPEG at 1/2, 1/4 or 1/8 of its size where that is enough.

    A JPEG's own scaling saves most of the time and memory that a photograph of many megapixels takes.

    Args:
        picture: an encoded image, or the path of one.
        side: length in pixels that the longer side has to keep; None decodes every pixel.
        max_pixels, max_bytes: limits, as for `decode`; they are those of the image at its full size.
        formats: Pillow's names of the formats that are decoded.

    Returns:
        uint8 `[H, W, 3]`, RGB, and its scale: 1, or the share of the full size.

    Raises:
        PictureError: as for `decode`.
    """
    data = read_picture(picture, max_bytes)
    if data[4:8] == b"ftyp":
        register_heif()
    else:
        formats = tuple(name for name in formats if name != "HEIF")  # Pillow does not know the name yet
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on damaged metadata; the limits are checked here
        try:
            with Image.open(io.BytesIO(data), formats=formats) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise PictureError("too large", f"{width}x{height} pixels, at most {max_pixels} are decoded")
                if min(width, height) < MIN_SIDE:
                    raise PictureError("too small", f"{width}x{height} pixels")
                if side and max(width, height) >= 2 * side:
                    smallest = side / max(width, height)
                    image.draft(None, (math.ceil(width * smallest), math.ceil(height * smallest)))
                image.load()
                return _upright_rgb(image), max(image.size) / max(width, height)
        except PictureError:
            raise
        except Image.DecompressionBombError:
            raise PictureError("too large", f"at most {max_pixels} pixels are decoded") from None
        except UnidentifiedImageError:
            raise PictureError("unreadable", "not a picture of a known format") from None
        except MemoryError:
            raise PictureError("too large", "decoding takes more memory than there is") from None
        except Exception as error:  # of a damaged file, Pillow's readers raise errors of any class
            raise PictureError("unreadable", f"damaged picture ({error})") from None


def read_picture(picture: bytes | Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Return the encoded bytes of an image. The size of a file is checked before reading it.

    Raises:
        PictureError: it is empty, larger than `max_bytes`, or cannot be read.
    """
    try:
        if isinstance(picture, Path) and not stat.S_ISREG(picture.stat().st_mode):
            raise PictureError("unreadable", "not a regular file")
        size = len(picture) if isinstance(picture, bytes) else picture.stat().st_size
        if size > max_bytes:
            raise PictureError("too large", f"{size} bytes, at most {max_bytes} are read")
        data = picture if isinstance(picture, bytes) else picture.read_bytes()
    except OSError as error:
        raise PictureError("unreadable", error.strerror or str(error)) from None
    if not data:
        raise PictureError("unreadable", "empty file")
    return data


@functools.cache
def register_heif() -> None:
    """Let Pillow open HEIC; it opens AVIF itself."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


def _upright_rgb(image: Image.Image) -> np.ndarray:
    image = _as_srgb(_upright(image))
    if image.mode.startswith("I") or image.mode == "F":
        return np.repeat(_to_8_bit(np.asarray(image), image.mode)[:, :, None], 3, axis=2)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF data ask; damaged data are ignored.

    `ImageOps.exif_transpose` would also write the data anew, which fails where a camera wrote a tag with an unusual type.
    """
    orientation = None
    with contextlib.suppress(Exception):
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    turn = TURNS.get(orientation) if isinstance(orientation, int) else None
    return image if turn is None else image.transpose(turn)


def _as_srgb(image: Image.Image) -> Image.Image:
    """Convert an image with a colour profile, such as a phone's Display P3, to sRGB; a damaged profile is ignored."""
    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "RGBA", "CMYK"):
        return image
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = ImageCms.getProfileDescription(source)
        if "sRGB" in name and "linear" not in name.lower():
            return image
        target = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=target)
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    assert converted is not None  # None is for conversions in place
    converted.info.pop("icc_profile", None)
    return converted


def _to_8_bit(values: np.ndarray, mode: str) -> np.ndarray:
    """Convert grey of 16 or 32 bits, or of floats in 0..1 or 0..255, to 8 bits."""
    values = np.nan_to_num(values.astype(np.float64))
    top = values.max(initial=0.0)
    scale = 1.0
    if mode.startswith("I;16") or (mode == "I" and top > 255):
        scale = 255.0 / 65535.0
    elif mode == "F" and top <= 1.0:
        scale = 255.0
    return np.clip(np.rint(values * scale), 0, 255).astype(np.uint8)
