"""Pictures from cameras, scanners and web pages decode to upright RGB on white, or are refused."""

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from photo2cartoon.portrait import Photograph, PictureError, decode


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


def exif(*tags):
    """EXIF data with tags as (number, type, count, value), which no library would write so."""
    table = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + table + bytes(4)


@pytest.mark.parametrize("form", ["JPEG", "WEBP", "PNG"])
def test_a_camera_with_unusual_tags_is_no_trouble(picture, form):
    """The maker's name as a number, and a number of colours that is a text."""
    stored = Image.fromarray(picture).transpose(Image.Transpose.ROTATE_90)  # as held for orientation 6
    odd = exif((0x010F, 11, 1, 1), (0x0112, 3, 1, 6), (0x0115, 2, 4, 0x41414141))
    assert close(decode(encode(stored, form, exif=odd)), picture, 4)
    damaged = exif((0x0112, 2, 4, 0x41414141)), exif((0x0112, 12, 900, 6)), odd[:20]
    for data in damaged:
        assert close(decode(encode(stored, form, exif=data)), np.asarray(stored), 4)


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


@pytest.mark.parametrize("suffix", [".heic", ".avif"])
def test_what_phones_save_is_decoded_upright(tmp_path, astronaut, suffix):
    import pillow_heif

    pillow_heif.register_heif_opener()
    path, expected = tmp_path / f"photo{suffix}", decode(astronaut)
    image = Image.fromarray(np.ascontiguousarray(np.rot90(expected)))
    exif = Image.Exif()
    exif[274] = 6  # turn by 90 degrees to see it
    image.save(path, quality=90, exif=exif.tobytes())
    got = decode(path)
    assert got.shape == expected.shape and np.abs(got.astype(int) - expected).mean() < 4
    with pytest.raises(PictureError, match="unreadable"):
        decode(path.read_bytes()[:3000])
    with pytest.raises(PictureError, match="too large"):
        decode(path, max_pixels=100_000)


def test_of_several_images_the_primary_one_is_taken(tmp_path, astronaut, hopper):
    import pillow_heif

    heif = pillow_heif.HeifFile()
    for path in (astronaut, hopper):
        heif.add_frombytes("RGB", (512, 512), np.ascontiguousarray(decode(path)[:512, :512]).tobytes())
    heif.save(tmp_path / "two.heic", quality=90, primary_index=1)
    assert np.abs(decode(tmp_path / "two.heic").astype(int) - decode(hopper)[:512, :512]).mean() < 4


@pytest.mark.parametrize("kind", ["gain map", "motion"])
def test_gain_maps_and_motion_photographs_are_still_pictures(tmp_path, astronaut, kind):
    """A phone's JPEG holds more behind the picture: a gain map for HDR (MPO), or a film (MP4 after the end)."""
    expected = decode(astronaut)
    path = tmp_path / "photo.jpg"
    picture = Image.fromarray(expected)
    if kind == "gain map":
        gain = Image.fromarray(expected[::4, ::4, 0])
        picture.save(path, "MPO", quality=95, save_all=True, append_images=[gain])
        with Image.open(path) as written:
            assert written.n_frames == 2
    else:
        picture.save(path, quality=95)
        path.write_bytes(path.read_bytes() + b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100_000))
    got = decode(path)
    assert got.shape == expected.shape and np.abs(got.astype(int) - expected).mean() < 3
    assert Photograph(path).coarse(100)[0].shape == (128, 128, 3)


def test_a_wide_gamut_becomes_srgb(tmp_path, astronaut):
    """littleCMS and the matrices of Display P3 and sRGB (IEC 61966-2-1, both with its curve) agree."""
    from PIL import ImageCms

    small = decode(astronaut)[::4, ::4]
    profile = ImageCms.ImageCmsProfile(io.BytesIO(_display_p3()))
    Image.fromarray(small).save(tmp_path / "p3.png", icc_profile=profile.tobytes())
    linear = np.where(small / 255 <= 0.04045, small / 255 / 12.92, ((small / 255 + 0.055) / 1.055) ** 2.4)
    to_srgb = np.array([[1.2249, -0.2247, 0], [-0.0420, 1.0419, 0], [-0.0197, -0.0786, 1.0979]])
    made = np.clip(linear @ to_srgb.T, 0, 1)
    expected = 255 * np.where(made <= 0.0031308, 12.92 * made, 1.055 * made ** (1 / 2.4) - 0.055)
    got = decode(tmp_path / "p3.png")
    assert np.abs(got - expected).max() < 3 and np.abs(got.astype(int) - small).max() > 15
    # A profile counts as sRGB by its name, but not the linear one.
    for name, same in ((b"sRGB IEC61", True), (b"LinearsRGB", False)):
        named = profile.tobytes().replace(b"Display P3", name)
        Image.fromarray(small).save(tmp_path / "named.png", icc_profile=named)
        assert np.array_equal(decode(tmp_path / "named.png"), small) is same
    Image.fromarray(small).save(tmp_path / "damaged.png", icc_profile=profile.tobytes()[:200])
    assert np.array_equal(decode(tmp_path / "damaged.png"), small)


def _display_p3() -> bytes:
    """Build a minimal ICC profile of Display P3: primaries adapted to D50, the curve of sRGB as a table."""

    def s15(*values):
        return b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    steps = np.arange(1024) / 1023
    curve = np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    trc = b"curv\0\0\0\0" + struct.pack(">I", 1024) + np.rint(curve * 65535).astype(">u2").tobytes()
    text = b"Display P3\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(text)) + text + b"\0" * 79,
        b"wtpt": b"XYZ \0\0\0\0" + s15(0.9642, 1.0, 0.8249),
        b"rXYZ": b"XYZ \0\0\0\0" + s15(0.51512, 0.2412, -0.00105),
        b"gXYZ": b"XYZ \0\0\0\0" + s15(0.29198, 0.69225, 0.04189),
        b"bXYZ": b"XYZ \0\0\0\0" + s15(0.1571, 0.06657, 0.78407),
        **dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), trc),
    }
    table, body, start = b"", b"", 132 + 12 * len(tags)
    for name, data in tags.items():
        data += b"\0" * (-len(data) % 4)
        table += name + struct.pack(">II", start + len(body), len(data))
        body += data
    head = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    head += b"\0" * 12 + b"acsp" + b"\0" * 28 + s15(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def test_a_damaged_avif_is_unreadable(hopper):
    """Its decoder has an error of another class than the others'."""
    out = io.BytesIO()
    Image.open(hopper).save(out, "AVIF")
    whole = out.getvalue()
    first = whole.index(b"mdat") + 4
    with pytest.raises(PictureError, match="unreadable: damaged picture"):
        decode(whole[:first] + b"\xff" * 8 + whole[first + 8 :])
