"""Decodes pictures of strangers in a process of its own, with limits on memory and time.

A picture that crashes the decoder, or makes it run or grow without end, costs that process alone; the next picture gets
a new one. The process has no key or password in its environment, writes no files and, unless it is root's, starts no other
processes. It is no jail: what takes it over can do what else its user can, so run the server's image, which is not root.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import mmap
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from photo2cartoon.portrait.decode import COMMON, DECODED, PictureError, decode_coarsely, register_heif

SECONDS = 4.0
MEMORY = 2 << 30  # bytes of address space: twice what a picture of 50 megapixels needs
MEMORY_PER_PIXEL = 80  # bytes of address space for a user's own pictures; grey of 16 bits takes most
# glibc's settings: pictures up to 64 MB are decoded into memory that earlier ones used, not into fresh pages each time.
KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(64 << 20), "MALLOC_TRIM_THRESHOLD_": str(128 << 20)}
_LENGTH = struct.Struct("<I")


class Limits(Protocol):
    """Limits of a picture; the `portrait` section of params.yaml is one."""

    @property
    def max_pixels(self) -> int: ...
    @property
    def max_seconds(self) -> float: ...


class Sandbox:
    """Decodes as `decode_coarsely` does. Threads can share one, which decodes a picture at a time.

    Args:
        seconds: limit for each picture.
        memory: limit of the process's address space in bytes.
        formats: Pillow's names of the formats that are decoded.
    """

    def __init__(self, seconds: float = SECONDS, memory: int = MEMORY, formats: Sequence[str] = COMMON) -> None:
        self._seconds, self._memory, self._formats = seconds, memory, tuple(formats)
        self._process: subprocess.Popen[bytes] | None = None
        self._pixels: mmap.mmap  # that the process decodes into
        self._lock = threading.Lock()

    @classmethod
    def within(cls, limits: Limits) -> Sandbox:
        """Build one for a user's own pictures: every format that `decode` knows, within the limits of params.yaml."""
        return cls(limits.max_seconds, max(MEMORY, MEMORY_PER_PIXEL * limits.max_pixels), DECODED)

    def __call__(self, picture: bytes, side: int | None, max_pixels: int, max_bytes: int) -> tuple[np.ndarray, float]:
        """Decode a picture.

        Args:
            picture, side, max_pixels, max_bytes: as for `decode_coarsely`.

        Returns:
            As `decode_coarsely`.

        Raises:
            PictureError: as for `decode_coarsely`; also if it takes too long, or ends the process.
        """
        order = {"side": side, "max_pixels": max_pixels, "max_bytes": max_bytes, "formats": self._formats}
        with self._lock:
            process = self._start(max_pixels)
            self._await(process)
            answer = self._ask(process, order, picture)
            if "reason" in answer:
                raise PictureError(answer["reason"], answer["detail"])
            count = int(np.prod(answer["shape"]))
            pixels = np.frombuffer(self._pixels, np.uint8, count).reshape(answer["shape"]).copy()
        return pixels, answer["scale"]

    def start(self, max_pixels: int) -> None:
        """Start the process without waiting for it, so that the first picture waits less."""
        with self._lock, contextlib.suppress(PictureError):  # the first picture tries again, and gets the reason
            self._start(max_pixels)

    def close(self) -> None:
        """End the process."""
        if self._process:
            self._process.kill()
            self._process.wait()
            for stream in _streams(self._process):
                stream.close()
            self._pixels.close()
            self._process = None

    def _start(self, max_pixels: int) -> subprocess.Popen[bytes]:
        if self._process and self._process.poll() is None and len(self._pixels) >= 3 * max_pixels:
            return self._process
        self.close()
        # In Triton's stub the executable is the stub; its python is the one of the environment.
        python = next(path for path in (Path(sys.prefix) / "bin/python3", Path(sys.executable)) if path.exists())
        pixels, shared = -1, None
        try:
            pixels = os.memfd_create("pixels")
            os.ftruncate(pixels, 3 * max_pixels)  # pages are taken only when they are written
            shared = mmap.mmap(pixels, 3 * max_pixels)
            self._process = subprocess.Popen(
                [python, "-m", "photo2cartoon.portrait.sandbox", str(pixels), str(self._memory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(pixels,),
                env={"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **KEEP_MEMORY},
                start_new_session=True,
            )
        except OSError as error:  # no process, memory or descriptor is left
            if shared is not None:
                shared.close()
            raise PictureError("unreadable", f"the decoder does not start: {error.strerror}") from None
        finally:
            if pixels >= 0:
                os.close(pixels)
        with contextlib.suppress(OSError):  # a whole picture at once instead of 64 kB after 64 kB
            fcntl.fcntl(_streams(self._process)[0], fcntl.F_SETPIPE_SZ, 1 << 20)
        self._pixels = shared
        self._ready = False
        return self._process

    def _await(self, process: subprocess.Popen[bytes]) -> None:
        # Imports take half a second.
        if not self._ready and _receive(_streams(process)[1], time.monotonic() + 60) is None:
            raise PictureError("unreadable", "the decoder does not start")
        self._ready = True

    def _ask(self, process: subprocess.Popen[bytes], order: dict[str, Any], picture: bytes) -> dict[str, Any]:
        deadline = time.monotonic() + self._seconds
        orders, answers = _streams(process)
        answer = None
        with contextlib.suppress(BrokenPipeError):
            _send(orders, json.dumps(order).encode(), picture)
            answer = _receive(answers, deadline)
        if answer is None:
            ended = process.poll() is not None or time.monotonic() < deadline
            self.close()
            if ended:
                raise PictureError("unreadable", "damaged picture (it ended the decoder)")
            raise PictureError("too slow", f"decoding takes longer than {self._seconds:g} s")
        return answer


def _streams(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    """Return standard input and output of a process; both are pipes."""
    assert process.stdin is not None and process.stdout is not None
    return process.stdin, process.stdout


def _send(stream: IO[bytes], *parts: bytes) -> None:
    for part in parts:
        stream.write(_LENGTH.pack(len(part)))
        stream.write(part)
    stream.flush()


def _receive(stream: IO[bytes], deadline: float) -> dict[str, Any] | None:
    """Return the next message; None if the stream ends or none comes in time."""
    content = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while len(content) < _LENGTH.size or len(content) < _LENGTH.size + _LENGTH.unpack_from(content)[0]:
            if not selector.select(max(0.0, deadline - time.monotonic())):
                return None
            more = os.read(stream.fileno(), 1 << 16)
            if not more:
                return None
            content += more
    return json.loads(content[_LENGTH.size :])


def _serve(pixels: int, memory: int) -> None:
    """Decode what comes by standard input until it ends. Runs in the process itself."""
    import resource

    from PIL import Image

    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # its remarks on damaged files; the answer has the reason
    Image.init()
    register_heif()  # before memory is limited, and for a first picture that is as fast as the second
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    shared = mmap.mmap(pixels, os.fstat(pixels).st_size)
    own_input, own_output = sys.stdin.buffer, sys.stdout.buffer
    _send(own_output, b"{}")
    while head := own_input.read(_LENGTH.size):
        order = json.loads(own_input.read(_LENGTH.unpack(head)[0]))
        picture = own_input.read(_LENGTH.unpack(own_input.read(_LENGTH.size))[0])
        try:
            rgb, scale = decode_coarsely(
                picture, order["side"], order["max_pixels"], order["max_bytes"], tuple(order["formats"])
            )
            np.frombuffer(shared, np.uint8, rgb.size).reshape(rgb.shape)[:] = rgb
            answer = {"shape": rgb.shape, "scale": scale}
        except PictureError as error:
            answer = {"reason": error.reason, "detail": error.detail}
        _send(own_output, json.dumps(answer).encode())


if __name__ == "__main__":
    try:
        _serve(int(sys.argv[1]), int(sys.argv[2]))
    except BrokenPipeError:  # nobody waits for the answer any more
        os._exit(0)
