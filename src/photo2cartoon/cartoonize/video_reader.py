"""Reads video files of phones and cameras as upright RGB frames with their times."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import av
import numpy as np
from av.stream import Disposition

from photo2cartoon.errors import UserError

SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi"})
MAX_PIXELS = 16_000_000  # 5.3K
# FFmpeg's readers for these files and no others: a playlist or an image is not a video, whatever its name.
READERS = "mov,matroska,avi"


@dataclass
class Frame:
    """A video frame.

    Args:
        pts: presentation time, in the video's time base.
        duration: duration, in the video's time base; 0 if the file does not state it.
        rgb: uint8 `[H, W, 3]`, upright, with square pixels.
    """

    pts: int
    duration: int
    rgb: np.ndarray


class VideoReader:
    """Reader of an open video file.

    Args:
        path: the file.
        max_pixels: largest width times height of a frame.

    Attributes:
        format: `mp4` (and related formats), `matroska` or `avi`.
        time_base: unit of the frames' times, seconds.
        rate: frames per second, on average.
        expected: number of frames, or None if the file does not state it.
        sound: stream whose packets `frames` can pass on, or None.
        size: width and height of the upright frames, set by the first one.
        seconds: total duration of the frames so far.
        trouble: first error, or an empty string.

    Raises:
        UserError: the file is not a video, or its frames are too large.
    """

    def __init__(self, path: Path, max_pixels: int = MAX_PIXELS) -> None:
        if not path.is_file():
            raise UserError(f"{path}: no such video")
        try:
            # `file:` keeps a colon in the name from being taken for a protocol.
            self._container = av.open(
                f"file:{path}", metadata_errors="replace", container_options={"format_whitelist": READERS}
            )
        except av.FFmpegError as error:
            # FFmpeg raises these for a text or an image, an MP4 without its index, or an empty file.
            what = "not a video, or cut off" if isinstance(error, ValueError | EOFError) else error.strerror
            raise UserError(f"{path}: {what}") from None
        self.format = self._container.format.name.split(",")[0].replace("mov", "mp4")
        self.path, self.trouble, self.seconds, self.size = path, "", 0.0, (0, 0)
        try:
            self._choose(max_pixels)
        except UserError:
            self._container.close()
            raise

    def _choose(self, max_pixels: int) -> None:
        """Select the streams and the size of every frame."""
        streams = self._container.streams
        moving = [s for s in streams.video if s.codec_context and not s.disposition & Disposition.attached_pic]
        if not moving:
            raise UserError(f"{self.path}: no video in it that can be decoded")
        self._video = moving[0]
        self.sound = next((stream for stream in streams.audio if stream.codec_context), None)
        aspect = float(self._video.sample_aspect_ratio or 1)
        height = self._video.height
        width = round(self._video.width * (aspect if 0.25 < aspect < 4 else 1))
        if width * height > max_pixels:
            raise UserError(f"{self.path}: {width}x{height} pixels, at most {max_pixels} are decoded")
        if not width * height:
            raise UserError(f"{self.path}: not one frame of it can be decoded")
        # Apply the same limit to the size that a later frame declares.
        self._video.codec_context.options = {"max_pixels": str(max_pixels)}
        self._video.thread_type = "AUTO"
        self._square = width, height
        assert self._video.time_base is not None  # only a stream that is being written may lack it
        self.time_base: Fraction = self._video.time_base
        self.rate: Fraction = self._video.average_rate or self._video.guessed_rate or Fraction(25)
        self._promised = _promised(self._video)
        self.expected = self._video.frames or (round(self._promised * self.rate) if self._promised else None)

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()

    @property
    def damaged(self) -> bool:
        """Whether, after the last frame, an error occurred or over 0.25 s of the stated duration is missing."""
        return bool(self.trouble) or (self._promised is not None and self._promised - self.seconds > 0.25)

    def frames(self, hear: Callable[[av.Packet[av.AudioStream]], None] | None = None) -> Iterator[Frame]:
        """Yield every frame that can be decoded, in presentation order.

        Args:
            hear: called with each packet of the sound as it is read.
        """
        step = max(round(1 / (self.rate * self.time_base)), 1)
        pts = start = turned = None
        for frame in self._decoded(hear):
            then = frame.pts if frame.pts is not None else frame.dts
            # A broken file may omit or repeat times; an encoder accepts neither.
            pts = (then or 0) if pts is None else max(then if then is not None else pts + step, pts + 1)
            start = pts if start is None else start
            self.seconds = float((pts + (frame.duration or step) - start) * self.time_base)
            # Read once: a frame whose matrix was read stays in memory until Python's cycle collector runs.
            turned = _turned(frame) if turned is None else turned
            rgb = _upright(frame.to_ndarray(format="rgb24", width=self._square[0], height=self._square[1]), turned)
            self.size = rgb.shape[1], rgb.shape[0]
            yield Frame(pts, frame.duration, rgb)

    def _decoded(self, hear: Callable[[av.Packet[av.AudioStream]], None] | None) -> Iterator[av.VideoFrame]:
        streams = [self._video, self.sound] if hear and self.sound else [self._video]
        packets = self._container.demux(*streams)
        # An AVI has no presentation times: decoded frames take the times of the stored packets in order.
        slots: deque[int | None] | None = deque() if self.format == "avi" else None
        while True:
            try:
                packet = next(packets, None)
                if packet is None:
                    return
                heard = packet.stream_index != self._video.index
                if slots is not None and not heard and packet.size:
                    slots.append(packet.dts)
                decoded = [] if heard else packet.decode()
            except EOFError:
                return
            except av.FFmpegError as error:
                self.trouble = self.trouble or str(error.strerror)
                continue
            if heard and hear:
                hear(cast("av.Packet[av.AudioStream]", packet))
            for frame in decoded:
                assert isinstance(frame, av.VideoFrame)
                if slots is not None:
                    frame.pts = slots.popleft() if slots else None
                yield frame


def _promised(stream: av.VideoStream) -> float | None:
    """Return the duration of a stream in seconds, as stated by the file; Matroska states it as text."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    try:
        hours, minutes, seconds = stream.metadata.get("DURATION", "").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError:
        return None


def _turned(frame: av.VideoFrame) -> tuple[bool, bool, bool]:
    """Return the steps that the display matrix asks for: swap x and y, then mirror x, then mirror y."""
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    (a, b), (c, d) = np.frombuffer(bytes(matrix), np.int32).reshape(3, 3)[:2, :2].tolist()
    return (True, c < 0, b < 0) if abs(b) > abs(a) else (False, a < 0, d < 0)


def _upright(rgb: np.ndarray, turned: tuple[bool, bool, bool]) -> np.ndarray:
    """Return an image in its display orientation."""
    swap, mirror_x, mirror_y = turned
    rgb = rgb.transpose(1, 0, 2) if swap else rgb
    return np.ascontiguousarray(rgb[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1])
