"""A stranger's picture that crashes the decoder, or runs or grows without end, harms no other picture."""

import io
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photo2cartoon.portrait import Photograph, PictureError, PortraitMaker, decode
from photo2cartoon.portrait import sandbox as sandbox_module
from photo2cartoon.portrait.decode import MAX_BYTES, MAX_PIXELS
from photo2cartoon.portrait.sandbox import Sandbox

LIMITS = MAX_PIXELS, MAX_BYTES


@pytest.fixture(scope="module")
def sandbox():
    made = Sandbox()
    yield made
    made.close()


def encoded(picture, form, **options):
    out = io.BytesIO()
    picture.save(out, form, **options)
    return out.getvalue()


def test_pixels_are_those_of_the_same_process(sandbox, hopper, astronaut, group):
    for path in (hopper, astronaut, group):
        rgb, scale = sandbox(path.read_bytes(), None, *LIMITS)
        assert scale == 1 and np.array_equal(rgb, decode(path))


def test_portraits_are_those_of_the_same_process(sandbox, weights, hopper):
    with Image.open(hopper) as image:
        large = encoded(image.resize((2048, 2400)), "JPEG")
    maker = PortraitMaker.from_weights(weights, check=False)
    for photo in (hopper.read_bytes(), large):
        assert np.array_equal(maker.of(Photograph(photo, decoder=sandbox)).rgba, maker.of(Photograph(photo)).rgba)


@pytest.mark.parametrize("form", ["AVIF", "HEIF", "WEBP", "BMP", "TIFF", "GIF"])
def test_formats_are_those_of_phones_and_the_web(sandbox, hopper, form):
    import pillow_heif

    pillow_heif.register_heif_opener()
    with Image.open(hopper) as image:
        photo = encoded(image, form)
    if form in ("BMP", "TIFF", "GIF"):
        with pytest.raises(PictureError, match="unreadable: not a picture of a known format"):
            sandbox(photo, None, *LIMITS)
    else:
        assert sandbox(photo, None, *LIMITS)[0].shape == (600, 512, 3)


def test_a_picture_that_takes_too_long_is_refused_and_the_next_is_not(hopper):
    slow = encoded(Image.effect_noise((6000, 6000), 60), "PNG", compress_level=1)
    sandbox = Sandbox(seconds=0.05)
    with pytest.raises(PictureError, match=r"too slow: decoding takes longer than 0\.05 s"):
        sandbox(slow, None, *LIMITS)
    sandbox._seconds = 4
    assert sandbox(hopper.read_bytes(), None, *LIMITS)[0].shape == (600, 512, 3)
    sandbox.close()


def test_a_picture_that_takes_too_much_memory_is_refused_and_the_next_is_not(hopper):
    sandbox = Sandbox(memory=700 << 20)
    bomb = encoded(Image.new("RGBA", (7000, 7000)), "PNG")
    assert len(bomb) < 1_000_000
    with pytest.raises(PictureError, match=r"too large: decoding takes more memory than there is|ended the decoder"):
        sandbox(bomb, None, *LIMITS)
    assert sandbox(hopper.read_bytes(), None, *LIMITS)[0].shape == (600, 512, 3)
    sandbox.close()


def test_a_picture_that_ends_the_decoder_is_refused_and_the_next_is_not(hopper):
    sandbox = Sandbox()
    sandbox(hopper.read_bytes(), None, *LIMITS)
    first = sandbox._process.pid
    slow = encoded(Image.effect_noise((6000, 6000), 60), "PNG", compress_level=1)
    threading.Timer(0.1, os.kill, (first, signal.SIGSEGV)).start()
    with pytest.raises(PictureError, match="unreadable: damaged picture"):
        sandbox(slow, None, *LIMITS)
    assert sandbox(hopper.read_bytes(), None, *LIMITS)[0].shape == (600, 512, 3)
    assert sandbox._process.pid != first
    sandbox.close()


@pytest.mark.parametrize(
    ("module", "name"),
    [(sandbox_module.subprocess, "Popen"), (sandbox_module.mmap, "mmap"), (sandbox_module.os, "memfd_create")],
)
def test_without_a_process_the_picture_is_refused_and_the_next_is_not(hopper, monkeypatch, module, name):
    def refuse(*_, **__):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    made, files = Sandbox(), len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as none_left:
        none_left.setattr(module, name, refuse)
        made.start(MAX_PIXELS)
        with pytest.raises(PictureError, match="the decoder does not start: Resource temporarily unavailable"):
            made(hopper.read_bytes(), None, *LIMITS)
    assert len(list(Path("/proc/self/fd").iterdir())) == files
    assert made(hopper.read_bytes(), None, *LIMITS)[0].any()
    made.close()


def test_the_decoder_writes_no_file_and_starts_no_process(sandbox, hopper):
    sandbox(hopper.read_bytes(), None, *LIMITS)
    limits = Path(f"/proc/{sandbox._process.pid}/limits").read_text()
    for name in ("Max file size", "Max processes", "Max core file size"):
        (line,) = (line for line in limits.splitlines() if line.startswith(name))
        assert line.removeprefix(name).split()[:2] == ["0", "0"]
