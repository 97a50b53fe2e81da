"""Writes video files with the timestamps and the sound of a source video."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import av
import numpy as np

from photo2cartoon.cartoonize.video_reader import Frame, VideoReader

AAC_RATES = frozenset({8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000})


@dataclass(frozen=True)
class Format:
    """Encoding of one kind of video file.

    Args:
        muxer: FFmpeg's name of the container.
        video: FFmpeg's name of the encoder.
        options: options of that encoder.
        sound: FFmpeg's name of the encoder for sound that cannot be copied.
        copied: codecs whose sound is copied unchanged, because players expect them in such a file.
    """

    muxer: str
    video: str
    options: dict[str, str]
    sound: str
    copied: frozenset[str]


_H264 = ("libx264", {"crf": "18", "preset": "veryfast"})
_VP9 = ("libvpx-vp9", {"crf": "28", "b": "0", "deadline": "good", "cpu-used": "4", "row-mt": "1"})
CONTAINERS = {
    ".mp4": Format("mp4", *_H264, "aac", frozenset({"aac", "mp3"})),
    ".mov": Format("mov", *_H264, "aac", frozenset({"aac", "mp3", "alac", "pcm_s16le"})),
    ".mkv": Format("matroska", *_H264, "aac", frozenset({"aac", "mp3", "opus", "vorbis", "flac", "ac3", "pcm_s16le"})),
    ".webm": Format("webm", *_VP9, "libopus", frozenset({"opus", "vorbis"})),
}


class Writer:
    """Writes a video file with the timestamps and the sound of a source video.

    Args:
        path: the file.
        kind: its encoding.
        video: source of timestamps and sound.
        size: width and height of the frames; an odd one loses a row or column, as H.264 and VP9 halve the colours.
        tags: tags of the file.
    """

    def __init__(
        self, path: Path, kind: Format, video: VideoReader, size: tuple[int, int], tags: Mapping[str, str] | None = None
    ) -> None:
        options = {"movflags": "+faststart"} if kind.muxer in ("mp4", "mov") else {}
        self._container = av.open(f"file:{path}", "w", format=kind.muxer, container_options=options)
        self._container.metadata.update(tags or {})
        stream = self._container.add_stream(kind.video, rate=video.rate, options=dict(kind.options))
        assert isinstance(stream, av.VideoStream)
        self._video, context = stream, stream.codec_context
        context.width, context.height = (side // 2 * 2 for side in size)
        context.pix_fmt = "yuv420p"
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709, set so that no player guesses
        context.color_range = 1  # 16..235
        # Keep the source's timestamps: a phone's are uneven.
        self._time_base = context.time_base = self._video.time_base = video.time_base
        self.sound = "none"
        self._resampler: av.AudioResampler | None = None
        self._heard: int | None = None
        self._early = kind.muxer in ("mp4", "mov") or video.format != "mp4"
        if video.sound:
            self._prepare_sound(kind, video.sound)

    def _prepare_sound(self, kind: Format, source: av.AudioStream) -> None:
        if source.codec_context.codec.canonical_name in kind.copied:
            self._sound = self._container.add_stream_from_template(source)
            self.sound = "copied"
            return
        rate = source.rate if kind.sound == "aac" and source.rate in AAC_RATES else 48000
        layout = "mono" if source.channels == 1 else "stereo"
        stream = self._container.add_stream(kind.sound, rate=rate, layout=layout, bit_rate=128_000)
        assert isinstance(stream, av.AudioStream)
        self._sound = stream
        self._new_resampler = functools.partial(av.AudioResampler, self._sound.format, layout, rate)
        self._resampler = self._new_resampler()
        self.sound = "encoded"

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._container.close()

    def show(self, frame: Frame) -> None:
        """Write the next frame."""
        context = self._video.codec_context
        rgb = np.ascontiguousarray(frame.rgb[: context.height, : context.width])
        picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
        )
        picture.pts, picture.duration, picture.time_base = frame.pts, frame.duration, self._time_base
        self._container.mux(self._video.encode(picture))

    def hear(self, packet: av.Packet[av.AudioStream]) -> None:
        """Write a packet of the video's sound, which is consumed; broken parts are left out."""
        if self._resampler:
            sounds = []
            with contextlib.suppress(av.FFmpegError):
                sounds = packet.decode()
            for sound in sounds:
                self._say(self._resampled(self._resampler, sound))
        elif self._fits(packet):
            self._heard = packet.dts
            packet.stream = self._sound
            self._container.mux(packet)

    def _fits(self, packet: av.Packet[av.AudioStream]) -> bool:
        """Return whether a packet can be copied: the empty one at the end cannot, nor one whose time goes back."""
        if packet.dts is None or packet.is_corrupt or (self._heard is not None and packet.dts <= self._heard):
            return False
        # Sound before time 0, as AAC priming in an MP4, would make Matroska shift everything to a later time.
        return self._early or packet.pts is None or packet.pts + (packet.duration or 0) > 0

    def _resampled(self, resampler: av.AudioResampler, sound: av.AudioFrame) -> list[av.AudioFrame]:
        try:
            return resampler.resample(sound)
        except ValueError:  # the rate or the number of channels changes here
            rest = resampler.resample(None)
            self._resampler = self._new_resampler()
            return rest + self._resampler.resample(sound)

    def _say(self, sounds: Iterable[av.AudioFrame | None]) -> None:
        for sound in sounds:
            self._container.mux(self._sound.encode(sound))

    def finish(self) -> None:
        """Flush the encoders to the file."""
        self._container.mux(self._video.encode(None))
        if self._resampler:
            self._say([*self._resampler.resample(None), None])
