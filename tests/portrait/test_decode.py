"""Pictures from cameras, scanners and web pages decode to upright RGB on white, or are refused."""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from photo2cartoon.portrait import PictureError, decode


@pytest.fixture(scope="module")
def picture(hopper):
    return np.asarray(Image.open(hopper).convert("RGB"))


def encode(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def close(a, b, tolerance):
    return np.abs(a.astype(int) - b.astype(int)).mean() < tolerance


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "WEBP", "JPEG", "GIF"])
def test_formats(picture, form):
    options = {"lossless": True} if form == "WEBP" else {}
    assert close(decode(encode(Image.fromarray(picture), form, **options)), picture, 4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(picture, orientation):
    back = {2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}  # how a camera would have stored it
    image = Image.fromarray(picture)
    for operation in back.get(orientation, []):
        image = image.transpose(Image.Transpose(operation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encode(image, exif=exif)), picture)


def test_transparency_is_laid_on_white(picture):
    alpha = np.zeros(picture.shape[:2], np.uint8)
    alpha[100:200] = 255
    decoded = decode(encode(Image.fromarray(np.dstack([picture, alpha]))))
    assert (decoded[:100] == 255).all()
    assert np.array_equal(decoded[100:200], picture[100:200])


def test_a_palette_with_a_transparent_colour(picture):
    image = Image.fromarray(picture).quantize(32)
    corner = image.getpixel((0, 0))
    decoded = decode(encode(image, transparency=corner))
    assert (decoded[0, 0] == 255).all()
    assert decoded.shape == picture.shape


def test_sixteen_bits_grey_float_and_cmyk(picture):
    grey = picture.mean(axis=2)
    three = np.repeat(grey[:, :, None], 3, axis=2)
    assert close(decode(encode(Image.fromarray((grey * 257).astype(np.uint16)))), three, 1)
    dark = (grey * 257 / 300).astype(np.uint16)  # at most 219 of 65535, but still 16 bits
    assert decode(encode(Image.fromarray(dark))).max() <= 1
    assert close(decode(encode(Image.fromarray((grey / 255).astype(np.float32)), "TIFF")), three, 1)
    assert close(decode(encode(Image.fromarray(grey.astype(np.uint8)))), three, 1)
    assert close(decode(encode(Image.fromarray(picture).convert("CMYK"), "JPEG")), picture, 4)


@pytest.mark.parametrize(("suffix", "alpha"), [(".png", False), (".png", True), (".tiff", False)])
def test_sixteen_bit_colours(picture, suffix, alpha):
    """OpenCV writes the files, because Pillow does not write 16-bit colour."""
    deep = picture[..., ::-1].astype(np.uint16) * 257
    expected = picture
    if alpha:
        mask = np.zeros(picture.shape[:2], np.uint16)
        mask[100:200] = 65535
        deep = np.dstack([deep, mask])
        expected = np.where(mask[..., None] > 0, picture, 255)
    data = cv2.imencode(suffix, deep)[1].tobytes()
    assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED).dtype == np.uint16
    assert np.array_equal(decode(data), expected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [(b"", "unreadable"), (b"not a picture", "unreadable"), (b"\x89PNG\r\n\x1a\n" + bytes(50), "unreadable")],
)
def test_what_is_no_picture(data, reason):
    with pytest.raises(PictureError) as caught:
        decode(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_a_truncated_picture_is_unreadable(picture, form, share):
    data = encode(Image.fromarray(picture), form)
    with pytest.raises(PictureError, match="unreadable"):
        decode(data[: int(len(data) * share)])


def test_limits_are_checked_before_decoding(picture, tmp_path):
    data = encode(Image.fromarray(picture))
    with pytest.raises(PictureError, match=r"too large: 512x600 pixels"):
        decode(data, max_pixels=300_000)
    with pytest.raises(PictureError, match="too large"):
        decode(data, max_bytes=1000)
    # 40,000 x 40,000 pixels in a few kilobytes are never decoded.
    with pytest.raises(PictureError, match="too large"):
        decode(encode(Image.new("1", (40_000, 40_000))))
    with pytest.raises(PictureError, match="too small"):
        decode(encode(Image.new("RGB", (15, 400))))
    with pytest.raises(PictureError, match="unreadable"):
        decode(tmp_path / "missing.png")
