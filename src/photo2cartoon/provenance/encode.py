"""Encodes pictures as PNG, JPEG or WebP. Beside the pixels a file has the mark of generated content, and nothing else."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image

from photo2cartoon.errors import UserError
from photo2cartoon.pictures import encode_png
from photo2cartoon.provenance.credentials import sign
from photo2cartoon.provenance.mark import Mark

PNG, JPEG, WEBP = "png", "jpeg", "webp"
FORMATS = (PNG, JPEG, WEBP)
SUFFIXES = {".png": PNG, ".jpg": JPEG, ".jpeg": JPEG, ".webp": WEBP}
MAX_SIDE = {PNG: 2**31 - 1, JPEG: 65_500, WEBP: 16_383}  # pixels that a format has at most, as Pillow writes it
QUALITY = 95  # of JPEG and WebP
KEYWORD = b"XML:com.adobe.xmp"  # of XMP in PNG
_AFTER_HEADER = 33  # bytes: PNG's signature and its IHDR chunk


class FormatError(UserError):
    """The format cannot hold the picture."""


def encode(picture: np.ndarray, form: str, mark: Mark | None) -> bytes:
    """Encode a picture.

    Args:
        picture: uint8 RGB `[H, W, 3]`, or RGBA `[H, W, 4]`, which JPEG cannot hold.
        form: one of `FORMATS`.
        mark: of a generated picture; None for one that no model made.

    Raises:
        FormatError: the format is JPEG and the picture transparent, or the picture is too large for the format.
        UserError: the environment names a certificate that cannot sign.
    """
    if form == JPEG and picture.shape[-1] == 4:
        raise FormatError("JPEG has no transparency; choose PNG or WebP")
    if max(picture.shape[:2]) > (most := MAX_SIDE[form]):
        raise FormatError(
            f"{form} has at most {most} pixels a side, the picture has {max(picture.shape[:2])}; choose PNG"
        )
    packet = b"" if mark is None else mark.packet()
    encoded = _png(picture, packet) if form == PNG else _by_pillow(picture, form, packet)
    return encoded if mark is None else sign(encoded, f"image/{form}", mark)


def _png(picture: np.ndarray, packet: bytes) -> bytes:
    png = encode_png(picture)
    return png[:_AFTER_HEADER] + _text_chunk(packet) + png[_AFTER_HEADER:] if packet else png


def _by_pillow(picture: np.ndarray, form: str, packet: bytes) -> bytes:
    out = io.BytesIO()
    own = {"xmp": packet} if packet else {}
    # Method 2 takes a third of the default's time, for files that are a twentieth larger.
    effort = {"method": 2} if form == WEBP else {}
    Image.fromarray(picture).save(out, form, quality=QUALITY, **own, **effort)
    return out.getvalue()


def _text_chunk(packet: bytes) -> bytes:
    """Return PNG's iTXt chunk, uncompressed, in no language."""
    content = b"iTXt" + KEYWORD + bytes(5) + packet
    return struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
