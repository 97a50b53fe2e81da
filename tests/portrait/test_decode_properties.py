"""Whatever an encoder writes is decoded to its pixels, and whatever is done to the file, the answer is a picture or a refusal."""

import contextlib
import io
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from photo2cartoon.portrait import PictureError, decode
from photo2cartoon.portrait.decode import MIN_SIDE, register_heif

# The same examples on every machine; the database of failures would be written beside the sources.
SEEDED = settings(derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ENCODERS = {
    "PNG": (("RGB", "RGBA", "L", "LA"), {"compress_level": st.integers(0, 9)}),
    "BMP": (("RGB", "L"), {}),
    "TIFF": (
        ("RGB", "RGBA", "L"),
        {"compression": st.sampled_from([None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])},
    ),
    "WEBP": (("RGB", "RGBA"), {"lossless": st.just(True), "exact": st.booleans()}),
    "JPEG": (("RGB", "L", "CMYK"), {"quality": st.integers(30, 100), "progressive": st.booleans()}),
    "AVIF": (("RGB", "RGBA"), {"quality": st.integers(30, 100)}),
    "HEIF": (("RGB", "RGBA"), {"quality": st.integers(30, 100)}),
    "GIF": (("L",), {}),
}
LOSSY = ("JPEG", "AVIF", "HEIF")


@st.composite
def encoded(draw, forms=tuple(ENCODERS)):
    """A crop of a photograph, the form and the options that it was written with, and the bytes."""
    register_heif()
    form = draw(st.sampled_from(forms))
    modes, options = ENCODERS[form]
    mode, side = draw(st.sampled_from(modes)), st.integers(MIN_SIDE, 80)
    image = crop(draw(side), draw(side), draw(st.integers(0, 400)), mode, draw(st.integers(0, 255)))
    out = io.BytesIO()
    image.save(out, form, **{name: draw(values) for name, values in options.items()})
    return image, form, out.getvalue()


def crop(width, height, at, mode, alpha):
    from skimage.data import astronaut

    image = Image.fromarray(astronaut()[at : at + height, at : at + width])
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.linear_gradient("L").resize(image.size).point(lambda value: min(255, value + alpha)))
    return image.convert(mode)


def on_white(image):
    """The pixels by hand: what decode has to return."""
    if image.mode == "CMYK":
        return np.asarray(image.convert("RGB"), float)
    rgba = np.asarray(image.convert("RGBA"), float)
    alpha = rgba[..., 3:] / 255
    return rgba[..., :3] * alpha + 255 * (1 - alpha)


@SEEDED
@given(encoded())
def test_what_an_encoder_wrote_is_decoded_to_its_pixels(case):
    image, form, content = case
    pixels = decode(content)
    assert pixels.dtype == np.uint8 and pixels.shape == (image.height, image.width, 3)
    off = np.abs(pixels - on_white(image))
    if form in LOSSY:
        assert off.mean() < 12
    else:
        assert off.max() <= 1


@SEEDED
@given(encoded(), st.data())
def test_a_damaged_file_is_a_picture_or_refused(case, data):
    content = bytearray(case[2])
    for _ in range(data.draw(st.integers(1, 4))):
        first = data.draw(st.integers(0, max(0, len(content) - 1)))
        last = data.draw(st.integers(first, len(content)))
        content[first:last] = data.draw(st.one_of(st.binary(max_size=8), st.just(content[:64]), st.just(b"\xff" * 4)))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a user would read it among the lines of p2c
            pixels = decode(bytes(content))
    except PictureError as error:
        assert error.reason in ("unreadable", "too large", "too small")
    else:
        assert pixels.dtype == np.uint8 and pixels.ndim == 3 and min(pixels.shape[:2]) >= MIN_SIDE


@SEEDED
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]), st.binary(max_size=60), st.integers(0, 60))
def test_whatever_the_camera_wrote_the_picture_is_decoded(form, noise, at):
    """Only the orientation matters of it, and a picture is not damaged because its data are."""
    image, out, data = crop(40, 24, 100, "RGB", 0), io.BytesIO(), Image.Exif()
    data[0x010F], data[0x0112], data[0x0128] = "a maker of cameras", 6, 2
    if form == "TIFF":
        image.save(out, form, exif=data)
        content = bytearray(out.getvalue())
        start = len(content) - 120
        content[start + at : start + at + len(noise)] = noise
        with contextlib.suppress(PictureError):  # of a TIFF, the picture's own data are written the same way
            decode(bytes(content))
        return
    written = bytearray(data.tobytes())
    written[at : at + len(noise)] = noise
    image.save(out, form, exif=bytes(written))
    assert decode(out.getvalue()).shape in ((24, 40, 3), (40, 24, 3))


@SEEDED
@given(st.binary(max_size=200))
def test_bytes_without_a_picture_are_unreadable(content):
    with pytest.raises(PictureError, match=r"unreadable|too small"):
        decode(content)
